//! A process that leaves loses no request: it is not ready at once, serves on, asks to be left, and waits.

mod crowd;
mod rolls;
mod stamp;

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::Command,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use synaxis_proxy::{server::Running, shutdown::Phase};

use crate::{
    websockets::ask,
    world::{Answer, Client, Origin, Process, alone, eventually, proxy, stop},
};

const TOKEN: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";

/// The configuration of one proxy with these times.
fn config(origin: SocketAddr, times: &str) -> String {
    let text = alone(origin, "");
    let (before, _) = text.split_once("[shutdown]").unwrap();
    format!("{before}[shutdown]\n{times}\n").replace("[admin]\n", &format!("[admin]\ntoken = \"{TOKEN}\"\n"))
}

fn written(folder: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("proxy.toml");
    fs::write(&path, text).unwrap();
    path
}

fn reached(proxy: &Running, phase: Phase) {
    eventually(&format!("{phase:?}"), || proxy.plane().shutdown.phase() >= phase);
}

fn probe(admin: SocketAddr, path: &str) -> u16 {
    Client::connect(admin).exchange(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap().status
}

/// That an answer is one, and its connection's last.
fn is_last(answer: &Answer, client: &mut Client) {
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{}", answer.text());
    assert!(client.is_closed());
}

#[test]
fn an_idle_connection_that_wakes_while_the_process_leaves_is_answered_and_told_to_close() {
    let origin = Origin::start("app");
    let times = "lame_duck = \"400ms\"\ndrain = \"9s\"\nclient_keepalive = \"8s\"";
    let proxy = proxy(&config(origin.address, times));
    let (edge, admin) = (proxy.edges[0], proxy.admin);
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(edge)).collect();
    for client in &mut clients {
        assert_eq!(client.get("t", "/before").header("connection"), None);
    }
    let stopped = Instant::now();
    proxy.stop();
    assert_eq!((probe(admin, "/readyz"), probe(admin, "/livez")), (503, 200), "at once");
    let mut late = Client::connect(edge);
    assert_eq!(late.get("t", "/new").status, 200, "who comes in the lame duck is served");
    reached(&proxy, Phase::Draining);
    assert!(stopped.elapsed() >= Duration::from_millis(400));
    is_last(&clients[0].get("t", "/woken"), &mut clients[0]);
    // listeners close once their queue is empty
    eventually("nobody is accepted any more", || Client::try_connect(edge).is_err());
    // long enough for whoever closes idle connections to look at them
    thread::sleep(Duration::from_millis(100));
    // Front Door asks through connections that it has
    let healthy = clients[1].exchange(b"GET /health HTTP/1.1\r\nHost: probe\r\n\r\n").unwrap();
    assert_eq!(healthy.header("x-synaxis-state"), Some("active"), "the stamp is as it was");
    is_last(&healthy, &mut clients[1]);
    is_last(&clients[2].get("t", "/last"), &mut clients[2]);
    drop(late);
    proxy.wait();
    assert!(stopped.elapsed() < Duration::from_secs(5), "{:?}: nothing was left to wait for", stopped.elapsed());
    assert_eq!(origin.count(), 6);
}

#[test]
fn connections_are_told_to_close_one_after_the_other() {
    const LAME_DUCK: f64 = 0.8;
    let origin = Origin::start("app");
    let proxy = proxy(&config(origin.address, "lame_duck = \"800ms\"\ndrain = \"5s\""));
    let mut clients: Vec<Client> = (0..24).map(|_| Client::connect(proxy.edges[0])).collect();
    for client in &mut clients {
        assert_eq!(client.get("t", "/before").header("connection"), None);
    }
    let total = clients.len();
    let stopped = Instant::now();
    proxy.stop();
    let passed = || stopped.elapsed().as_secs_f64() / LAME_DUCK;
    // each time at which one was told, with the last time at which none was
    let (mut told, mut before) = (Vec::new(), 0.0);
    while !clients.is_empty() {
        let round = passed();
        clients.retain_mut(|client| {
            let stays = client.get("t", "/").header("connection").is_none();
            if !stays {
                told.push((before, passed()));
            }
            stays
        });
        before = round;
    }
    proxy.wait();
    for (number, (from, until)) in told.iter().enumerate() {
        let expected = (number as f64 + 0.5) / total as f64;
        let fits = from - 0.2 < expected && expected < until + 0.2;
        assert!(fits, "number {number} of {total} was told between {from:.2} and {until:.2}: {told:.2?}");
    }
}

#[test]
fn an_idle_connection_is_left_open_for_as_long_as_clients_keep_it_and_no_longer() {
    let origin = Origin::start("app");
    let times = "lame_duck = \"20ms\"\ndrain = \"9s\"\nclient_keepalive = \"500ms\"";
    let proxy = proxy(&config(origin.address, times));
    let mut client = Client::connect(proxy.edges[0]);
    assert_eq!(client.get("t", "/").status, 200);
    let idle = Instant::now();
    let plane = Arc::clone(proxy.plane());
    proxy.stop();
    assert_eq!(client.rest(), Some(Vec::new()), "closed without a word");
    proxy.wait();
    assert!((450..3_000).contains(&idle.elapsed().as_millis()), "{:?}", idle.elapsed());
    assert!(plane.metrics.render().contains("connections_expired_total{reason=\"drain\"} 1"));
}

#[test]
fn who_waits_to_be_accepted_when_it_is_time_to_go_is_served() {
    let (origin, folder) = (Origin::start("app"), tempfile::tempdir().unwrap());
    let times = "lame_duck = \"300ms\"\ndrain = \"9s\"\nclient_keepalive = \"8s\"";
    let (mut process, edge) = Process::proxy(&written(&folder, &config(origin.address, times)));
    process.signal("TERM");
    process.line(|line| line.contains("stopping"));
    // the whole process stands still until its lame duck is over
    process.signal("STOP");
    thread::sleep(Duration::from_millis(400));
    let mut clients: Vec<Client> = (0..40).map(|_| Client::connect(edge)).collect();
    for client in &mut clients[..20] {
        client.send(b"GET /queued HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\n\r\n");
    }
    process.signal("CONT");
    process.line(|line| line.contains("draining"));
    for client in &mut clients[20..] {
        client.send(b"GET /later HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\n\r\n");
    }
    for (index, client) in clients.iter_mut().enumerate() {
        let answer = client.answer(false).unwrap();
        assert_eq!(answer.status, 200);
        // who is answered before the process has looked at its clock again may stay until he is told
        assert!(index < 20 || answer.header("connection") == Some("close"));
    }
    drop(clients);
    assert!(process.wait().success());
    assert_eq!(origin.count(), 40);
}

/// A request, a WebSocket and two idle connections.
fn busy(edge: SocketAddr, origin: &Origin) -> Vec<Client> {
    let mut clients: Vec<Client> = (0..4).map(|_| Client::connect(edge)).collect();
    clients[0].send(b"GET /slow HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\n\r\n");
    assert_eq!(clients[1].exchange(ask("t", "/websocket").as_bytes()).unwrap().status, 101);
    clients[2..].iter_mut().for_each(|client| assert_eq!(client.get("t", "/").status, 200));
    eventually("the app works on it", || origin.count() == 4);
    clients
}

#[test]
fn a_second_signal_cuts_and_says_what() {
    let (origin, folder) = (Origin::start("app"), tempfile::tempdir().unwrap());
    let times = "lame_duck = \"20s\"\ndrain = \"60s\"";
    let (mut process, edge) = Process::proxy(&written(&folder, &config(origin.address, times)));
    let mut clients = busy(edge, &origin);
    process.signal("TERM");
    process.line(|line| line.contains("stopping"));
    let told = Instant::now();
    process.signal("INT");
    process.line(|line| line.contains("a second signal"));
    let line: serde_json::Value = serde_json::from_str(&process.line(|line| line.contains("cut off"))).unwrap();
    let cut = |kind: &str| line["fields"][kind].as_u64().unwrap();
    assert_eq!((cut("requests"), cut("tunnels"), cut("idle_connections")), (1, 1, 2), "{line}");
    assert!(process.wait().success());
    assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
    assert!(clients.iter_mut().all(Client::is_closed));
}

#[test]
fn what_is_left_when_the_drain_is_over_is_cut_and_counted() {
    let origin = Origin::start("app");
    let times = "lame_duck = \"20ms\"\ndrain = \"400ms\"\ntunnels = \"30s\"\nclient_keepalive = \"95s\"";
    let proxy = proxy(&config(origin.address, times));
    let mut clients = busy(proxy.edges[0], &origin);
    let plane = Arc::clone(proxy.plane());
    let asked = Client::connect(proxy.admin).exchange(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().text();
    assert!(asked.contains("shutdown_phase 0") && asked.contains("shutdown_cut_total{kind=\"request\"} 0"), "{asked}");
    proxy.stop();
    // its app does not close: it is told, and then cut
    assert_eq!(clients[1].bytes(4).unwrap(), [0x88, 2, 0x03, 0xE9]);
    proxy.wait();
    let text = plane.metrics.render();
    for (kind, count) in [("request", 1), ("tunnel", 1), ("idle_connection", 2)] {
        let series = format!("shutdown_cut_total{{kind=\"{kind}\"}} {count}");
        assert!(text.lines().any(|line| line == series), "no {series} in {text}");
    }
}

#[test]
fn an_output_that_takes_no_lines_does_not_keep_the_process() {
    let (origin, folder) = (Origin::start("app"), tempfile::tempdir().unwrap());
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // opened for both, so that nobody waits for the other side, and never read
    let held = fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    let times = "lame_duck = \"20ms\"\nclient_keepalive = \"20ms\"\nflush = \"300ms\"";
    let text = config(origin.address, times).replace("\"off\"", &format!("{:?}", pipe.display().to_string()));
    let (mut process, edge) = Process::proxy(&written(&folder, &text));
    let mut client = Client::connect(edge);
    let path = format!("/{}", "x".repeat(1_000));
    for _ in 0..200 {
        assert_eq!(client.get("t", &path).status, 200);
    }
    drop(client);
    let told = Instant::now();
    process.signal("TERM");
    process.line(|line| line.contains("has not ended in time") && line.contains("access-log"));
    assert!(process.wait().success());
    assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
    drop(held);
}

#[test]
fn whoever_has_the_token_makes_it_leave_and_a_signal_after_that_cuts_nothing() {
    let (origin, folder) = (Origin::start("app"), tempfile::tempdir().unwrap());
    let times = "lame_duck = \"300ms\"\ndrain = \"60s\"\nclient_keepalive = \"20ms\"";
    let (mut process, edge, admin) = Process::proxy_and_admin(&written(&folder, &config(origin.address, times)));
    let send = |method: &str, fields: &str, body: &str| {
        let length = body.len();
        let head = format!("{method} /drain HTTP/1.1\r\nHost: localhost\r\n{fields}Content-Length: {length}\r\n\r\n");
        Client::connect(admin).exchange(format!("{head}{body}").as_bytes()).unwrap()
    };
    let json = "Content-Type: application/json\r\n";
    let good = format!("Authorization: Bearer {TOKEN}\r\n{json}");
    let plain = good.replace("application/json", "text/plain");
    let foreign = format!("{good}Origin: http://evil.example\r\n");
    for (method, fields, body, status, reason) in [
        ("POST", json, "{}", 401, "token_required"),
        ("POST", &good.replace("0f1e", "0f1f"), "{}", 401, "token_required"),
        ("POST", &plain, "{}", 415, "content_type"),
        ("POST", &foreign, "{}", 403, "origin_forbidden"),
        ("POST", &good, "", 400, "body_invalid"),
        ("POST", &good, "{\"undo\":true}", 400, "body_invalid"),
        ("POST", &good, "null", 400, "body_invalid"),
        ("GET", &good, "", 405, "method_not_allowed"),
        ("PUT", &good, "{}", 405, "method_not_allowed"),
    ] {
        let answer = send(method, fields, body);
        assert_eq!(
            (answer.status, answer.json()["reason"].as_str()),
            (status, Some(reason)),
            "{method} {fields}{body}"
        );
        assert_eq!(answer.header("allow"), (status == 405).then_some("POST"));
    }
    assert_eq!(probe(admin, "/readyz"), 200, "it stays");
    let mut client = Client::connect(edge);
    client.send(b"GET /slow HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\n\r\n");
    eventually("the app works on it", || origin.count() == 1);
    for _ in 0..2 {
        let answer = send("POST", &good, "{}");
        assert_eq!((answer.status, answer.json()), (200, serde_json::json!({ "phase": "lame_duck" })));
        assert_eq!(probe(admin, "/readyz"), 503);
    }
    process.line(|line| line.contains("an operator asked this process to leave"));
    process.signal("TERM");
    process.line(|line| line.contains("stopping"));
    process.line(|line| line.contains("draining"));
    assert_eq!(send("POST", &good, "{}").json(), serde_json::json!({ "phase": "draining" }));
    origin.release();
    is_last(&client.answer(false).unwrap(), &mut client);
    assert!(process.wait().success());
    assert!(process.rest().is_empty(), "nothing was cut");
}

#[test]
fn websockets_are_told_to_close_over_the_time_that_is_theirs() {
    let origin = Origin::start("app");
    let proxy = proxy(&config(origin.address, "lame_duck = \"20ms\"\ndrain = \"30s\"\ntunnels = \"800ms\""));
    let mut clients: Vec<Client> = (0..16).map(|_| Client::connect(proxy.edges[0])).collect();
    for client in &mut clients {
        assert_eq!(client.exchange(ask("t", "/websocket").as_bytes()).unwrap().status, 101);
    }
    proxy.stop();
    reached(&proxy, Phase::Draining);
    let began = Instant::now();
    let waiting: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            thread::spawn(move || {
                assert_eq!(client.bytes(4).unwrap(), [0x88, 2, 0x03, 0xE9]);
                let told = began.elapsed();
                client.send(&[0x88, 0x80, 1, 2, 3, 4]);
                told.as_millis()
            })
        })
        .collect();
    let mut told: Vec<u128> = waiting.into_iter().map(|client| client.join().unwrap()).collect();
    told.sort_unstable();
    let (first, last) = (told[3], told[15]);
    assert!(first < 500 && last > 400 && last < 1_300, "not spread: {told:?}");
    // the rest of the drain is not waited for
    stop(proxy);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
