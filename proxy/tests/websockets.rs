//! WebSockets: agreed to by the app or not at all, carried byte for byte, ended in time.

use std::{
    fs,
    io::{BufReader, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    time::{Duration, Instant},
};

use synaxis_proxy::{dataplane::Snapshot, shutdown::Phase};

use crate::world::{Client, Origin, Raw, alone, eventually, proxy, raw::head, stop};

const AGREED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n";

/// A client's request for a WebSocket.
pub fn ask(tenant: &str, path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: {tenant}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// Waits until a metric has a value.
pub fn eventually_metric(admin: SocketAddr, name: &str, value: f64) {
    eventually(&format!("{name} {value}"), || {
        let text = Client::connect(admin).exchange(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).map(str::to_owned);
        line.is_some_and(|number| number.parse() == Ok(value))
    });
}

/// An app that agrees to every WebSocket and hands over its connection.
fn agreeing() -> (Raw, Receiver<TcpStream>) {
    let (sender, streams): (Sender<TcpStream>, _) = channel();
    let sender = Mutex::new(sender);
    let app = Raw::start(move |mut stream| {
        // no reader with a buffer of its own: what follows the head is the test's to read
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read(&mut byte).unwrap_or(0) == 0 {
                return;
            }
            head.push(byte[0]);
        }
        stream.write_all(AGREED).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let _ = sender.lock().unwrap().send(stream);
    });
    (app, streams)
}

fn next(streams: &Receiver<TcpStream>) -> TcpStream {
    streams.recv_timeout(Duration::from_secs(10)).unwrap()
}

fn ended(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn a_websocket_is_carried_byte_for_byte_and_counted() {
    let origin = Origin::start("app");
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let settings = alone(origin.address, "").replace("\"off\"", &format!("{:?}", log.display().to_string()));
    let proxy = proxy(&settings);
    let mut client = Client::connect(proxy.edges[0]);
    // a connection may be used before
    assert_eq!(client.get("t", "/before").status, 200);
    let answer = client.exchange(ask("t", "/websocket?token=secret").as_bytes()).unwrap();
    assert_eq!(
        (answer.status, answer.header("connection"), answer.header("upgrade")),
        (101, Some("upgrade"), Some("websocket"))
    );
    assert_eq!(answer.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert!(answer.header("x-synaxis-spoof").is_none() && answer.header("content-length").is_none());
    let seen = &origin.seen()[1];
    assert_eq!((seen.all("upgrade"), seen.all("connection")), (vec!["websocket"], vec!["upgrade"]));
    assert_eq!(
        (seen.all("sec-websocket-key"), seen.all("sec-websocket-version")),
        (vec!["dGhlIHNhbXBsZSBub25jZQ=="], vec!["13"])
    );
    assert!(seen.all("content-length").is_empty() && seen.all("transfer-encoding").is_empty());
    // any bytes: the proxy reads where frames end and judges nothing
    let bytes: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let mut upload = client.stream().try_clone().unwrap();
    let sent = bytes.clone();
    let sender = std::thread::spawn(move || upload.write_all(&sent).unwrap());
    assert_eq!(client.bytes(bytes.len()).unwrap(), bytes);
    sender.join().unwrap();
    eventually_metric(proxy.admin, "websockets", 1.0);
    assert_eq!((proxy.plane().in_flight(), proxy.plane().connections()), (0, 1), "it is no request any more");
    eventually_metric(proxy.admin, "http_server_request_duration_seconds_count", 2.0);
    drop(client);
    eventually("it has ended", || proxy.plane().in_flight() == 0 && proxy.plane().connections() == 0);
    eventually_metric(proxy.admin, "websockets", 0.0);
    eventually_metric(proxy.admin, "websockets_total", 1.0);
    eventually("it is logged", || fs::read_to_string(&log).unwrap().lines().count() == 2);
    let line: serde_json::Value =
        serde_json::from_str(fs::read_to_string(&log).unwrap().lines().last().unwrap()).unwrap();
    assert_eq!((&line["status"], &line["path"]), (&101.into(), &"/websocket".into()));
    assert_eq!((&line["bytes"], &line["tunnel_bytes_up"]), (&bytes.len().into(), &bytes.len().into()));
    stop(proxy);
}

#[test]
fn what_a_client_sends_too_early_waits_for_the_app_to_agree() {
    let seen: Arc<Mutex<Vec<u8>>> = Arc::default();
    let log = Arc::clone(&seen);
    let app = Raw::start(move |mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let _ = head(&mut reader);
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let early = reader.read(&mut [0; 64]).map_err(|error| error.kind());
        assert!(matches!(early, Err(ErrorKind::WouldBlock)), "{early:?} came before the 101");
        // the first bytes of the app come with its answer
        let _ = stream.write_all(&[AGREED, b"\x82\x01a"].concat());
        let mut rest = vec![0; 9];
        let _ = reader.read_exact(&mut rest);
        log.lock().unwrap().extend(rest);
        let _ = stream.write_all(b"\x82\x01b");
    });
    let proxy = proxy(&alone(app.address, ""));
    let mut client = Client::connect(proxy.edges[0]);
    client.send(&[ask("t", "/").as_bytes(), b"GET / HTT"].concat());
    assert_eq!(client.answer(false).unwrap().status, 101);
    assert_eq!(client.bytes(6).unwrap(), b"\x82\x01a\x82\x01b");
    assert_eq!(seen.lock().unwrap().as_slice(), b"GET / HTT");
    stop(proxy);
}

#[test]
fn when_the_app_does_not_agree_nothing_behind_the_request_is_read() {
    for (status, body) in [(200, "welcome"), (403, "no"), (426, "")] {
        let requests = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&requests);
        let app = Raw::start(move |mut stream| {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while head(&mut reader).is_some() {
                count.fetch_add(1, Ordering::SeqCst);
                let _ = write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            }
        });
        let proxy = proxy(&alone(app.address, ""));
        let mut client = Client::connect(proxy.edges[0]);
        client.send(format!("{}GET /smuggled HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\n\r\n", ask("t", "/")).as_bytes());
        let answer = client.answer(false).unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (status, body));
        assert_eq!(answer.header("connection"), Some("close"), "{status}");
        assert!(client.is_closed(), "{status}");
        assert_eq!(requests.load(Ordering::SeqCst), 1, "{status}");
        // the same when it is the proxy who says no
        let mut client = Client::connect(proxy.edges[0]);
        let nobodys = ask("t", "/").replace("X-Tenant-Id: t\r\n", "");
        client.send(format!("{nobodys}GET /smuggled HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\n\r\n").as_bytes());
        assert_eq!(client.answer(false).unwrap().reason(), "tenant_missing");
        assert!(client.is_closed(), "{status}");
        assert_eq!(requests.load(Ordering::SeqCst), 1, "{status}");
        stop(proxy);
    }
}

#[test]
fn a_101_to_something_else_is_no_answer() {
    for fields in [
        "Upgrade: h2c\r\nConnection: upgrade\r\nSec-WebSocket-Accept: x\r\n",
        "Upgrade: websocket, h2c\r\nConnection: upgrade\r\nSec-WebSocket-Accept: x\r\n",
        "Upgrade: websocket\r\nUpgrade: h2c\r\nConnection: upgrade\r\nSec-WebSocket-Accept: x\r\n",
        "Connection: upgrade\r\nSec-WebSocket-Accept: x\r\n",
        "Upgrade: websocket\r\nSec-WebSocket-Accept: x\r\n",
        "Upgrade: websocket\r\nConnection: upgrade\r\n",
        "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: x\r\nSec-WebSocket-Accept: y\r\n",
    ] {
        let app = Raw::start(move |mut stream| {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let _ = head(&mut reader);
            let _ = write!(stream, "HTTP/1.1 101 X\r\n{fields}\r\n");
            let _ = ended(&mut stream);
        });
        let proxy = proxy(&alone(app.address, ""));
        let answer = Client::connect(proxy.edges[0]).exchange(ask("t", "/").as_bytes()).unwrap();
        assert_eq!((answer.status, answer.reason().as_str()), (502, "upstream_invalid"), "{fields}");
        eventually("nothing is left", || proxy.plane().in_flight() == 0);
        stop(proxy);
    }
}

#[test]
fn what_is_no_request_for_a_websocket_stays_an_ordinary_request() {
    let origin = Origin::start("app");
    let routes = "[[routes]]\nname = \"plain\"\npath_prefix = \"/plain\"\nupstream = \"app\"\nwebsocket = false\n\
                  [[routes]]\nname = \"rest\"\npath_prefix = \"/\"\nupstream = \"app\"\n";
    let proxy = proxy(&alone(origin.address, routes));
    let good = ask("t", "/");
    for (what, request) in [
        ("a route without", ask("t", "/plain")),
        ("another protocol", good.replace("websocket", "h2c")),
        ("no Connection", good.replace("keep-alive, Upgrade", "keep-alive")),
        ("no key", good.replace("Sec-WebSocket-Key", "X-Key")),
        ("two keys", good.replace("Host: a", "Host: a\r\nSec-WebSocket-Key: x")),
        (
            "a key that belongs to the connection",
            good.replace("Upgrade\r\nUpgrade", "Upgrade, Sec-WebSocket-Key\r\nUpgrade"),
        ),
        ("no version", good.replace("Sec-WebSocket-Version", "X-Version")),
        ("another method", good.replace("GET", "DELETE")),
        ("an old client", good.replace("HTTP/1.1", "HTTP/1.0")),
    ] {
        let before = origin.count();
        let answer = Client::connect(proxy.edges[0]).exchange(request.as_bytes()).unwrap();
        assert_eq!(answer.status, 200, "{what}");
        let seen = origin.seen();
        assert_eq!(seen.len(), before + 1, "{what}");
        assert!(seen[before].all("upgrade").is_empty() && seen[before].all("connection").is_empty(), "{what}");
    }
    let count = origin.count();
    for framing in ["Content-Length: 1\r\n\r\nx", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"] {
        let request = good.trim_end().to_owned() + "\r\n" + framing;
        let mut client = Client::connect(proxy.edges[0]);
        let answer = client.exchange(request.as_bytes()).unwrap();
        assert_eq!((answer.status, answer.reason().as_str()), (400, "framing_invalid"), "{framing}");
        assert!(client.is_closed());
    }
    assert_eq!(origin.count(), count);
    stop(proxy);
}

#[test]
fn either_end_takes_the_other_with_it_and_half_an_end_is_passed_on() {
    let (app, streams) = agreeing();
    let proxy = proxy(&alone(app.address, ""));
    let open = || {
        let mut client = Client::connect(proxy.edges[0]);
        assert_eq!(client.exchange(ask("t", "/").as_bytes()).unwrap().status, 101);
        (client, next(&streams))
    };
    let (client, mut app_side) = open();
    drop(client);
    assert!(ended(&mut app_side));
    drop(app_side);
    let (mut client, app_side) = open();
    drop(app_side);
    assert!(client.is_closed());
    drop(client);
    let (mut client, mut app_side) = open();
    client.stream().shutdown(Shutdown::Write).unwrap();
    assert!(ended(&mut app_side));
    app_side.write_all(b"\x82\x04last").unwrap();
    drop(app_side);
    assert_eq!(client.bytes(6).unwrap(), b"\x82\x04last");
    assert!(client.is_closed());
    drop(client);
    let (mut client, mut app_side) = open();
    app_side.shutdown(Shutdown::Write).unwrap();
    assert!(client.is_closed());
    client.send(b"\x82\x04last");
    let mut last = [0; 6];
    app_side.read_exact(&mut last).unwrap();
    assert_eq!(&last, b"\x82\x04last");
    drop((client, app_side));
    eventually("all is over", || proxy.plane().in_flight() == 0 && proxy.plane().connections() == 0);
    stop(proxy);
}

#[test]
fn who_reads_slowly_holds_the_sender_back() {
    const ALL: usize = 64 << 20;
    let (app, streams) = agreeing();
    let proxy = proxy(&alone(app.address, ""));
    let mut client = Client::connect(proxy.edges[0]);
    assert_eq!(client.exchange(ask("t", "/").as_bytes()).unwrap().status, 101);
    let app_side = next(&streams);
    for (mut from, mut to) in [
        (app_side.try_clone().unwrap(), client.stream().try_clone().unwrap()),
        (client.stream().try_clone().unwrap(), app_side.try_clone().unwrap()),
    ] {
        let sent = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&sent);
        let sender = std::thread::spawn(move || {
            while count.fetch_add(64 << 10, Ordering::SeqCst) < ALL {
                from.write_all(&[b'x'; 64 << 10]).unwrap();
            }
        });
        let mut last = (0, Instant::now());
        eventually("it stands still", || {
            let now = sent.load(Ordering::SeqCst);
            if now != last.0 {
                last = (now, Instant::now());
            }
            now > 0 && last.1.elapsed() > Duration::from_millis(300)
        });
        assert!(last.0 < ALL / 2, "{} of {ALL} bytes went somewhere although nobody reads", last.0);
        let mut taken = 0;
        let mut piece = vec![0; 1 << 20];
        while taken < ALL {
            taken += to.read(&mut piece).unwrap();
        }
        sender.join().unwrap();
        assert_eq!(taken, ALL);
    }
    stop(proxy);
}

#[test]
fn a_silent_websocket_is_ended_and_one_that_says_something_is_not() {
    let origin = Origin::start("app");
    let limits = "[timeouts]\ntunnel_idle = \"400ms\"\nidle = \"96s\"\nhead = \"300ms\"\nbody_idle = \"100ms\"\nfirst_byte = \"100ms\"\n";
    let proxy = proxy(&alone(origin.address, limits));
    let mut client = Client::connect(proxy.edges[0]);
    assert_eq!(client.exchange(ask("t", "/websocket").as_bytes()).unwrap().status, 101);
    for _ in 0..8 {
        std::thread::sleep(Duration::from_millis(150));
        client.send(b"\x89\x00");
        assert_eq!(client.bytes(2).unwrap(), b"\x89\x00");
    }
    let silent = Instant::now();
    assert!(client.bytes(1).is_err());
    assert!((300..2_000).contains(&silent.elapsed().as_millis()), "{:?}", silent.elapsed());
    eventually_metric(proxy.admin, "connections_expired_total{reason=\"tunnel_idle\"}", 1.0);
    stop(proxy);
}

#[test]
fn on_the_way_out_both_sides_are_told_between_two_frames() {
    let (app, streams) = agreeing();
    let proxy = proxy(&alone(app.address, "tunnels = \"200ms\"\n").replace("drain = \"2s\"", "drain = \"4s\""));
    let mut client = Client::connect(proxy.edges[0]);
    assert_eq!(client.exchange(ask("t", "/").as_bytes()).unwrap().status, 101);
    let mut app_side = next(&streams);
    // the app is in the middle of a frame, the client is not
    app_side.write_all(b"\x82\x06abc").unwrap();
    assert_eq!(client.bytes(5).unwrap(), b"\x82\x06abc");
    let told = Instant::now();
    proxy.stop();
    eventually("it drains", || proxy.plane().shutdown.phase() == Phase::Draining);
    let mut close = [0; 8];
    app_side.read_exact(&mut close).unwrap();
    assert_eq!(close[..2], [0x88, 0x82], "masked, as from a client");
    assert_eq!([close[6] ^ close[2], close[7] ^ close[3]], [0x03, 0xE9]);
    app_side.write_all(b"def\x82\x01x").unwrap();
    assert_eq!(client.bytes(7).unwrap(), b"def\x88\x02\x03\xE9", "nothing comes behind a close frame");
    client.send(&[0x88, 0x80, 1, 2, 3, 4]);
    app_side.write_all(b"\x88\x02\x03\xE9").unwrap();
    assert!(client.is_closed());
    proxy.wait();
    assert!(
        told.elapsed() < Duration::from_millis(3_900),
        "{:?}: it did not wait for the end of the drain",
        told.elapsed()
    );
    // who does not answer is not waited for
    let (app, streams) = agreeing();
    let proxy = crate::world::proxy(&alone(app.address, "").replace("drain = \"2s\"", "drain = \"30s\""));
    let mut client = Client::connect(proxy.edges[0]);
    assert_eq!(client.exchange(ask("t", "/").as_bytes()).unwrap().status, 101);
    let _app_side = next(&streams);
    let plane = Arc::clone(proxy.plane());
    plane.shutdown.advance(Phase::Cut);
    let told = Instant::now();
    proxy.wait();
    assert!(told.elapsed() < Duration::from_secs(2) && client.is_closed());
}

#[test]
fn a_websocket_keeps_no_snapshot() {
    let (app, streams) = agreeing();
    let proxy = proxy(&alone(app.address, ""));
    let mut client = Client::connect(proxy.edges[0]);
    assert_eq!(client.exchange(ask("t", "/").as_bytes()).unwrap().status, 101);
    let _app_side = next(&streams);
    let old = proxy.plane().snapshot.load_full();
    let new = Snapshot {
        settings: Arc::clone(&old.settings),
        apps: old.apps.clone(),
        peer_limits: old.peer_limits.clone(),
        classes: old.classes.clone(),
        limits: old.limits.clone(),
        fleet: old.fleet.clone(),
        live_pools: old.live_pools.clone(),
    };
    proxy.plane().snapshot.store(Arc::new(new));
    let kept = Arc::downgrade(&old);
    drop(old);
    eventually("nobody has the old snapshot", || kept.upgrade().is_none());
    assert_eq!(proxy.plane().connections(), 1);
    stop(proxy);
}
