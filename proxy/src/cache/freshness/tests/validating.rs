//! Asking the origin, and what its answer means.

use http::Method;

use super::{
    super::{revalidate::*, *},
    *,
};

#[test]
fn the_stored_validators_take_the_place_of_the_clients() {
    let check = |stored: &str, expected: &str| {
        let mut request = fields(
            "x: 1\nif-none-match: \"theirs\"\nif-modified-since: @-1\nif-match: \"m\"\nif-unmodified-since: @0\n\
             if-range: \"r\"\nrange: bytes=0-1",
        );
        assert_eq!(ask(&fields(stored), &mut request), expected != "x: 1", "{stored}");
        assert_eq!(request, fields(expected), "{stored}");
    };
    check("", "x: 1");
    check("etag: \"a\"", "x: 1\nif-none-match: \"a\"");
    check("etag: W/\"a\"", "x: 1\nif-none-match: W/\"a\"");
    check("last-modified: @-50", "x: 1\nif-modified-since: @-50");
    check("etag: \"a\"\nlast-modified: @-50", "x: 1\nif-none-match: \"a\"\nif-modified-since: @-50");
    check("etag: a", "x: 1");
    check("etag: \"a\"\netag: \"b\"", "x: 1");
    check("etag: \"a b\"", "x: 1");
    check("etag: \"a\"x\nlast-modified: @-50", "x: 1\nif-modified-since: @-50");
    check("last-modified: yesterday", "x: 1");
}

#[test]
fn a_304_is_about_the_stored_answer_if_their_validators_are_the_same() {
    let check = |stored: &str, answer: &str, expected: Verdict| {
        assert_eq!(verdict(&fields(stored), &fields(answer)), expected, "{stored} | {answer}");
    };
    use Verdict::*;
    check("etag: \"a\"", "etag: \"a\"", Holds);
    check("etag: \"a\"", "etag: \"b\"", Other);
    check("etag: W/\"a\"", "etag: W/\"a\"", Holds);
    check("etag: \"a\"", "etag: W/\"a\"", Holds);
    check("etag: W/\"a\"", "etag: \"a\"", Other);
    check("last-modified: @-9", "etag: \"a\"", Other);
    check("etag: \"a\"", "", Holds);
    check("last-modified: @-9", "", Holds);
    check("last-modified: @-9", "last-modified: @-9", Holds);
    check("last-modified: @-9", "last-modified: @-8", Other);
    check("last-modified: @-9", "last-modified: today", Other);
    check("etag: \"a\"", "last-modified: @-9", Other);
    check("etag: \"a\"\nlast-modified: @-9", "last-modified: @-9", Holds);
    check("etag: \"a\"\nlast-modified: @-9", "etag: \"a\"\nlast-modified: @-8", Holds);
}

#[test]
fn an_answer_to_head_confirms_or_denies() {
    let check = |stored: &str, status: u16, answer: &str, expected: HeadSays| {
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(head(&fields(stored), 10, status, &fields(answer)), expected, "{stored} | {status} {answer}");
    };
    use HeadSays::*;
    check("etag: \"a\"", 200, "etag: \"a\"", Holds);
    check("etag: \"a\"", 200, "etag: \"b\"", Changed);
    check("etag: \"a\"", 200, "etag: W/\"a\"", Changed);
    check("etag: \"a\"", 200, "", Holds);
    check("", 200, "etag: \"a\"", Changed);
    check("", 200, "", Holds);
    check("", 200, "content-length: 10", Holds);
    check("", 200, "content-length: 11", Changed);
    check("", 200, "content-length: x", Changed);
    check("etag: \"a\"", 200, "etag: \"a\"\ncontent-length: 11", Changed);
    check("last-modified: @-9", 200, "last-modified: @-9", Holds);
    check("last-modified: @-9", 200, "last-modified: @-8", Changed);
    check("last-modified: @-9", 200, "last-modified: x", Changed);
    check("", 200, "last-modified: @-9", Changed);
    check("etag: \"a\"", 404, "", Nothing);
    check("etag: \"a\"", 304, "etag: \"a\"", Nothing);
    check("etag: \"a\"", 500, "", Nothing);
}

#[test]
fn a_304_updates_every_field_but_those_of_the_bytes() {
    let check = |stored: &str, answer: &str, expected: &str| {
        let mut merged = fields(&format!("date: @-100\n{stored}"));
        merge(&mut merged, &fields(&format!("date: @0\n{answer}")), NOW);
        assert_eq!(merged, fields(&format!("date: @0\n{expected}")), "{stored} | {answer}");
    };
    check("x: 1", "", "x: 1");
    check("x: 1", "x: 2", "x: 2");
    check("x: 1\nx: 2", "x: 3", "x: 3");
    check("x: 1", "x: 3\nx: 4", "x: 3\nx: 4");
    check("", "x: 1", "x: 1");
    check("x: 1", "x:", "x:");
    check("content-type: a/b", "content-type: c/d", "content-type: c/d");
    check(
        "content-location: /a\ncontent-security-policy: a",
        "content-location: /b\ncontent-security-policy: b",
        "content-location: /b\ncontent-security-policy: b",
    );
    check("content-length: 10", "content-length: 0", "content-length: 10");
    check("content-encoding: br", "content-encoding: gzip", "content-encoding: br");
    check("", "content-encoding: gzip\ncontent-range: bytes 0-1/2\ncontent-length: 0", "");
    check(
        "",
        "connection: close, y\ny: 1\nkeep-alive: 5\ntransfer-encoding: chunked\nupgrade: h2c\nte: a\ntrailer: b",
        "",
    );
    check("", "proxy-authenticate: a\nproxy-authentication-info: b\nproxy-connection: c", "");
    check("cache-control: max-age=1", "cache-control: max-age=60", "cache-control: max-age=60");
    check("etag: \"a\"", "etag: W/\"a\"", "etag: W/\"a\"");
    check("", "set-cookie: a", "set-cookie: a");
}

#[test]
fn a_304_without_a_date_was_made_when_it_came() {
    for answer in ["x: 1", "x: 1\ndate: yesterday", "x: 1\ndate: @0\ndate: @-9"] {
        let mut merged = fields("date: @-100");
        merge(&mut merged, &fields(answer), NOW);
        assert_eq!(merged, fields("date: @0\nx: 1"), "{answer}");
    }
}

#[test]
fn a_validated_answer_is_as_fresh_as_its_304_says() {
    let check = |stored: &str, answer: &str, expected: Result<i64, Unstorable>| {
        let mut merged = fields(&format!("etag: \"v\"\ndate: @-100\n{stored}"));
        merge(&mut merged, &fields(answer), NOW);
        let times = Times { asked: NOW, received: NOW };
        let terms = Terms::of(&get(""), times, StatusCode::OK, &merged, &PLAIN);
        assert_eq!(terms.map(|terms| terms.left(NOW)), expected, "{stored} | {answer}");
    };
    check("cache-control: max-age=60", "", Ok(60));
    check("cache-control: max-age=60", "age: 20", Ok(40));
    check("cache-control: max-age=60", "date: @-30", Ok(30));
    check("cache-control: max-age=60", "cache-control: max-age=7", Ok(7));
    check("cache-control: max-age=60", "cache-control: no-store", Err(Unstorable::NoStore));
    check("cache-control: max-age=60", "set-cookie: a", Err(Unstorable::SetCookie));
    check("cache-control: max-age=60", "vary: *", Err(Unstorable::VaryAny));
    check("expires: @-40", "", Ok(0));
    check("expires: @-40", "expires: @50", Ok(50));
}

#[test]
fn four_statuses_are_failures_of_the_origin() {
    let failures: Vec<_> = (100..=999).filter(|status| failed(StatusCode::from_u16(*status).unwrap())).collect();
    assert_eq!(failures, [500, 502, 503, 504]);
}

#[test]
fn putting_aside_leaves_the_rest() {
    let mut request =
        fields("accept: a\nif-none-match: \"x\"\nrange: bytes=0-1\nif-range: \"x\"\nif-modified-since: @0");
    put_aside(&mut request);
    assert_eq!(request, fields("accept: a"));
    assert!(Ask::of(&Method::GET, &request, &PLAIN).is_ok());
}
