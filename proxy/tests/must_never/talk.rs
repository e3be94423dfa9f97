//! What the proxy writes down and shows: nothing that a client wrote becomes a line, a series or a command, and no secret is
//! shown to anybody.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc::channel,
    thread,
    time::Duration,
};

use serde_json::Value;

use super::pair::Pair;
use crate::world::{Client, Process, Redis, Strict, alone, eventually, proxy, stop};

const SECRET: &str = "s3cr3t-p4ssw0rd";

/// Values that break out of quotes, lines and terminals where they are let.
const HOSTILE: [&[u8]; 9] = [
    b"\"}\\n{\"status\":200,\"injected\":true",
    b"\\\" \\u000a \\r\\n",
    b"%0d%0a{\"injected\":true}",
    b"\xe2\x80\xa8\xe2\x80\xa9\xc2\x85",
    b"\xff\xfe\xc0\x80",
    b"\x1b[2J\x1b]0;owned\x07",
    b"\r\n{\"injected\":true}",
    b"\n{\"injected\":true}\n",
    b"${jndi:ldap://127.0.0.1/x}%s%n{}",
];

#[test]
fn no_client_writes_a_line_of_the_log_and_no_secret_stands_in_one() {
    let origin = Strict::start();
    let folder = tempfile::tempdir().unwrap();
    let (log, config) = (folder.path().join("access.log"), folder.path().join("proxy.toml"));
    let store = Redis::start();
    let routing = format!(
        "[[listeners]]\nkind = \"peer\"\naddress = \"127.0.0.1:0\"\n\
         [routing]\nstore = \"redis://user:{SECRET}@127.0.0.1:{}/0?x={SECRET}\"\n",
        store.port
    );
    let text = alone(origin.address, &routing).replace("\"off\"", &format!("{:?}", log.display().to_string()));
    fs::write(&config, text).unwrap();
    let arguments = ["--log-format", "json", "--log-level", "debug", "run", "--config", config.to_str().unwrap()];
    let process = Process::start(&arguments);
    // every line is kept: each of them is held against the secret
    let mut events: Vec<String> = Vec::new();
    let mut until = |words: &str| loop {
        if let Some(line) = events.iter().find(|line| line.contains(words)) {
            return line.clone();
        }
        events.push(process.line(|_| true));
    };
    let listening = until("\"listening\"");
    let fields: Value = serde_json::from_str(&listening).unwrap();
    let address = |name: &str| -> SocketAddr {
        fields["fields"][name].as_str().unwrap().trim_matches(['[', ']']).parse().unwrap()
    };
    let edge = address("edges");
    let mut sent = 0;
    for value in HOSTILE {
        for place in 0..7 {
            let part = |at: usize, usual: &[u8]| if at == place { value.to_vec() } else { usual.to_vec() };
            let request = [
                &part(0, b"GET")[..],
                b" /",
                &part(1, b"v")[..],
                b"?token=",
                SECRET.as_bytes(),
                b"&",
                &part(2, b"q"),
                b" HTTP/1.1\r\nHost: ",
                &part(3, b"a"),
                b"\r\nX-Tenant-Id: ",
                &part(4, b"t"),
                b"\r\ntraceparent: 00-",
                &part(5, b"0af7651916cd43dd8448eb211c80319c"),
                b"-b7ad6b7169203331-01\r\nUser-Agent: ",
                &part(6, b"u"),
                b"\r\nAuthorization: Bearer ",
                SECRET.as_bytes(),
                b"\r\nCookie: session=",
                SECRET.as_bytes(),
                b"\r\n\r\n",
            ]
            .concat();
            let mut client = Client::connect(edge);
            client.stream().write_all(&request).unwrap();
            // what the library refuses is in no line; what the proxy answers or the app is in one each
            if let Ok(answer) = client.answer(false) {
                let own = answer.header("x-synaxis-reason").is_some() || answer.status == 200;
                sent += usize::from(own);
                let _ = client.stream().shutdown(std::net::Shutdown::Write);
                let more = client.rest().unwrap();
                sent += more.windows(16).filter(|bytes| bytes == b"x-synaxis-reason").count();
            }
        }
    }
    assert!(sent > 20, "{sent}");
    let lines = || fs::read_to_string(&log).unwrap_or_default().lines().count();
    eventually("every request is a line", || lines() >= sent);
    let known = ["ts", "trace_id", "method", "host", "path", "status", "bytes", "duration_ms", "ttfb_ms", "tenant"];
    let known = [
        &known[..],
        &[
            "stamp",
            "epoch",
            "hop",
            "route",
            "attempts",
            "reason",
            "client",
            "listener",
            "tunnel_bytes_up",
            "degradation",
            "limit",
            "limit_counted_by",
            "cache",
        ],
    ]
    .concat();
    let text = fs::read_to_string(&log).unwrap();
    assert_eq!(text.lines().count(), sent, "{text}");
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let unknown = line.as_object().unwrap().keys().find(|key| !known.contains(&key.as_str()));
        assert!(unknown.is_none(), "{unknown:?} in {line}");
        assert!(line["status"].as_u64() != Some(0), "{line}");
    }
    assert!(text.bytes().all(|byte| byte == b'\n' || byte >= b' '), "no control character stands in a line");
    assert!(!text.contains(SECRET), "{text}");
    // it is tried while requests are served, which may be over sooner
    until("the routing store cannot be read");
    process.signal("TERM");
    until("stopping");
    for event in &events {
        let parsed: Value = serde_json::from_str(event).unwrap_or_else(|error| panic!("{error}: {event}"));
        assert!(parsed.get("injected").is_none() && !event.contains(SECRET), "{event}");
    }
}

/// What the admin listener shows, of everything it has.
fn shown(admin: SocketAddr) -> String {
    let paths =
        ["/", "/livez", "/readyz", "/readyz?verbose", "/healthz", "/metrics", "/version", "/routing", "/stamps"];
    let more = ["/routing/explain?tenant=acme", "/routing/explain?tenant=acme&format=json", "/nowhere", "/config"];
    let ask = |path: &&str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        Client::connect(admin).exchange(request.as_bytes()).unwrap().text()
    };
    paths.iter().chain(&more).map(ask).collect::<Vec<_>>().join("\n")
}

#[test]
fn no_secret_is_shown() {
    let origin = Strict::start();
    let store = Redis::start();
    let routing = format!(
        "[[listeners]]\nkind = \"peer\"\naddress = \"127.0.0.1:0\"\n\
         [routing]\nstore = \"redis://user:{SECRET}@127.0.0.1:{}/0?x={SECRET}\"\n",
        store.port
    );
    let blind = proxy(&alone(origin.address, &routing));
    eventually("the store has refused us", || shown(blind.admin).contains("[-] store: "));
    assert!(!shown(blind.admin).contains(SECRET), "{}", shown(blind.admin));
    let local = Client::connect(blind.edges[0]).get("acme", "/");
    assert!(!format!("{local:?}{}", local.text()).contains(SECRET));
    stop(blind);
    // the seed decides who lands where: whoever knows it can choose whom to crowd out
    let pair = Pair::start("");
    let text = shown(pair.proxies[0].admin);
    assert!(text.contains("synaxis-weu-002") && !text.contains(&format!("{:016x}", 7)), "{text}");
    pair.stop();
}

#[test]
fn no_series_grows_with_what_clients_write() {
    let origin = Strict::start();
    let proxy = proxy(&alone(origin.address, ""));
    let series = || -> BTreeSet<String> {
        let text = proxy.plane().metrics.render();
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
    };
    let ask = |from: usize, count: usize| {
        for batch in (from..from + count).collect::<Vec<_>>().chunks(50) {
            let mut client = Client::connect(proxy.edges[0]);
            let requests: String = batch
                .iter()
                .map(|n| {
                    // every third is answered by the proxy itself
                    let tenant = if n % 3 == 0 { format!("/{n}") } else { format!("tenant-{n}") };
                    format!("M{n} /path-{n}?q={n} HTTP/1.1\r\nHost: host-{n}.example\r\nX-Tenant-Id: {tenant}\r\nX-{n}: 1\r\n\r\n")
                })
                .collect();
            client.send(requests.as_bytes());
            for n in batch {
                let status = client.answer(false).unwrap().status;
                assert_eq!(status, if n % 3 == 0 { 400 } else { 200 });
            }
        }
    };
    ask(0, 100);
    proxy.plane().metrics.upkeep();
    let before = series();
    ask(100, 10_000);
    proxy.plane().metrics.upkeep();
    assert_eq!(series(), before);
    assert!(!before.iter().any(|line| line.contains("tenant-") || line.contains("path-")), "{before:?}");
    stop(proxy);
}

#[test]
fn no_tenant_comes_near_redis() {
    let store = Redis::start();
    let (sender, commands) = channel();
    let mut monitor = TcpStream::connect(("127.0.0.1", store.port)).unwrap();
    monitor.write_all(b"MONITOR\r\n").unwrap();
    let reader = BufReader::new(monitor.try_clone().unwrap());
    thread::spawn(move || reader.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let pair = Pair::sharing(&store.url(), "");
    let ids: [&[u8]; 7] = [
        b"acme\r\nSET pwned 1\r\n",
        b"acme\nSET pwned 1\n",
        b"$4\r\npwned",
        b"*3%0d%0a$3%0d%0aSET%0d%0apwned",
        b"pwned{synaxis:rt}:head",
        b"');redis.call('SET','pwned',1)--",
        b"pwned",
    ];
    for id in ids {
        let explain = [b"GET /routing/explain?tenant=", id, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
        let edge = [b"GET /pwned HTTP/1.1\r\nHost: pwned\r\nX-Tenant-Id: ", id, b"\r\n\r\n"].concat();
        let hop = b"GET /pwned HTTP/1.1\r\nHost: a\r\nX-Synaxis-Hop: 1\r\nX-Synaxis-Epoch: 1.1\r\nX-Synaxis-Entry: synaxis-weu-001\r\nX-Synaxis-Tenant: ";
        let hop = [hop, id, b"\r\n\r\n"].concat();
        let proxy = &pair.proxies[0];
        for (address, request) in [(proxy.admin, explain), (proxy.edges[0], edge), (proxy.peers[0], hop)] {
            // a refused one may be closed before all of it is taken
            let _ = Client::connect(address).exchange(&request);
        }
    }
    // acks are written every 500 ms; one is written after all of that
    thread::sleep(Duration::from_millis(700));
    let commands: Vec<String> = commands.try_iter().collect();
    assert!(
        commands.iter().any(|line| line.contains("synaxis:rt")),
        "the monitor sees what the proxies do: {commands:?}"
    );
    let near: Vec<&String> = commands.iter().filter(|line| line.contains("pwned")).collect();
    assert!(near.is_empty(), "{near:?}");
    pair.stop();
}

#[test]
fn the_admin_listener_is_not_reached_by_the_data_plane() {
    let origin = Strict::start();
    let proxy = proxy(&alone(origin.address, ""));
    let (admin, trap) = (proxy.admin, TcpListener::bind("127.0.0.1:0").unwrap());
    trap.set_nonblocking(true).unwrap();
    let there = trap.local_addr().unwrap();
    let port = admin.port();
    let mut served = 0;
    for path in ["/metrics", "/routing", "/routing/table", "/readyz?verbose", "/stamps"] {
        for (target, host) in [
            (path.to_owned(), admin.to_string()),
            (path.to_owned(), format!("localhost:{port}")),
            (path.to_owned(), format!("[::1]:{port}")),
            (format!("http://{admin}{path}"), "a".to_owned()),
            (format!("http://localhost:{port}{path}"), "a".to_owned()),
            (format!("https://{admin}{path}"), "a".to_owned()),
            (format!("http://{there}{path}"), there.to_string()),
            (format!("//{admin}{path}"), "a".to_owned()),
            (format!("/..//{admin}{path}"), "a".to_owned()),
            (format!("http://a@{admin}{path}"), "a".to_owned()),
            (format!("{admin}"), "a".to_owned()),
        ] {
            let mut client = Client::connect(proxy.edges[0]);
            let request = format!(
                "GET {target} HTTP/1.1\r\nHost: {host}\r\nX-Tenant-Id: t\r\nX-Forwarded-Host: {admin}\r\nX-Original-URL: {path}\r\n\r\n"
            );
            let answer = client.exchange(request.as_bytes()).unwrap();
            let text = answer.text();
            let app = answer.status == 200 && text.starts_with("t|GET|");
            served += usize::from(app);
            assert!(app || answer.status == 400, "{target} of {host}: {answer:?} {text}");
            assert!(!text.contains("panics_total") && !text.contains("synaxis-weu-001"), "{text}");
        }
        let connect = format!(
            "CONNECT {admin} HTTP/1.1\r\nHost: {admin}\r\nX-Tenant-Id: t\r\n\r\nGET {path} HTTP/1.1\r\nHost: a\r\n\r\n"
        );
        let mut client = Client::connect(proxy.edges[0]);
        assert_eq!(client.exchange(connect.as_bytes()).unwrap().status, 405);
        assert_eq!(client.rest().unwrap(), b"");
    }
    assert_eq!(origin.count(), served, "whatever was served, the app served");
    assert!(trap.accept().is_err(), "nobody is dialled because a client names him");
    stop(proxy);
}
