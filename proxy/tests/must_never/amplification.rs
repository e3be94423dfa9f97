//! For no endpoint may a client's bytes cost a hundred times as many in memory or upstream.
//!
//! What is measured: the resident memory of the real binary, before and after many connections do the same thing and stay,
//! divided by the connections; and the bytes that the app received. A connection costs something before its client has said
//! anything to the point (a task, hyper's buffers, its place in the registry), and so does a request in flight (the same
//! again for the connection to the app): no protocol server can hold these to a hundred times forty bytes. So these two
//! costs are measured for themselves, held under a bound of their own, and what a client's bytes cost is what lies above
//! them. The kernel's socket buffers are not the process's memory; `limits` and the kernel's own settings bound them.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::world::{Client, Process, Strict, alone};

/// Connections that do the same thing.
const CONNECTIONS: usize = 500;
/// The admin listener takes no more at a time.
const ADMIN_CONNECTIONS: usize = 60;
/// Bytes of memory that a connection or a request in flight may cost by being there.
const FIXED_MAX: usize = 64 << 10;
/// Bytes of memory, or sent upstream, for a client's byte.
const FACTOR_MAX: f64 = 100.0;

#[derive(Clone, Copy, PartialEq)]
enum Door {
    Edge,
    Peer,
    Admin,
}

struct Load {
    name: &'static str,
    door: Door,
    /// Sent by every connection.
    bytes: String,
    /// Whether a request stays in flight because the app holds it.
    held: bool,
}

struct Proxy {
    process: Process,
    doors: [SocketAddr; 3],
    _folder: tempfile::TempDir,
}

impl Proxy {
    fn start(origin: &Strict) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("proxy.toml");
        let peer = "[[listeners]]\nkind = \"peer\"\naddress = \"127.0.0.1:0\"\n[timeouts]\nfirst_byte = \"60s\"\nhead = \"60s\"\n";
        fs::write(&config, alone(origin.address, peer)).unwrap();
        let process = Process::start(&["--log-format", "json", "run", "--config", config.to_str().unwrap()]);
        let listening = process.line(|line| line.contains("\"listening\""));
        let fields: Value = serde_json::from_str(&listening).unwrap();
        let door = |name: &str| fields["fields"][name].as_str().unwrap().trim_matches(['[', ']']).parse().unwrap();
        let doors = [door("edges"), door("peers"), door("admin")];
        Self { process, doors, _folder: folder }
    }

    fn door(&self, door: Door) -> SocketAddr {
        self.doors[door as usize]
    }

    /// Its memory once that has stood still.
    fn settled(&self) -> usize {
        let (mut last, mut since, end) = (0, Instant::now(), Instant::now() + Duration::from_secs(5));
        while since.elapsed() < Duration::from_millis(120) && Instant::now() < end {
            let now = self.process.resident();
            if now != last {
                (last, since) = (now, Instant::now());
            }
            thread::sleep(Duration::from_millis(10));
        }
        last
    }
}

/// Bytes of memory that one of many connections costs while it and its requests stay. Nobody reads an answer.
fn cost(load: &Load) -> usize {
    let origin = Strict::start();
    let proxy = Proxy::start(&origin);
    // whatever is made once is made now
    let warm = "GET / HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\n\r\n";
    for door in [Door::Edge, Door::Peer, Door::Admin] {
        Client::connect(proxy.door(door)).exchange(warm.as_bytes()).unwrap();
    }
    let before = proxy.settled();
    let count = if load.door == Door::Admin { ADMIN_CONNECTIONS } else { CONNECTIONS };
    let open = |_| {
        let client = TcpStream::connect(proxy.door(load.door)).unwrap();
        client.set_nonblocking(true).unwrap();
        // what the kernel does not take now is not sent: nobody can make the proxy read it
        let _ = std::io::Write::write(&mut &client, load.bytes.as_bytes());
        client
    };
    let clients: Vec<TcpStream> = (0..count).map(open).collect();
    let after = proxy.settled();
    drop(clients);
    after.saturating_sub(before) / count
}

const USUAL: &str = "Host: a\r\nX-Tenant-Id: t\r\n";

fn loads() -> Vec<Load> {
    let load = |name, door, bytes: String, held| Load { name, door, bytes, held };
    let edge = |name, bytes: String| load(name, Door::Edge, bytes, false);
    let held = |name, bytes: String| load(name, Door::Edge, bytes, true);
    let hop = "Host: a\r\nX-Synaxis-Hop: 1\r\nX-Synaxis-Epoch: 1.1\r\nX-Synaxis-Entry: synaxis-weu-001\r\nX-Synaxis-Tenant: t\r\n";
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut loads = vec![
        edge("a head that trickles", format!("GET / HTTP/1.1\r\n{USUAL}X: {}", "x".repeat(30 << 10))),
        edge("a head of tiny fields that does not end", format!("GET / HTTP/1.1\r\n{USUAL}{}", "a:\r\n".repeat(90))),
        edge("a head of line breaks", "\r\n".repeat(10_000)),
        edge("pipelined refusals", "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(200)),
        edge("pipelined probes", get("/health").repeat(200)),
        edge("pipelined requests", format!("GET /x HTTP/1.1\r\n{USUAL}\r\n").repeat(200)),
        held("pipelined behind one in flight", format!("GET /hold HTTP/1.1\r\n{USUAL}\r\n").repeat(200)),
        held("tiny fields in flight", format!("GET /hold HTTP/1.1\r\n{USUAL}{}\r\n", "a:\r\n".repeat(90))),
        held("different tiny fields in flight", {
            let fields: String = (0..90).map(|n| format!("{n}:\r\n")).collect();
            format!("GET /hold HTTP/1.1\r\n{USUAL}{fields}\r\n")
        }),
        held("tiny chunks in flight", {
            let chunks = "1\r\nx\r\n".repeat(20_000);
            format!("POST /hold HTTP/1.1\r\n{USUAL}Transfer-Encoding: chunked\r\n\r\n{chunks}")
        }),
        held("an upload in flight", {
            let body = "x".repeat(200 << 10);
            format!("POST /hold HTTP/1.1\r\n{USUAL}Content-Length: 10000000\r\n\r\n{body}")
        }),
        load("pipelined probes of a peer", Door::Peer, get("/health").repeat(200), false),
        load("pipelined tables of a peer", Door::Peer, get("/synaxis/table").repeat(200), false),
        load("a forward in flight", Door::Peer, format!("GET /hold HTTP/1.1\r\n{hop}\r\n"), true),
    ];
    for (name, path) in [
        ("pipelined metrics", "/metrics"),
        ("pipelined verbose readiness", "/readyz?verbose"),
        ("pipelined routing", "/routing"),
        ("pipelined explanations", "/routing/explain?tenant=t"),
        ("pipelined admin tables", "/routing/table"),
    ] {
        loads.push(load(name, Door::Admin, get(path).repeat(200), false));
    }
    loads
}

#[test]
fn no_clients_bytes_cost_a_hundred_times_as_many_in_memory() {
    let fixed = |door, path: Option<&str>| {
        let bytes = path.map_or_else(|| "G".to_owned(), |path| format!("GET {path} HTTP/1.1\r\n{USUAL}\r\n"));
        cost(&Load { name: "fixed", door, bytes, held: path.is_some() })
    };
    let (idle, in_flight) = (fixed(Door::Edge, None), fixed(Door::Edge, Some("/hold")));
    println!("a connection costs {idle} bytes, one with a request in flight {in_flight}");
    assert!(idle < FIXED_MAX && in_flight < 2 * FIXED_MAX, "{idle} {in_flight}");
    for load in loads() {
        let cost = cost(&load);
        let floor = if load.held { in_flight } else { idle };
        let factor = cost.saturating_sub(floor) as f64 / load.bytes.len() as f64;
        println!("{}: {cost} bytes for {} sent, {factor:.1} times above the fixed cost", load.name, load.bytes.len());
        assert!(
            factor < FACTOR_MAX,
            "{}: {cost} bytes of memory for {} bytes, above {floor}",
            load.name,
            load.bytes.len()
        );
    }
}

#[test]
fn no_clients_bytes_cost_a_hundred_times_as_many_upstream() {
    let origin = Strict::start();
    let proxy = Proxy::start(&origin);
    let hop = "Host: a\r\nX-Synaxis-Hop: 1\r\nX-Synaxis-Epoch: 1.1\r\nX-Synaxis-Entry: synaxis-weu-001\r\nX-Synaxis-Tenant: t\r\n";
    let fields: String = (0..90).map(|n| format!("{n}:\r\n")).collect();
    let chunks = "1\r\nx\r\n".repeat(5_000);
    for (name, door, bytes, least) in [
        ("a GET", Door::Edge, format!("GET / HTTP/1.1\r\n{USUAL}\r\n"), 50),
        ("tiny fields", Door::Edge, format!("GET / HTTP/1.1\r\n{USUAL}{fields}\r\n"), 50),
        ("a HEAD", Door::Edge, format!("HEAD / HTTP/1.1\r\n{USUAL}\r\n"), 50),
        (
            "tiny chunks",
            Door::Edge,
            format!("POST / HTTP/1.1\r\n{USUAL}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"),
            5_000,
        ),
        ("an app that slams", Door::Edge, format!("GET /slam HTTP/1.1\r\n{USUAL}\r\n"), 50),
        ("a forward", Door::Peer, format!("GET / HTTP/1.1\r\n{hop}\r\n"), 50),
        ("a refusal", Door::Edge, "GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 0),
        ("a probe", Door::Edge, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 0),
        ("a stranger", Door::Peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 0),
        ("metrics", Door::Admin, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 0),
    ] {
        let before = origin.received.load(std::sync::atomic::Ordering::Relaxed);
        let mut client = Client::connect(proxy.door(door));
        client.send(bytes.as_bytes());
        client.answer(bytes.starts_with("HEAD ")).unwrap();
        let sent = origin.received.load(std::sync::atomic::Ordering::Relaxed) - before;
        let factor = sent as f64 / bytes.len() as f64;
        println!("{name}: {sent} bytes upstream for {}, {factor:.1} times", bytes.len());
        assert!(sent >= least && factor < FACTOR_MAX, "{name}: {sent} bytes upstream for {}", bytes.len());
    }
}
