//! Bodies that are longer than their route allows: refused before the app is asked, or broken off on the way.

use crate::world::{Client, Origin, alone, eventually, proxy, stop};

const ROUTES: &str = r#"
[[routes]]
name = "small"
path_prefix = "/small"
upstream = "app"
body_bytes = 10
[[routes]]
name = "none"
path_prefix = "/none"
upstream = "app"
body_bytes = 0
[[routes]]
name = "early"
path_prefix = "/early"
upstream = "app"
body_bytes = 10
[[routes]]
name = "rest"
path_prefix = "/"
upstream = "app"
"#;

fn post(path: &str, framing: &str) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\n{framing}").into_bytes()
}

#[test]
fn a_body_that_says_it_is_too_long_is_refused_before_the_app_is_asked() {
    let origin = Origin::start("app");
    let proxy = proxy(&alone(origin.address, ROUTES));
    for (path, framing, status) in [
        ("/small", "Content-Length: 10\r\n\r\n0123456789", 200),
        ("/small", "Content-Length: 11\r\n\r\n0123456789a", 413),
        ("/small", "Content-Length: 18446744073709551613\r\n\r\n", 413),
        ("/none", "Content-Length: 0\r\n\r\n", 200),
        ("/none", "Content-Length: 1\r\n\r\n1", 413),
        ("/rest", "Content-Length: 11\r\n\r\n0123456789a", 200),
        // no 100 before the refusal
        ("/small", "Content-Length: 11\r\nExpect: 100-continue\r\n\r\n", 413),
    ] {
        let mut client = Client::connect(proxy.edges[0]);
        let answer = client.exchange(&post(path, framing)).unwrap();
        assert_eq!(answer.status, status, "{path} {framing:?}");
        if status == 413 {
            assert_eq!((answer.reason().as_str(), answer.header("connection")), ("body_too_large", Some("close")));
            assert!(client.is_closed(), "{path} {framing:?}");
        }
    }
    assert_eq!(origin.count(), 3);
    stop(proxy);
}

#[test]
fn a_chunked_body_is_broken_off_where_it_becomes_too_long_and_the_app_never_sees_it_end() {
    let origin = Origin::start("app");
    let proxy = proxy(&alone(origin.address, ROUTES));
    let chunked = |chunks: &str| post("/small", &format!("Transfer-Encoding: chunked\r\n\r\n{chunks}"));
    let mut client = Client::connect(proxy.edges[0]);
    assert_eq!(client.exchange(&chunked("5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n")).unwrap().json()["size"], 10);
    for (path, chunks) in [
        ("at once", "b\r\n0123456789a\r\n0\r\n\r\n"),
        ("by one byte", "a\r\n0123456789\r\n1\r\na\r\n0\r\n\r\n"),
        ("and does not end", "a\r\n0123456789\r\nffffff\r\nabc"),
    ] {
        let mut client = Client::connect(proxy.edges[0]);
        let answer = client.exchange(&chunked(chunks)).unwrap();
        assert_eq!((answer.status, answer.reason().as_str()), (413, "body_too_large"), "{path}");
        assert_eq!(answer.header("connection"), Some("close"), "{path}");
        assert!(client.is_closed(), "{path}");
    }
    eventually("nothing is in flight", || proxy.plane().in_flight() == 0 && proxy.plane().connections() == 1);
    assert_eq!(origin.count(), 1, "a body that is cut off is no whole message");
    stop(proxy);
}

#[test]
fn a_body_that_becomes_too_long_after_its_answer_ends_the_connection() {
    let origin = Origin::start("app");
    let proxy = proxy(&alone(origin.address, ROUTES));
    let mut client = Client::connect(proxy.edges[0]);
    client.send(&post("/early", "Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n"));
    assert_eq!(client.answer(false).unwrap().text(), "early");
    client.send(b"6\r\n56789a\r\n");
    assert!(client.is_closed());
    eventually("nothing is in flight", || proxy.plane().in_flight() == 0 && proxy.plane().connections() == 0);
    assert_eq!(origin.count(), 0, "the app never sees it end");
    stop(proxy);
}
