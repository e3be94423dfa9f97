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
        AccessLog, Breaker, BreakerPreset, Degradation, DegradationLevel, Endpoints, Failover, HostPattern,
        HttpEndpoint, Limits, Listener, ListenerKind, OnMissing, Outliers, Output, Peers, Probing, Protection, Retries,
        RouteClass, Shutdown, Timeouts, Watched,
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
fn the_smallest_file_has_every_default_of_routes_around_failure() {
    let settings = load_example("minimal.toml");
    let (route, app) = (&settings.routes[0], &settings.upstreams[0]);
    assert_eq!((route.attempt_timeout, route.total), (Duration::from_millis(8333), None));
    assert_eq!((route.idempotency_key, route.class), (false, RouteClass::Core));
    let breaker = Breaker {
        preset: BreakerPreset::Default,
        failures: 5,
        window: seconds(30),
        open: seconds(30),
        open_max: seconds(300),
        trials: 3,
        ratio: 0.1,
        statuses: [502, 503, 504].map(|status| status.try_into().unwrap()).to_vec(),
    };
    let protection = Protection { in_flight_max: 1024, tenant_share_max: 0.75, breaker, recovery: seconds(30) };
    let outliers = Outliers { failures: 5, window: seconds(10), ejection: seconds(30), ejection_max: seconds(300) };
    assert_eq!((&app.protection, &app.outliers, &app.health_check), (&protection, &outliers, &None));
    let health_check = Probing { interval: seconds(30), timeout: seconds(10), healthy: 2, unhealthy: 3 };
    assert_eq!(settings.peers, Peers { protection, health_check });
    let retries = Retries {
        attempts_max: 4,
        backoff: Duration::from_millis(100),
        backoff_max: seconds(2),
        budget: 0.1,
        budget_min: 3,
        replay_bytes: 65_536,
    };
    assert_eq!(settings.retries, retries);
    assert_eq!(settings.dependencies, []);
    let degradation = Degradation { leave: seconds(10), retry_after: seconds(30), header: false, page: None };
    assert_eq!(settings.degradation, degradation);
}

#[test]
fn each_written_key_of_a_breaker_overrides_its_preset() {
    let minimal = fs::read_to_string(example("minimal.toml")).unwrap();
    for (written, failures, window, open, open_max, trials) in [
        ("", 5, 30, 30, 300, 3),
        ("preset = 'default'", 5, 30, 30, 300, 3),
        ("preset = 'metadata-db'", 5, 30, 30, 300, 3),
        ("preset = 'redis'", 10, 10, 10, 100, 5),
        ("preset = 'llm'", 3, 60, 60, 600, 1),
        ("preset = 'llm'\nfailures = 7", 7, 60, 60, 600, 1),
        ("window = '1s'\npreset = 'redis'", 10, 1, 10, 100, 5),
        ("open = '5m'", 5, 30, 300, 600, 3),
        ("open = '20m'", 5, 30, 1200, 1200, 3),
        ("open_max = '30s'\ntrials = 9", 5, 30, 30, 30, 9),
    ] {
        for (section, is_peer) in [("upstreams.app.breaker", false), ("peers.breaker", true)] {
            let text = format!("{minimal}\n[{section}]\n{written}");
            let (settings, _) = load(&text, Path::new("f.toml")).unwrap_or_else(|faults| panic!("{faults}"));
            let [app, peers] = [&settings.upstreams[0].protection, &settings.peers.protection];
            let [breaker, other] = if is_peer { [peers, app] } else { [app, peers] }.map(|one| one.breaker.clone());
            let numbers = (breaker.failures, breaker.window, breaker.open, breaker.open_max, breaker.trials);
            let expected = (failures, seconds(window), seconds(open), seconds(open_max), trials);
            assert_eq!(numbers, expected, "{section} {written}");
            assert_eq!(other, BreakerPreset::Default.breaker(), "{section} {written}");
        }
    }
}

#[test]
fn what_is_bounded_by_a_smaller_neighbour_has_a_smaller_default() {
    let minimal = fs::read_to_string(example("minimal.toml")).unwrap();
    let settings = |keys: &str| load(&format!("{minimal}\n{keys}"), Path::new("f.toml")).unwrap().0;
    let route = |timeout: &str| {
        let route = "[[routes]]\nname = 'a'\npath_prefix = '/'\nupstream = 'app'\ntimeout = ";
        settings(&format!("{route}'{timeout}'")).routes[0].attempt_timeout
    };
    assert_eq!([route("1ms"), route("3s"), route("100ms")], [1, 1000, 33].map(Duration::from_millis));
    assert_eq!(settings("[peers.health_check]\ninterval = '4s'").peers.health_check.timeout, seconds(4));
    assert_eq!(settings("[retries]\nbackoff = '10s'").retries.backoff_max, seconds(10));
    let outliers = &settings("[upstreams.app.outliers]\nejection = '1h'").upstreams[0].outliers;
    assert_eq!(outliers.ejection_max, seconds(3600));
    let probe = settings("[dependencies.a]\nprobe = 'tcp://[::1]:1'\ninterval = '5ms'\non_failure = 'read-only'");
    let Watched::Probe(probe) = &probe.dependencies[0].watched else { panic!("no probe") };
    assert_eq!(probe.probing.timeout, Duration::from_millis(5));
}

#[test]
fn a_dependency_is_probed_or_has_the_breaker_of_an_upstream() {
    let settings = load_example("full.toml");
    let [database, llm] = settings.dependencies.as_slice() else { panic!("{:?}", settings.dependencies) };
    let Watched::Probe(probe) = &database.watched else { panic!("{database:?}") };
    assert_eq!((database.name.as_str(), probe.url.to_string().as_str()), ("metadata-db", "tcp://127.0.0.1:5432"));
    assert_eq!(probe.latency_max, Some(Duration::from_millis(10)));
    assert_eq!(database.on_failure, DegradationLevel::ReadOnly);
    assert_eq!((&llm.watched, llm.on_failure), (&Watched::Breaker(1), DegradationLevel::AiDegraded));
    assert!(DegradationLevel::ALL.is_sorted(), "the highest of all that fail wins");
    let app = settings.upstreams[0].health_check.as_ref().unwrap();
    assert_eq!((app.path.as_str(), app.probing.unhealthy), ("/health", 3));
    assert_eq!(settings.degradation.page, Some(PathBuf::from("/etc/synaxis/maintenance.html")));
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
    assert_eq!((&full.tenant.header, full.tenant.on_missing), (&minimal.tenant.header, minimal.tenant.on_missing));
    assert_eq!(full.rate_limiting, minimal.rate_limiting);
    assert_eq!(full.routes[1].timeout, minimal.routes[0].timeout);
    assert_eq!(full.upstreams[0].idle_max, minimal.upstreams[0].idle_max);
    assert_eq!(full.upstreams[0].protection, minimal.upstreams[0].protection);
    assert_eq!(full.upstreams[0].outliers, minimal.upstreams[0].outliers);
    assert_eq!(full.upstreams[0].health_check.as_ref().unwrap().probing, minimal.peers.health_check);
    assert_eq!(full.peers, minimal.peers);
    assert_eq!(full.retries, minimal.retries);
    assert_eq!(Degradation { page: None, ..full.degradation }, minimal.degradation);
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
