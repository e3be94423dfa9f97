//! What a stamp says of itself, and what others in its place say.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    time::{Duration, Instant},
};

use crate::World;

/// A peer listener that gives these answers, one a connection, the last one for good. With `hold` it never closes.
fn peer(answers: Vec<Vec<u8>>, hold: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        let mut answers = answers.into_iter().peekable();
        let mut current = Vec::new();
        while let Ok((mut stream, _)) = listener.accept() {
            current = answers.next().unwrap_or(current);
            let mut request = [0; 4096];
            let n = stream.read(&mut request).unwrap_or(0);
            assert!(n == 0 || request[..n].starts_with(b"GET /health HTTP/1.1\r\n"));
            let _ = stream.write_all(&current);
            if hold {
                held.push(stream);
            }
        }
    });
    address
}

fn says(status: &str, fields: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{fields}content-length: 0\r\n\r\n").into_bytes()
}

/// A store with one Active stamp at this address.
fn at(peer: SocketAddr) -> World {
    let world = World::file();
    world.run(&format!("register weu-001 --endpoint http://{peer} --init")).code(0);
    world.run("activate weu-001 --ramp 0s").code(0);
    world
}

#[test]
fn a_stamp_whose_app_is_well_is_healthy_and_one_whose_app_is_bad_is_not() {
    let world = at(peer(vec![says("200 OK", "x-synaxis-state: active\r\nx-synaxis-app: ok\r\n")], false));
    let text = world.run("health weu-001").code(0).out;
    for expected in ["healthy", "yes", "active (active in the table)"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let well = world.json("health weu-001");
    assert_eq!((&well["healthy"], &well["reachable"], &well["app"]), (&true.into(), &true.into(), &"ok".into()));
    assert_eq!((&well["state"], &well["status"]), (&"active".into(), &200.into()));
    for app in ["bad", "unknown"] {
        let world =
            at(peer(vec![says("200 OK", &format!("x-synaxis-state: active\r\nx-synaxis-app: {app}\r\n"))], false));
        let ran = world.run("health weu-001 -o json").code(1).says(&["is not healthy"]);
        let sick = ran.json();
        assert_eq!((&sick["healthy"], &sick["app"], &sick["reachable"]), (&false.into(), &app.into(), &true.into()));
    }
}

#[test]
fn whatever_answers_in_its_place_is_named_and_costs_little() {
    let huge_body = [&b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n"[..], &[b'x'; 1 << 16]].concat();
    let huge_head = [&b"HTTP/1.1 200 OK\r\nx-synaxis-state: "[..], &vec![b'a'; 4 << 20], b"\r\n\r\n"].concat();
    let chunk = [&b"100000\r\n"[..], &vec![b'x'; 1 << 20], b"\r\n"].concat();
    let endless = [&b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"[..], &chunk, &chunk].concat();
    let redirect = says("302 Found", "location: http://169.254.169.254/\r\nx-synaxis-app: ok\r\n");
    let cases: Vec<(Vec<u8>, bool, &str)> = vec![
        (huge_body, true, "larger than"),
        (huge_head, true, "too large"),
        (endless, true, "larger than"),
        (vec![], true, "no complete answer within"),
        (b"HTTP/1.1 200 OK\r\nx-synaxis-state: active\r\n".to_vec(), true, "no complete answer within"),
        (b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(), false, "invalid"),
        (vec![], false, "connection closed"),
        (redirect, false, "302 Found"),
        (says("200 OK", ""), false, "no x-synaxis-state"),
        (says("200 OK", "x-synaxis-state: flying\r\nx-synaxis-app: ok\r\n"), false, "\"flying\", which is none"),
        (says("200 OK", "x-synaxis-state: draining\r\nx-synaxis-app: ok\r\n"), false, "the table says active"),
        (says("200 OK", "x-synaxis-state: active\r\nx-synaxis-app: \x1b[2Jok\r\n"), false, "invalid"),
    ];
    for (answer, hold, expected) in cases {
        let world = at(peer(vec![answer], hold));
        let started = Instant::now();
        let ran = world.run("health weu-001 --timeout 400ms -o json").code(1).says(&[expected]);
        assert!(started.elapsed() < Duration::from_secs(5) && ran.err.len() < 1_000, "{}", ran.err);
        assert!(!ran.err.contains('\x1b') && ran.json()["healthy"] == false);
    }
    // nobody is there
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away = at(gone).run("health weu-001 -o json").code(1).says(&["cannot connect"]);
    assert_eq!(away.json()["reachable"], false);
}

#[test]
fn a_stamp_behind_tls_is_asked_where_the_operator_says() {
    let world = World::file().with(&["weu-001", "weu-002"]);
    world.run("health weu-001 --at https://127.0.0.1:1").code(1).says(&["only http://"]);
    let forwarded = peer(vec![says("200 OK", "x-synaxis-state: active\r\nx-synaxis-app: ok\r\n")], false);
    world.run(&format!("health weu-001 --at {forwarded}")).code(0);
    world.run(&format!("wait --for=healthy weu-001 --at {forwarded}")).code(0);
    world.run("health weu-009").code(4);
    world.run("drain weu-002 --force --below-minimum").code(0);
    world.run("delete weu-002 --force").code(0);
    world.run("health weu-002").code(1).says(&["it is deleted"]);
    world.run("wait --for=healthy weu-002").code(5).says(&["it is deleted"]);
}

#[test]
fn waiting_for_health_ends_when_it_is_there_or_when_the_time_is_over() {
    let word = |app| says("200 OK", &format!("x-synaxis-state: active\r\nx-synaxis-app: {app}\r\n"));
    let world = at(peer(vec![b"HTTP/1.1 nonsense\r\n\r\n".to_vec(), word("unknown"), word("bad"), word("ok")], false));
    let well = world.json("wait --for=healthy weu-001 --timeout 20s");
    assert_eq!((&well["healthy"], &well["state"]), (&true.into(), &"active".into()));
    let world = at(peer(vec![word("bad")], false));
    world.run("wait --for=healthy weu-001 --timeout 500ms").code(3).says(&["its app is bad"]);
    let silent = at(peer(vec![vec![]], true));
    let started = Instant::now();
    silent.run("wait --for=healthy weu-001 --timeout 500ms").code(3).says(&["no complete answer"]);
    assert!(started.elapsed() < Duration::from_secs(5));
}
