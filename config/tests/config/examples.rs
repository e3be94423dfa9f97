//! The examples load, and what is not written has its default.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use synaxis_config::{
    FILE_BYTES_MAX, Settings, load, load_file,
    settings::{
        AccessLog, Endpoints, Failover, HostPattern, HttpEndpoint, Limits, Listener, ListenerKind, OnMissing, Output,
        Shutdown, Timeouts,
    },
};
use synaxis_routing::endpoint::Scheme;

fn example(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

fn load_example(name: &str) -> Settings {
    let (settings, warnings) = load_file(&example(name)).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(warnings, [], "{name}");
    settings
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn the_smallest_file_has_every_default() {
    let settings = load_example("minimal.toml");
    assert_eq!(settings.stamp.id.as_str(), "synaxis-weu-001");
    assert_eq!(&*settings.stamp.region, "weu");
    assert_eq!(settings.server.workers, std::thread::available_parallelism().unwrap().get());
    assert_eq!((settings.server.connections_max, settings.server.connections_reserve), (65_536, 64));
    assert_eq!((settings.server.connections_per_address, settings.server.memory_high), (None, None));
    let edge = Listener {
        kind: ListenerKind::Edge,
        address: address("127.0.0.1:8080"),
        trust_header: true,
        health_path: "/health".to_owned(),
    };
    assert_eq!(settings.listeners, [edge]);
    assert_eq!(settings.admin.address, address("127.0.0.1:9901"));
    assert_eq!((&settings.admin.token, settings.admin.hosts.len()), (&None, 0));
    assert_eq!(settings.routing, None);
    assert_eq!(settings.tenant.header, "x-tenant-id");
    assert_eq!(settings.tenant.on_missing, OnMissing::Reject);
    let [route] = settings.routes.as_slice() else { panic!("{:?}", settings.routes) };
    assert_eq!((route.name.as_str(), route.path_prefix.as_str()), ("default", "/"));
    assert_eq!((&route.host, route.upstream, route.timeout), (&None, 0, seconds(25)));
    assert!(route.methods.is_empty() && route.headers.is_empty() && route.websocket);
    assert_eq!(route.body_bytes, 1 << 30);
    assert!(route.request_headers.is_empty() && route.response_headers.is_empty());
    let [app] = settings.upstreams.as_slice() else { panic!("{:?}", settings.upstreams) };
    assert_eq!((app.name.as_str(), app.idle_max), ("app", 256));
    assert_eq!(app.endpoints, [HttpEndpoint { host: "127.0.0.1".to_owned(), port: 9001 }]);
    assert_eq!(settings.access_log, AccessLog { output: Output::Stdout, sample: 1.0, queue: 8192 });
    let limits = Limits {
        head_bytes: 32_768,
        uri_bytes: 8192,
        fields: 100,
        body_bytes: 1 << 30,
        upload_rate: 500,
        unsent_bytes: 131_072,
    };
    assert_eq!(settings.limits, limits);
    let timeouts = Timeouts {
        connect: seconds(1),
        head: seconds(10),
        first_byte: seconds(5),
        upload_idle: seconds(15),
        upload_grace: seconds(10),
        body_idle: seconds(30),
        write_stall: seconds(30),
        tunnel_idle: seconds(300),
        linger: seconds(1),
        idle: seconds(120),
        upstream_idle: seconds(60),
    };
    assert_eq!(settings.timeouts, timeouts);
    let shutdown = Shutdown {
        lame_duck: seconds(20),
        drain: seconds(540),
        flush: seconds(10),
        client_keepalive: seconds(95),
        tunnels: seconds(60),
    };
    assert_eq!(settings.shutdown, shutdown);
}

#[test]
fn the_full_file_says_everything() {
    let settings = load_example("full.toml");
    assert_eq!(settings.server.workers, 4);
    assert_eq!(settings.listeners[1].kind, ListenerKind::Peer);
    assert!(!settings.listeners[1].trust_header);
    assert_eq!(settings.admin.token, None);
    assert_eq!(settings.admin.hosts, ["admin.example.com"]);
    let routing = settings.routing.as_ref().unwrap();
    assert_eq!(routing.store.expose(), "redis://127.0.0.1:6379/0");
    assert_eq!(routing.key_prefix, "synaxis");
    assert_eq!(routing.snapshot, Some(PathBuf::from("/var/lib/synaxis/routing.json")));
    assert_eq!(routing.failover, Failover::NextRank);
    assert_eq!(routing.bootstrap[0].as_str(), "http://127.0.0.1:8444/");
    assert_eq!((routing.poll, routing.ack), (seconds(1), seconds(5)));
    assert_eq!(routing.endpoints.networks[0].to_string(), "10.0.0.0/8");
    assert_eq!(settings.routes[0].host, Some(HostPattern::Suffix(".example.com".to_owned())));
    let api = &settings.routes[0];
    assert_eq!(api.methods, ["GET", "HEAD", "POST"]);
    assert_eq!(
        (api.headers[0].name.as_str(), api.headers[0].value.as_ref().unwrap().as_bytes()),
        ("x-version", &b"2"[..])
    );
    assert_eq!((api.body_bytes, settings.routes[1].body_bytes), (10 << 20, 1 << 30));
    assert_eq!(api.request_headers.remove, ["x-debug"]);
    assert_eq!(api.request_headers.set[0].0, "x-api");
    assert_eq!(api.request_headers.add[0].1, "en");
    assert_eq!(api.response_headers.remove, ["server", "x-powered-by"]);
    // in the order of the file, wherever the name stands in the alphabet
    assert_eq!(settings.upstreams.iter().map(|u| u.name.as_str()).collect::<Vec<_>>(), ["app", "site"]);
    assert_eq!(settings.upstreams[settings.routes[1].upstream].endpoints[0].to_string(), "[::1]:9003");
}

#[test]
fn the_full_file_shows_the_defaults_where_it_says_nothing_else() {
    let (full, minimal) = (load_example("full.toml"), load_example("minimal.toml"));
    assert_eq!(full.server.connections_max, minimal.server.connections_max);
    assert_eq!(full.server.connections_reserve, minimal.server.connections_reserve);
    assert_eq!(full.listeners[0], minimal.listeners[0]);
    assert_eq!(full.admin.address, minimal.admin.address);
    assert_eq!(full.tenant, minimal.tenant);
    assert_eq!(full.routes[1].timeout, minimal.routes[0].timeout);
    assert_eq!(full.upstreams[0].idle_max, minimal.upstreams[0].idle_max);
    assert_eq!(full.access_log, minimal.access_log);
    assert_eq!(full.limits, minimal.limits);
    assert_eq!(full.timeouts, minimal.timeouts);
    assert_eq!(full.shutdown, minimal.shutdown);
    let Endpoints { schemes, hosts, ports, .. } = full.routing.unwrap().endpoints;
    let default = Endpoints::default();
    assert_eq!((schemes, hosts, ports), (default.schemes, default.hosts, default.ports));
}

#[test]
fn a_smaller_head_means_a_smaller_uri_unless_written() {
    let minimal = fs::read_to_string(example("minimal.toml")).unwrap();
    for (limits, head_bytes, uri_bytes) in [
        ("head_bytes = '4KiB'", 4096, 4096),
        ("head_bytes = '64KiB'", 65_536, 8192),
        ("head_bytes = 4096\nuri_bytes = 1000", 4096, 1000),
        ("uri_bytes = '32KiB'", 32_768, 32_768),
    ] {
        let (settings, _) = load(&format!("{minimal}\n[limits]\n{limits}"), Path::new("f.toml")).unwrap();
        assert_eq!((settings.limits.head_bytes, settings.limits.uri_bytes), (head_bytes, uri_bytes), "{limits}");
    }
}

#[test]
fn lists_of_tables_and_dotted_keys_are_the_same_file_in_another_spelling() {
    let compact = r#"
        stamp.id = "synaxis-weu-001"
        listeners = [{ kind = "edge", address = "127.0.0.1:8080", trust_header = true }]
        upstreams = { app = { endpoints = ["http://127.0.0.1:9001"] } }
    "#;
    let (settings, warnings) = load(compact, Path::new("f.toml")).unwrap();
    assert_eq!(settings, load_example("minimal.toml"));
    assert_eq!(warnings, []);
}

#[test]
fn the_policy_of_endpoints_knows_our_own_listeners() {
    let endpoints = load_example("full.toml").routing.unwrap().endpoints;
    assert_eq!(endpoints.schemes, [Scheme::Https]);
    let (edge, peer) = (address("127.0.0.1:8080"), address("127.0.0.1:8443"));
    let policy = endpoints.policy(vec![edge, peer], vec![peer]);
    assert!(policy.loopback_peers);
    assert!(policy.check_url("http://127.0.0.1:8443").is_ok());
    assert!(policy.check_url("http://127.0.0.1:8080").is_err());
    assert!(!endpoints.policy(vec![edge], vec![]).loopback_peers);
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let said = |path: &Path| {
        let said = load_file(path).unwrap_err().to_string();
        let prefix = format!("{}: ", path.display());
        said.strip_prefix(&prefix).unwrap_or_else(|| panic!("{said}")).to_owned()
    };
    let file = folder.path().join("synaxis.toml");
    assert!(said(&file).starts_with("the file cannot be opened: No such file"), "{}", said(&file));
    assert_eq!(said(folder.path()), "the file is a folder");
    fs::write(&file, b"[stamp]\nid = \"\xff\"\n").unwrap();
    assert_eq!(said(&file), "the file is not UTF-8: line 2 holds other bytes; save it as UTF-8");
    fs::write(&file, vec![b'#'; FILE_BYTES_MAX + 1]).unwrap();
    assert_eq!(said(&file), "the file is larger than 1 MiB; is it the right one?");
    let mut large = fs::read_to_string(example("minimal.toml")).unwrap();
    large.push('#');
    large.push_str(&"x".repeat(FILE_BYTES_MAX - large.len()));
    fs::write(&file, large).unwrap();
    assert!(load_file(&file).is_ok());
}
