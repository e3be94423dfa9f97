//! What requests say.

use http::Method;

use super::{super::*, *};

#[test]
fn a_request_that_only_the_origin_can_answer_passes_the_store_by() {
    let check = |method: &str, lines: &str, expected: Option<Bypass>| {
        let method: Method = method.parse().unwrap();
        assert_eq!(Ask::of(&method, &fields(lines), &PLAIN).err(), expected, "{method} {lines}");
    };
    check("GET", "", None);
    check("HEAD", "", None);
    check("GET", "content-length: 0", None);
    check("GET", "content-length: 00", Some(Bypass::Body));
    check("GET", "content-length: 5", Some(Bypass::Body));
    check("GET", "transfer-encoding: chunked", Some(Bypass::Body));
    check("GET", "upgrade: websocket", Some(Bypass::Upgrade));
    check("GET", "if-match: \"a\"", Some(Bypass::Precondition));
    check("HEAD", "if-unmodified-since: @0", Some(Bypass::Precondition));
    check("GET", "if-none-match: \"a\"\nif-modified-since: @0\nrange: bytes=0-1\nif-range: \"a\"", None);
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "QUERY", "get", "PURGE"] {
        check(method, "", Some(Bypass::Method));
    }
}

#[test]
fn each_directive_of_a_request_is_read() {
    let plain = get("");
    let check = |lines: &str, expected: Ask| assert_eq!(get(lines), expected, "{lines}");
    check("cache-control: no-cache", Ask { no_cache: true, ..plain });
    check("Cache-Control: NO-CACHE", Ask { no_cache: true, ..plain });
    check("cache-control: no-store", Ask { no_store: true, ..plain });
    check("cache-control: only-if-cached", Ask { only_if_cached: true, ..plain });
    check("cache-control: max-age=5", Ask { max_age: Some(5), ..plain });
    check("cache-control: max-age=\"5\"", Ask { max_age: Some(5), ..plain });
    check("cache-control: min-fresh=7", Ask { min_fresh: Some(7), ..plain });
    check("cache-control: max-stale=9", Ask { max_stale: Some(9), ..plain });
    check("cache-control: max-stale", Ask { max_stale: Some(SECONDS_MAX), ..plain });
    check("cache-control: stale-if-error=3", Ask { stale_if_error: Some(3), ..plain });
    check(
        "cache-control: max-age=1, max-stale=2\ncache-control: min-fresh=3",
        Ask { max_age: Some(1), max_stale: Some(2), min_fresh: Some(3), ..plain },
    );
    check("authorization: Bearer x", Ask { authorized: true, ..plain });
    check("range: bytes=0-1", Ask { range: true, ..plain });
    check("if-none-match: \"a\"", Ask { conditional: true, ..plain });
    check("if-modified-since: @0", Ask { conditional: true, ..plain });
}

#[test]
fn what_cannot_be_read_in_a_request_is_taken_strictly() {
    let plain = get("");
    let check = |lines: &str, expected: Ask| assert_eq!(get(lines), expected, "{lines}");
    check("cache-control: max-age=a", Ask { max_age: Some(0), ..plain });
    check("cache-control: max-age=-1", Ask { max_age: Some(0), ..plain });
    check("cache-control: max-age", Ask { max_age: Some(0), ..plain });
    check("cache-control: max-age=10, max-age=20", Ask { max_age: Some(10), ..plain });
    check("cache-control: max-age=20, max-age=10", Ask { max_age: Some(10), ..plain });
    check("cache-control: min-fresh=a", Ask { min_fresh: Some(SECONDS_MAX), ..plain });
    check("cache-control: min-fresh=1, min-fresh=2", Ask { min_fresh: Some(2), ..plain });
    check("cache-control: min-fresh=2, min-fresh=1", Ask { min_fresh: Some(2), ..plain });
    check("cache-control: max-stale=a", Ask { max_stale: Some(0), ..plain });
    check("cache-control: max-stale=", Ask { max_stale: Some(0), ..plain });
    check("cache-control: max-stale, max-stale=4", Ask { max_stale: Some(4), ..plain });
    check("cache-control: stale-if-error", Ask { stale_if_error: Some(0), ..plain });
    check("cache-control: max-age=99999999999999999999", Ask { max_age: Some(SECONDS_MAX), ..plain });
    check("cache-control: x=\"no-cache\", y=\"a, no-store\"", plain);
    check("cache-control: x=\"a, no-store", Ask { no_store: true, ..plain });
    check("cache-control: no-cachex, xno-cache", plain);
}

#[test]
fn pragma_counts_only_where_cache_control_is_silent() {
    let check = |lines: &str, expected: bool| assert_eq!(get(lines).no_cache, expected, "{lines}");
    check("pragma: no-cache", true);
    check("pragma: x, No-Cache", true);
    check("pragma: no-cachex", false);
    check("pragma: no-cache\ncache-control: max-age=10", false);
    check("pragma: no-cache\ncache-control:", true);
}

#[test]
fn a_class_may_be_deaf_to_requests() {
    let deaf = Policy { obey_requests: false, ..PLAIN };
    let said = "cache-control: no-cache, no-store, max-age=0, only-if-cached\npragma: no-cache\nrange: bytes=0-1";
    let ask = Ask::of(&Method::GET, &fields(said), &deaf).unwrap();
    assert_eq!(ask, Ask { range: true, ..get("") });
}

#[test]
fn every_reason_has_a_token_of_its_own() {
    let bypasses = [Bypass::Method, Bypass::Precondition, Bypass::Body, Bypass::Upgrade];
    assert_eq!(bypasses.map(Bypass::token), ["method", "precondition", "body", "upgrade"]);
}
