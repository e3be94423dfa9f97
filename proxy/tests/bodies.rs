//! Bodies stream both ways, whole or not at all, and connections are used again only when they are clean.

use std::io::{Read, Write};

use crate::world::{Client, Origin, alone, eventually, proxy, stop};

#[test]
fn uploads_arrive_whole_with_either_framing() {
    let origin = Origin::start("app");
    let proxy = proxy(&alone(origin.address, ""));
    let mut client = Client::connect(proxy.edges[0]);
    let body = vec![b'u'; 300_000];
    let mut request =
        format!("POST /up HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\nContent-Length: {}\r\n\r\n", body.len())
            .into_bytes();
    request.extend_from_slice(&body);
    assert_eq!(client.exchange(&request).unwrap().json()["size"], 300_000);
    let chunked = b"POST /up HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\nTransfer-Encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
    assert_eq!(client.exchange(chunked).unwrap().json()["size"], 11);
    let seen = origin.seen();
    assert_eq!(seen[1].all("transfer-encoding"), ["chunked"]);
    assert!(seen[1].all("content-length").is_empty());
    assert_eq!(seen[1].body, b"hello world");
    stop(proxy);
}

#[test]
fn chunked_answers_stream_and_the_connection_goes_on() {
    let origin = Origin::start("app");
    let proxy = proxy(&alone(origin.address, ""));
    let mut client = Client::connect(proxy.edges[0]);
    assert_eq!(client.get("t", "/chunked").text(), "one two three");
    assert_eq!(client.get("t", "/both").text(), "hello", "Transfer-Encoding wins over Content-Length");
    assert_eq!(client.get("t", "/after").status, 200);
    stop(proxy);
}

#[test]
fn head_has_the_length_and_no_body() {
    let origin = Origin::start("app");
    let proxy = proxy(&alone(origin.address, ""));
    let mut client = Client::connect(proxy.edges[0]);
    client.send(b"HEAD /x HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\n\r\n");
    let answer = client.answer(true).unwrap();
    assert!(answer.header("content-length").is_some_and(|length| length != "0"));
    assert_eq!(client.get("t", "/after").status, 200);
    stop(proxy);
}

#[test]
fn an_answer_cut_by_the_app_is_cut_for_the_client_too() {
    let origin = Origin::start("app");
    let proxy = proxy(&alone(origin.address, ""));
    let mut client = Client::connect(proxy.edges[0]);
    let error = client.try_get("t", "/cut").unwrap_err();
    assert!(matches!(error.kind(), std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset), "{error}");
    assert_eq!(Client::connect(proxy.edges[0]).get("t", "/fine").status, 200);
    stop(proxy);
}

#[test]
fn a_client_that_goes_away_takes_its_upstream_connection_with_it() {
    let origin = Origin::start("app");
    let proxy = proxy(&alone(origin.address, ""));
    let mut client = Client::connect(proxy.edges[0]);
    client.send(b"GET /big HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\n\r\n");
    let mut some = [0; 1000];
    client.stream().read_exact(&mut some).unwrap();
    drop(client);
    eventually("nothing is in flight", || proxy.plane().in_flight() == 0 && proxy.plane().connections() == 0);
    assert_eq!(Client::connect(proxy.edges[0]).get("t", "/fine").json()["path"], "/fine");
    stop(proxy);
}

#[test]
fn a_client_that_goes_away_while_the_app_works_frees_its_request_at_once() {
    let origin = Origin::start("app");
    let proxy = proxy(&alone(origin.address, ""));
    let mut client = Client::connect(proxy.edges[0]);
    // the app takes three seconds
    client.send(b"GET /slow HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\n\r\n");
    eventually("the app works on it", || origin.count() == 1);
    let left = std::time::Instant::now();
    drop(client);
    eventually("nothing is in flight", || proxy.plane().in_flight() == 0 && proxy.plane().connections() == 0);
    assert!(left.elapsed() < std::time::Duration::from_secs(2), "it waited for the app");
    stop(proxy);
}

#[test]
fn a_client_that_reads_slowly_holds_the_app_back() {
    let origin = Origin::start("app");
    let proxy = proxy(&alone(origin.address, ""));
    let mut client = Client::connect(proxy.edges[0]);
    client.send(b"GET /big HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\n\r\n");
    // 32 MiB: more than every socket buffer between here and there; it can only pass if back-pressure lets it
    std::thread::sleep(std::time::Duration::from_millis(200));
    let answer = client.answer(false).unwrap();
    assert_eq!(answer.body.len(), 32 << 20);
    assert_eq!(client.get("t", "/after").status, 200);
    stop(proxy);
}

#[test]
fn an_upload_that_breaks_off_is_not_completed_upstream() {
    let origin = Origin::start("app");
    let proxy = proxy(&alone(origin.address, ""));
    let mut client = Client::connect(proxy.edges[0]);
    client.send(b"POST /up HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\nContent-Length: 1000\r\n\r\nhalf");
    client.stream().flush().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(100));
    drop(client);
    eventually("nothing is in flight", || proxy.plane().in_flight() == 0);
    assert_eq!(origin.count(), 0, "the app never saw a whole request");
    stop(proxy);
}
