//! One proxy in front of one app.

use crate::world::{Client, Origin, alone, eventually, proxy, stop};

#[test]
fn a_request_reaches_the_app_and_its_answer_comes_back() {
    let origin = Origin::start("app");
    let proxy = proxy(&alone(origin.address, ""));
    let mut client = Client::connect(proxy.edges[0]);
    for turn in 0..3 {
        let answer = client.get("acme", &format!("/hello?turn={turn}"));
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["tenant"], "acme");
        assert_eq!(answer.json()["path"], format!("/hello?turn={turn}"));
        assert_eq!(answer.header("x-synaxis-spoof"), None, "an app cannot speak in the stamps' name");
        assert_eq!(answer.header("keep-alive"), None, "the app's connection ends at the proxy");
    }
    let seen = &origin.seen()[0];
    assert_eq!(seen.all("host"), ["app.example"]);
    assert_eq!(seen.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.all("via"), ["1.1 synaxis"]);
    stop(proxy);
}

#[test]
fn health_is_answered_from_memory_without_a_tenant() {
    let origin = Origin::start("app");
    let proxy = proxy(&alone(origin.address, ""));
    let mut client = Client::connect(proxy.edges[0]);
    let answer = client.exchange(b"GET /health HTTP/1.1\r\nHost: probe\r\n\r\n").unwrap();
    assert_eq!((answer.status, answer.header("x-synaxis-state")), (200, Some("active")));
    client.send(b"HEAD /health HTTP/1.1\r\nHost: probe\r\n\r\n");
    assert_eq!(client.answer(true).unwrap().status, 200);
    assert_eq!(origin.count(), 0);
    stop(proxy);
}

#[test]
fn a_stopping_proxy_answers_and_asks_to_be_left() {
    let origin = Origin::start("app");
    let proxy = proxy(&alone(origin.address, ""));
    let mut client = Client::connect(proxy.edges[0]);
    assert_eq!(client.get("acme", "/").header("connection"), None);
    proxy.stop();
    eventually("the lame duck begins", || proxy.plane().shutdown.phase() > synaxis_proxy::shutdown::Phase::Serving);
    let answer = client.get("acme", "/");
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    proxy.wait();
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_connection_that_says_nothing_is_closed_and_a_slow_head_too() {
    let origin = Origin::start("app");
    let limits = "[timeouts]\nfirst_byte = \"200ms\"\nhead = \"300ms\"\nidle = \"96s\"\n";
    let proxy = proxy(&alone(origin.address, limits));
    let mut silent = Client::connect(proxy.edges[0]);
    let mut slow = Client::connect(proxy.edges[0]);
    slow.send(b"GET / HTTP/1.1\r\nHo");
    let mut good = Client::connect(proxy.edges[0]);
    assert_eq!(good.get("acme", "/").status, 200);
    eventually("the stalled connections are gone", || proxy.plane().connections() == 1);
    assert!(silent.is_closed() && slow.is_closed());
    assert_eq!(good.get("acme", "/").status, 200);
    stop(proxy);
}
