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

#[test]
fn without_any_table_nobody_is_served_and_nobody_is_ready() {
    let origin = Origin::start("app");
    let gone = crate::world::free_port();
    let routing = format!(
        "[[listeners]]\nkind = \"peer\"\naddress = \"127.0.0.1:0\"\n[routing]\nstore = \"redis://127.0.0.1:{gone}\"\n"
    );
    let proxy = proxy(&alone(origin.address, &routing));
    let answer = Client::connect(proxy.edges[0]).get("acme", "/");
    assert_eq!((answer.status, answer.reason().as_str(), answer.header("retry-after")), (503, "no_stamp", Some("1")));
    let ask = |target: &str| {
        Client::connect(proxy.admin).exchange(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap()
    };
    let ready = ask("/readyz?verbose");
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("[-] no routing table yet"), "{}", ready.text());
    assert_eq!((ask("/livez").status, ask("/routing").status), (200, 503));
    eventually("the store's absence shows", || ask("/readyz?verbose").text().contains("[-] store: "));
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let age = metric(&ask("/metrics").text(), "routing_table_age_seconds");
    assert!(age >= 1.0, "never confirmed is not fresh: {age}");
    proxy.cut();
    proxy.wait();
}

/// The value of a series, by its name with its labels.
fn metric(text: &str, series: &str) -> f64 {
    let line = text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
    line.unwrap_or_else(|| panic!("no {series} in {text}")).rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn what_happens_is_counted_once() {
    let origin = Origin::start("app");
    let proxy = proxy(&alone(origin.address, ""));
    let mut client = Client::connect(proxy.edges[0]);
    for _ in 0..5 {
        assert_eq!(client.get("acme", "/").status, 200);
    }
    assert_eq!(client.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().status, 400);
    let mut gone = Client::connect(proxy.edges[0]);
    gone.send(b"GET /slow HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\n\r\n");
    eventually("the app works on it", || origin.count() == 6);
    drop(gone);
    // its connection ends last: everything is counted by then
    eventually("it is given up", || proxy.plane().in_flight() == 0 && proxy.plane().connections() == 1);
    let text = Client::connect(proxy.admin).exchange(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().text();
    for (series, expected) in [
        ("http_server_requests_total{status_class=\"2xx\"}", 5.0),
        ("http_server_requests_total{status_class=\"4xx\"}", 1.0),
        ("http_server_requests_total{status_class=\"1xx\"}", 0.0),
        ("http_server_requests_abandoned_total", 1.0),
        ("http_server_request_duration_seconds_count", 7.0),
        ("http_client_request_duration_seconds_count", 5.0),
        ("local_replies_total{reason=\"tenant_missing\"}", 1.0),
        ("local_replies_total{reason=\"no_stamp\"}", 0.0),
        ("upstream_checkouts_total{kind=\"opened\"}", 1.0),
        ("upstream_checkouts_total{kind=\"reused\"}", 5.0),
        ("connections_accepted_total", 2.0),
        ("connections", 1.0),
        ("request_queue_length", 0.0),
        ("panics_total", 0.0),
    ] {
        assert_eq!(metric(&text, series), expected, "{series}");
    }
    stop(proxy);
}
