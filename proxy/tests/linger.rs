//! An answer that comes before the end of its request reaches its client, and what is left of the request is nothing.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use crate::world::{Client, Origin, alone, eventually, proxy, stop};

/// No tenant: refused as soon as the head is there.
const REFUSED: &str = "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n";

#[test]
fn a_client_that_goes_on_sending_gets_the_whole_answer_and_no_reset() {
    let origin = Origin::start("app");
    let proxy = proxy(&alone(origin.address, ""));
    let unreadable = "POST / HTTP/1.1\r\nHost : a\r\nContent-Length: 1048576\r\n\r\n";
    // the HTTP library lets go of a connection on which another protocol was asked for without closing it
    let upgrade =
        "POST /up HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 1048576\r\n\r\n";
    let missing = Some("tenant_missing");
    for (head, reason) in [(REFUSED, missing), (unreadable, None), (upgrade, missing)] {
        let mut client = Client::connect(proxy.edges[0]);
        client.send(head.as_bytes());
        // slow enough for the proxy to have answered and closed its side long before
        for piece in 0..12 {
            std::thread::sleep(Duration::from_millis(25));
            let sent = client.stream().write_all(&[b'u'; 16 << 10]);
            assert!(sent.is_ok(), "{reason:?}: piece {piece} met {sent:?}");
        }
        let answer = client.answer(false).unwrap();
        assert_eq!((answer.status, answer.header("x-synaxis-reason")), (400, reason));
        let end = client.answer(false).map(|answer| answer.status).unwrap_err();
        assert_eq!(end.kind(), std::io::ErrorKind::UnexpectedEof, "an orderly end: {end}");
    }
    stop(proxy);
}

#[test]
fn a_client_that_sends_more_than_anybody_drops_still_reads_its_answer() {
    let origin = Origin::start("app");
    let proxy = proxy(&alone(origin.address, "[timeouts]\nlinger = \"300ms\"\n"));
    let mut client = Client::connect(proxy.edges[0]);
    client.send(REFUSED.as_bytes());
    let started = Instant::now();
    for _ in 0..64 {
        if client.stream().write_all(&[b'u'; 16 << 10]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(client.answer(false).unwrap().reason(), "tenant_missing");
    eventually("it is closed", || proxy.plane().connections() == 0);
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    let text = Client::connect(proxy.admin).exchange(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().text();
    assert!(text.contains("connections_expired_total{reason=\"linger\"} 1"), "{text}");
    stop(proxy);
}

#[test]
fn what_is_dropped_is_never_a_request() {
    let origin = Origin::start("app");
    let proxy = proxy(&alone(origin.address, "[timeouts]\nlinger = \"300ms\"\n"));
    let mut client = Client::connect(proxy.edges[0]);
    client.send(REFUSED.as_bytes());
    assert_eq!(client.answer(false).unwrap().reason(), "tenant_missing");
    for _ in 0..5 {
        client.send(b"GET /smuggled HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\n\r\n");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(client.is_closed());
    assert_eq!(origin.count(), 0);
    stop(proxy);
}

#[test]
fn a_connection_whose_requests_were_read_whole_closes_at_once() {
    let origin = Origin::start("app");
    let proxy = proxy(&alone(origin.address, "[timeouts]\nlinger = \"60s\"\n"));
    let mut client = Client::connect(proxy.edges[0]);
    let head = "POST /up HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(client.exchange(head.as_bytes()).unwrap().status, 200);
    // the client keeps its side open
    eventually("it is closed", || proxy.plane().connections() == 0);
    drop(client);
    stop(proxy);
}
