//! What the client gets of a stored answer.

use super::{
    super::{
        range::{Range, content_range},
        reply::*,
        *,
    },
    *,
};

#[test]
fn a_client_that_has_it_is_told_so() {
    let check = |request: &str, stored: &str, expected: bool| {
        let reply = conditional(&fields(request), StatusCode::OK, &fields(stored), NOW);
        assert_eq!(reply == Reply::NotModified, expected, "{request} | {stored}");
    };
    check("", "etag: \"a\"", false);
    check("if-none-match: \"a\"", "etag: \"a\"", true);
    check("if-none-match: \"b\"", "etag: \"a\"", false);
    check("if-none-match: W/\"a\"", "etag: \"a\"", true);
    check("if-none-match: \"a\"", "etag: W/\"a\"", true);
    check("if-none-match: W/\"a\"", "etag: W/\"a\"", true);
    check("if-none-match: w/\"a\"", "etag: W/\"a\"", false);
    check("if-none-match: \"b\", \"a\"", "etag: \"a\"", true);
    check("if-none-match: \"b\" ,, W/\"a\" ,", "etag: \"a\"", true);
    check("if-none-match: \"b\"\nif-none-match: \"a\"", "etag: \"a\"", true);
    check("if-none-match: \"a,b\"", "etag: \"a,b\"", true);
    check("if-none-match: \"a,b\"", "etag: \"b\"", false);
    check("if-none-match: \"a\\\"", "etag: \"a\\\"", true);
    check("if-none-match: \"\"", "etag: \"\"", true);
    check("if-none-match: a", "etag: \"a\"", false);
    check("if-none-match: \"a", "etag: \"a\"", false);
    check("if-none-match: \"x\", broken, \"a\"", "etag: \"a\"", false);
    check("if-none-match: *", "etag: \"a\"", true);
    check("if-none-match: *", "", true);
    check("if-none-match: \"a\"", "", false);
    check("if-none-match: \"A\"", "etag: \"a\"", false);
    // a date is not looked at where there are tags
    check("if-none-match: \"b\"\nif-modified-since: @0", "etag: \"a\"\nlast-modified: @-9", false);
    check("if-none-match: \"a\"\nif-modified-since: @-99", "etag: \"a\"\nlast-modified: @-9", true);
    check("if-none-match:\nif-modified-since: @0", "last-modified: @-9", false);
    check("if-modified-since: @-9", "last-modified: @-9", true);
    check("if-modified-since: @-8", "last-modified: @-9", true);
    check("if-modified-since: @-10", "last-modified: @-9", false);
    check("if-modified-since: yesterday", "last-modified: @-9", false);
    check("if-modified-since: @0\nif-modified-since: @0", "last-modified: @-9", false);
    check("if-modified-since: @0", "last-modified: yesterday", false);
    check("if-modified-since: @-9", "date: @-9", true);
    check("if-modified-since: @-10", "date: @-9", false);
    check("if-modified-since: @0", "", true);
    check("if-modified-since: @-1", "", false);
}

#[test]
fn conditions_are_about_successes_only() {
    for (status, expected) in [
        (200, Reply::NotModified),
        (203, Reply::NotModified),
        (301, Reply::Whole),
        (404, Reply::Whole),
        (500, Reply::Whole),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        let reply = conditional(&fields("if-none-match: \"a\""), status, &fields("etag: \"a\""), NOW);
        assert_eq!(reply, expected, "{status}");
    }
}

#[test]
fn a_304_has_the_fields_that_are_not_about_its_missing_body() {
    let check = |stored: &str, expected: &str| {
        let stored = fields(stored);
        let kept: Vec<_> = stored.keys().filter(|name| kept_in_304(name, &stored)).map(HeaderName::as_str).collect();
        assert_eq!(kept.join(" "), expected);
    };
    check(
        "cache-control: a\ncontent-location: b\ndate: c\netag: \"d\"\nexpires: e\nvary: f\nlast-modified: @0\n\
         content-type: g\ncontent-length: 1\ncontent-encoding: h\ncontent-language: i\ncontent-range: j\nx: k",
        "cache-control content-location date etag expires vary x",
    );
    check("last-modified: @0\ncontent-type: g", "last-modified");
    check("last-modified: @0\netag: broken", "last-modified etag");
}

#[test]
fn a_range_is_one_of_bytes() {
    use Range::{Unsatisfiable, Whole};
    let part = |from, to| Range::Part { from, to };
    let check = |request: &str, length: u64, expected: Range| {
        assert_eq!(range::of(&fields(request), &HeaderMap::new(), length), expected, "{request} of {length}");
    };
    check("", 10, Whole);
    check("range: bytes=0-4", 10, part(0, 4));
    check("range: bytes=0-0", 10, part(0, 0));
    check("range: bytes=9-9", 10, part(9, 9));
    check("range: bytes=4-", 10, part(4, 9));
    check("range: bytes=0-", 10, part(0, 9));
    check("range: bytes=0-99", 10, part(0, 9));
    check("range: bytes=-4", 10, part(6, 9));
    check("range: bytes=-10", 10, part(0, 9));
    check("range: bytes=-99", 10, part(0, 9));
    check("range: BYTES=0-4", 10, part(0, 4));
    check("range: bytes= 0-4 ", 10, part(0, 4));
    check("range: bytes=,0-4,", 10, part(0, 4));
    check("range: bytes=00-04", 10, part(0, 4));
    check("range: bytes=0-99999999999999999999999999", 10, part(0, 9));
    check("range: bytes=10-", 10, Unsatisfiable);
    check("range: bytes=10-12", 10, Unsatisfiable);
    check("range: bytes=99999999999999999999999999-", 10, Unsatisfiable);
    check("range: bytes=-0", 10, Unsatisfiable);
    check("range: bytes=0-", 0, Unsatisfiable);
    check("range: bytes=0-0", 0, Unsatisfiable);
    check("range: bytes=-5", 0, Whole);
    for ignored in [
        "bytes=5-4",
        "bytes=a-b",
        "bytes=0-b",
        "bytes=-",
        "bytes=",
        "bytes",
        "bytes=1",
        "bytes=--1",
        "bytes=1--2",
        "bytes=0-1,3-4",
        "bytes=0-1, 9-",
        "bytes =0-1",
        "bytes:0-1",
        "lines=0-1",
        "",
        "0-1",
        "bytes=+0-1",
        "bytes=0-1;x",
        "bytes=0 -1",
        "bytes=0x0-1",
    ] {
        check(&format!("range: {ignored}"), 10, Whole);
    }
    check("range: bytes=0-1\nrange: bytes=2-3", 10, Whole);
}

#[test]
fn if_range_wants_the_same_bytes() {
    let check = |condition: &str, stored: &str, expected: bool| {
        let request = fields(&format!("range: bytes=0-4\n{condition}"));
        let range = range::of(&request, &fields(stored), 10);
        assert_eq!(range != Range::Whole, expected, "{condition} | {stored}");
    };
    check("if-range: \"a\"", "etag: \"a\"", true);
    check("if-range: \"b\"", "etag: \"a\"", false);
    check("if-range: W/\"a\"", "etag: W/\"a\"", false);
    check("if-range: W/\"a\"", "etag: \"a\"", false);
    check("if-range: \"a\"", "etag: W/\"a\"", false);
    check("if-range: \"a\"", "", false);
    check("if-range: \"a\", \"b\"", "etag: \"a\"", false);
    check("if-range: \"a\"\nif-range: \"a\"", "etag: \"a\"", false);
    check("if-range: *", "etag: \"a\"", false);
    check("if-range:", "etag: \"a\"", false);
    check("if-range: @-9", "last-modified: @-9\ndate: @0", true);
    check("if-range: @-8", "last-modified: @-9\ndate: @0", false);
    check("if-range: @-10", "last-modified: @-9\ndate: @0", false);
    check("if-range: @-9", "last-modified: @-9\ndate: @-8", true);
    check("if-range: @-9", "last-modified: @-9\ndate: @-9", false);
    check("if-range: @-9", "last-modified: @-9", false);
    check("if-range: @-9", "etag: \"a\"", false);
    check("if-range: yesterday", "last-modified: yesterday\ndate: @0", false);
    let beyond = fields("range: bytes=99-\nif-range: \"b\"");
    assert_eq!(range::of(&beyond, &fields("etag: \"a\""), 10), Range::Whole);
}

#[test]
fn a_part_says_where_it_is_from() {
    let check = |range: Range, expected: Option<&str>| {
        let value = content_range(range, 10);
        assert_eq!(value.as_ref().map(|value| value.to_str().unwrap()), expected);
    };
    check(Range::Whole, None);
    check(Range::Part { from: 2, to: 9 }, Some("bytes 2-9/10"));
    check(Range::Unsatisfiable, Some("bytes */10"));
}
