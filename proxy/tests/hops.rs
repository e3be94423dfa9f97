//! What concerns hops: Max-Forwards, Via, Expect, interim answers.

use std::{
    io::{BufReader, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::world::{Client, Origin, Raw, alone, eventually, free_port, proxy, raw::head, stop};

#[test]
fn options_goes_as_far_as_it_says() {
    let origin = Origin::start("app");
    let routes = "[[routes]]\nname = \"docs\"\npath_prefix = \"/docs\"\nmethods = [\"GET\", \"OPTIONS\"]\nupstream = \"app\"\n\
                  [[routes]]\nname = \"rest\"\npath_prefix = \"/\"\nupstream = \"app\"\n";
    let proxy = proxy(&alone(origin.address, routes));
    let mut client = Client::connect(proxy.edges[0]);
    let mut ask = |method: &str, path: &str, fields: &str| {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\n{fields}\r\n");
        client.exchange(request.as_bytes()).unwrap()
    };
    let here = ask("OPTIONS", "/x", "Max-Forwards: 0\r\n");
    assert_eq!((here.status, here.header("content-length")), (200, Some("0")));
    assert!(here.header("allow").unwrap().contains("DELETE"), "{here:?}");
    assert_eq!(ask("OPTIONS", "/x", "Max-Forwards: -1\r\n").reason(), "max_forwards_invalid");
    assert_eq!(ask("OPTIONS", "/x", "Max-Forwards: 1\r\nMax-Forwards: 1\r\n").reason(), "max_forwards_invalid");
    assert_eq!(origin.count(), 0);
    for (method, field, seen) in [
        ("OPTIONS", "Max-Forwards: 7\r\n", &["6"][..]),
        ("OPTIONS", "", &[]),
        ("GET", "Max-Forwards: 0\r\n", &["0"]),
        ("GET", "Max-Forwards: many\r\n", &["many"]),
    ] {
        assert_eq!(ask(method, "/x", field).status, 200);
        assert_eq!(origin.seen().last().unwrap().all("max-forwards"), seen, "{method} {field}");
    }
    stop(proxy);
}

#[test]
fn a_request_that_goes_round_is_stopped() {
    let origin = Origin::start("app");
    let proxy = proxy(&alone(origin.address, ""));
    let mut client = Client::connect(proxy.edges[0]);
    let mut ask = |entries: usize| {
        let via = "Via: 1.1 synaxis, 1.1 app\r\n".repeat(entries);
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\n{via}\r\n");
        client.exchange(request.as_bytes()).unwrap()
    };
    assert_eq!(ask(8).status, 200);
    let answer = ask(9);
    assert_eq!((answer.status, answer.reason().as_str()), (508, "loop"));
    assert_eq!(origin.count(), 1);
    stop(proxy);
}

const EXPECTING: &[u8] =
    b"POST /up HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";

#[test]
fn a_client_is_told_to_continue_when_its_body_is_wanted_and_only_then() {
    let origin = Origin::start("app");
    let running = proxy(&alone(origin.address, ""));
    let mut client = Client::connect(running.edges[0]);
    assert_eq!(client.exchange(EXPECTING).unwrap().status, 100);
    let answer = client.exchange(b"hello").unwrap();
    assert_eq!((answer.status, &answer.json()["size"]), (200, &5.into()));
    assert!(origin.seen()[0].all("expect").is_empty(), "it is the next hop's own affair");
    // a refusal comes instead of the 100, and what was announced is not waited for
    let nobodys = String::from_utf8_lossy(EXPECTING).replace("X-Tenant-Id: t\r\n", "");
    let refused = client.exchange(nobodys.as_bytes()).unwrap();
    assert_eq!((refused.reason().as_str(), refused.header("connection")), ("tenant_missing", Some("close")));
    assert!(client.is_closed());
    stop(running);
    // nobody takes it
    let gone = format!("127.0.0.1:{}", free_port()).parse().unwrap();
    let running = proxy(&alone(gone, ""));
    let mut client = Client::connect(running.edges[0]);
    let refused = client.exchange(EXPECTING).unwrap();
    assert_eq!((refused.status, refused.reason().as_str()), (502, "upstream_connect"));
    assert!(client.is_closed());
    stop(running);
}

#[test]
fn interim_answers_are_passed_over() {
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let app = Raw::start(move |mut stream| {
        count.fetch_add(1, Ordering::SeqCst);
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while head(&mut reader).is_some() {
            let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            let _ = stream.write_all(interim.as_bytes());
            let _ = stream.write_all(format!("{interim}{answer}").as_bytes());
        }
    });
    let proxy = proxy(&alone(app.address, ""));
    let mut client = Client::connect(proxy.edges[0]);
    for _ in 0..3 {
        let answer = client.get("t", "/");
        assert_eq!((answer.status, answer.text().as_str(), answer.header("link")), (200, "ok", None));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1, "the connection goes on");
    stop(proxy);
}

#[test]
fn interim_answers_without_end_are_given_up() {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let app = Raw::start(move |mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let _ = head(&mut reader);
        let hundred = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n".repeat(100);
        while count.load(Ordering::SeqCst) < 1_000_000 && stream.write_all(&hundred).is_ok() {
            count.fetch_add(100, Ordering::SeqCst);
            std::thread::sleep(std::time::Duration::from_micros(200));
        }
    });
    let proxy = proxy(&alone(app.address, ""));
    let answer = Client::connect(proxy.edges[0]).get("t", "/");
    assert_eq!((answer.status, answer.reason().as_str()), (502, "upstream_invalid"));
    eventually("the app is left", || proxy.plane().in_flight() == 0);
    assert!(sent.load(Ordering::SeqCst) < 500_000, "{sent:?}");
    stop(proxy);
}
