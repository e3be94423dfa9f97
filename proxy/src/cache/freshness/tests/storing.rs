//! What is stored, for how long, and with which fields.

use super::{super::*, *};

/// Seconds that the answer to a plain GET is fresh when it comes; or why it is not stored.
fn lifetime(lines: &str, policy: &Policy) -> Result<i64, Unstorable> {
    // with a validator, so that what is stale at once is stored too
    terms(&get(""), 200, &format!("etag: \"v\"\n{lines}"), policy).map(|terms| terms.left(NOW))
}

#[test]
fn an_answer_is_stored_if_every_rule_allows_it() {
    use Unstorable::*;
    let check = |request: &str, status: u16, answer: &str, expected: Result<(), Unstorable>| {
        assert_eq!(terms(&get(request), status, answer, &PLAIN).map(|_| ()), expected, "{request} | {status} {answer}");
    };
    check("", 200, "cache-control: max-age=60", Ok(()));
    check("", 200, "cache-control: s-maxage=60", Ok(()));
    check("", 200, "expires: @60", Ok(()));
    check("", 200, "cache-control: max-age=60, no-store", Err(NoStore));
    check("", 200, "cache-control: max-age=60\ncache-control: No-Store", Err(NoStore));
    check("", 200, "cache-control: max-age=60, no-store=\"x\"", Err(NoStore));
    check("", 200, "cache-control: private, max-age=60", Err(Private));
    check("", 200, "cache-control: private=\"\", max-age=60", Err(Private));
    check("", 200, "cache-control: private=\"x y\", max-age=60", Err(Private));
    check("", 200, "cache-control: private=\"x-user, no-store, max-age=60", Err(NoStore));
    check("", 200, "cache-control: private=\"x-user\", max-age=60", Ok(()));
    check("", 200, "cache-control: private=x-user, max-age=60", Ok(()));
    check("", 200, "cache-control: private=\"content-type\", max-age=60", Err(Private));
    check("cache-control: no-store", 200, "cache-control: max-age=60", Err(RequestNoStore));
    check("", 200, "cache-control: max-age=60\nset-cookie: a=b", Err(SetCookie));
    check("", 200, "cache-control: public, max-age=60, no-cache=\"set-cookie\"\nset-cookie: a=b", Err(SetCookie));
    check("", 206, "cache-control: max-age=60\ncontent-range: bytes 0-1/2", Err(Partial));
    check("", 200, "cache-control: max-age=60\nvary: *", Err(VaryAny));
    check("", 200, "cache-control: max-age=60\nvary: accept, *", Err(VaryAny));
    check("", 200, "cache-control: max-age=60\nvary: accept", Ok(()));
    // nothing to serve it by
    check("", 200, "", Err(ExpiredWithoutValidator));
    check("", 200, "cache-control: max-age=0", Err(ExpiredWithoutValidator));
    check("", 200, "cache-control: no-cache, max-age=60", Err(ExpiredWithoutValidator));
    check("", 200, "cache-control: max-age=60\nage: 60", Err(ExpiredWithoutValidator));
    check("", 200, "cache-control: max-age=60\nage: 59", Ok(()));
    check("", 200, "etag: broken", Err(ExpiredWithoutValidator));
    check("", 200, "last-modified: yesterday", Err(ExpiredWithoutValidator));
    check("", 200, "etag: \"v\"", Ok(()));
    check("", 200, "last-modified: @-9", Ok(()));
    check("", 200, "cache-control: max-age=0, stale-while-revalidate=9", Ok(()));
    check("", 200, "cache-control: max-age=0, stale-if-error=9", Ok(()));
    check("", 200, "cache-control: no-cache\netag: \"v\"", Ok(()));
}

#[test]
fn an_answer_to_an_authorized_request_is_stored_if_it_says_so() {
    let check = |answer: &str, expected: Option<Unstorable>| {
        let answer = format!("cache-control: {answer}\netag: \"v\"");
        assert_eq!(terms(&get("authorization: x"), 200, &answer, &PLAIN).err(), expected, "{answer}");
    };
    check("max-age=60", Some(Unstorable::Authorization));
    check("max-age=60, proxy-revalidate", Some(Unstorable::Authorization));
    check("max-age=60, public", None);
    check("max-age=60, must-revalidate", None);
    check("s-maxage=60", None);
    check("s-maxage=0", None);
}

#[test]
fn one_users_copy_may_be_private_and_authorized_but_not_forbidden() {
    let check = |answer: &str, expected: Option<Unstorable>| {
        assert_eq!(terms(&get("authorization: x"), 200, answer, &PER_USER).err(), expected, "{answer}");
    };
    check("cache-control: max-age=60", None);
    check("cache-control: private, max-age=60", None);
    check("cache-control: no-store, max-age=60", Some(Unstorable::NoStore));
    check("cache-control: private, max-age=60\nset-cookie: a=b", Some(Unstorable::SetCookie));
    check("cache-control: private, max-age=60\nvary: *", Some(Unstorable::VaryAny));
    check("cache-control: private, no-cache, max-age=60", Some(Unstorable::ExpiredWithoutValidator));
}

#[test]
fn an_answer_to_head_is_not_stored() {
    let ask = Ask { head: true, ..get("") };
    assert_eq!(terms(&ask, 200, "cache-control: max-age=60", &PLAIN).err(), Some(Unstorable::Method));
}

#[test]
fn statuses_are_stored_by_themselves_or_when_the_origin_says_how_long() {
    let silent = Policy { default_lifetime: Some(60), ..PLAIN };
    for status in 100..=999 {
        let never = !(200..600).contains(&status) || [206, 304, 412, 416].contains(&status);
        let heuristic = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501].contains(&status);
        let refused = if status == 206 { Unstorable::Partial } else { Unstorable::Status };
        let check = |answer: &str, policy: &Policy, expected: bool| {
            let result = terms(&get(""), status, answer, policy).map(|terms| terms.left(NOW));
            assert_eq!(result, if expected { Ok(60) } else { Err(refused) }, "{status} {answer}");
        };
        check("cache-control: max-age=60", &PLAIN, !never);
        check("expires: @60", &PLAIN, !never);
        check("", &silent, heuristic);
        check("cache-control: public", &silent, !never);
    }
}

#[test]
fn must_understand_lets_the_status_decide() {
    let check = |status: u16, answer: &str, expected: Option<Unstorable>| {
        let answer = format!("cache-control: max-age=60, {answer}");
        assert_eq!(terms(&get(""), status, &answer, &PLAIN).err(), expected, "{status} {answer}");
    };
    check(200, "must-understand, no-store", None);
    check(404, "no-store, must-understand", None);
    check(299, "must-understand, no-store", Some(Unstorable::Status));
    check(299, "must-understand", Some(Unstorable::Status));
    check(206, "must-understand", Some(Unstorable::Partial));
    check(599, "must-understand", Some(Unstorable::Status));
    check(299, "public", None);
    check(200, "must-understand, private", Some(Unstorable::Private));
}

#[test]
fn the_strongest_word_about_freshness_counts() {
    let check = |lines: &str, expected: i64| assert_eq!(lifetime(lines, &PLAIN), Ok(expected), "{lines}");
    check("cache-control: s-maxage=10, max-age=20\nexpires: @30", 10);
    check("cache-control: max-age=20\nexpires: @30", 20);
    check("cache-control: max-age=0\nexpires: @30", 0);
    check("expires: @30", 30);
    check("expires: @30\ndate: @-0", 30);
    check("cache-control: public\nexpires: @30", 30);
    // Expires is measured by the origin's own clock, and the age by ours
    check("expires: @30\ndate: @20", 10);
    check("expires: @30\ndate: @-20", 30);
    check("expires: @-30\ndate: @-50", -30);
    check("expires: @10\ndate: @20", 0);
    check("expires: @0\ndate: @0", 0);
    check("", 0);
}

#[test]
fn what_cannot_be_read_about_freshness_is_stale() {
    let check = |lines: &str| assert_eq!(lifetime(lines, &PLAIN), Ok(0), "{lines}");
    for value in ["", "a", "-1", "+1", "1.5", "1 0", "0x10", "1e3", "'9'", "\"9", "9\"", "10s", "\\9"] {
        check(&format!("cache-control: max-age={value}"));
        check(&format!("cache-control: s-maxage={value}, max-age=60"));
    }
    check("cache-control: max-age");
    check("cache-control: max-age =60");
    check("cache-control: max-age= 60");
    check("cache-control: max-age=60, max-age=61");
    check("cache-control: max-age=60\ncache-control: max-age=61");
    check("cache-control: s-maxage=60, s-maxage=61, s-maxage=60");
    check("expires: 0");
    check("expires: -1");
    check("expires:");
    check("expires: tomorrow");
    check("expires: @30\nexpires: @40");
    check("expires: @30\ndate: now");
    check("expires: @30\ndate: @0\ndate: @1");
    check("expires: Tue, 01 Jan 2030 00:00:00 CET");
}

#[test]
fn what_can_be_read_about_freshness_is_read() {
    let check = |lines: &str, expected: i64| assert_eq!(lifetime(lines, &PLAIN), Ok(expected), "{lines}");
    check("cache-control: max-age=\"60\"", 60);
    check("cache-control: MAX-AGE=60", 60);
    check("cache-control: max-age=0060", 60);
    check("cache-control: max-age=60, max-age=60", 60);
    check("cache-control: ,, max-age=60 ,", 60);
    check("cache-control: x=\"a, max-age=5\", max-age=60", 60);
    check("cache-control: x=\"a\\\", max-age=5\", max-age=60", 60);
    check("cache-control: x=\"\\\\\", max-age=60", 60);
    check("cache-control: x=\"a\"b, max-age=60", 60);
    check("cache-control: max-age=60;x", 0);
    check("cache-control: unknown, max-age=60, also=this, immutable", 60);
    check("cache-control: x-max-age=5, max-age=60", 60);
    check("cache-control: max-age=60\nexpires: 0", 60);
    check("cache-control: max-age=60\ndate: nonsense", 60);
    check("expires: @30\nexpires: @30", 30);
    check("cache-control: max-age=99999999999999999999999999", 1_000_000);
    check("cache-control: max-age=2147483648", 1_000_000);
}

#[test]
fn dates_are_read_in_three_forms_and_in_any_case() {
    let at = |written: &str| date::parse(written.as_bytes());
    let expected = Some(784_111_777);
    for written in [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "sun, 06 nov 1994 08:49:37 gmt",
        "SUN, 06 NOV 1994 08:49:37 GMT",
        "SUNDAY, 06-NOV-94 08:49:37 GMT",
        "sun nov  6 08:49:37 1994",
    ] {
        assert_eq!(at(written), expected, "{written}");
    }
    for written in [
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 25:49:37 GMT",
        "784111777",
        "",
        "GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
    ] {
        assert_eq!(at(written), None, "{written}");
    }
    assert_eq!(at(date::write(u64::MAX).to_str().unwrap()), Some(253_402_300_799));
    assert_eq!(at(date::write(NOW + 999).to_str().unwrap()), Some(NOW / 1000));
}

#[test]
fn a_class_speaks_where_the_origin_is_silent() {
    let with = Policy { default_lifetime: Some(100), ..PLAIN };
    let check = |lines: &str, expected: i64| assert_eq!(lifetime(lines, &with), Ok(expected), "{lines}");
    check("", 100);
    check("age: 30", 70);
    check("last-modified: @-10000", 100);
    check("cache-control: public", 100);
    check("cache-control: max-age=5", 5);
    check("cache-control: max-age=x", 0);
    check("expires: 0", 0);
    let answer = terms(&get(""), 302, "cache-control: must-revalidate\netag: \"v\"", &with);
    assert_eq!(answer.err(), Some(Unstorable::Status));
}

#[test]
fn heuristics_are_a_tenth_and_only_where_the_class_wants_them() {
    let with = Policy { heuristic: true, ..PLAIN };
    let check = |lines: &str, expected: i64| assert_eq!(lifetime(lines, &with), Ok(expected), "{lines}");
    assert_eq!(lifetime("last-modified: @-1000", &PLAIN), Ok(0));
    check("last-modified: @-1000", 100);
    check("last-modified: @-1009", 100);
    check("last-modified: @-1000\ndate: @-0", 100);
    check("last-modified: @-1000\ndate: @-500", -450);
    check("last-modified: @1000", 0);
    check("last-modified: never", 0);
    check("last-modified: @-1000\ndate: never", 0);
    check("last-modified: @-1000\ncache-control: max-age=7", 7);
    check("last-modified: @-1000\nexpires: 0", 0);
    check("last-modified: @-100000000", 1_000_000);
    let first = Policy { default_lifetime: Some(3), ..with };
    assert_eq!(lifetime("last-modified: @-1000", &first), Ok(3));
}

#[test]
fn a_class_bounds_freshness_from_when_the_answer_came() {
    let bounded = Policy { lifetime_max: 60, ..PLAIN };
    let check = |lines: &str, expected: i64| assert_eq!(lifetime(lines, &bounded), Ok(expected), "{lines}");
    check("cache-control: max-age=3600", 60);
    check("cache-control: max-age=3600\nage: 1800", 60);
    check("cache-control: max-age=3600\nage: 3590", 10);
    check("cache-control: max-age=30", 30);
}

#[test]
fn what_is_stored_of_a_head() {
    let check = |lines: &str, policy: &Policy, expected: &str| {
        let mut headers = fields(lines);
        keep(&mut headers, NOW, policy);
        let mut kept: Vec<_> = headers.keys().map(http::HeaderName::as_str).collect();
        kept.sort_unstable();
        assert_eq!(kept.join(" "), expected, "{lines}");
    };
    check("date: @0\nx: 1\nage: 5", &PLAIN, "date x");
    check("x: 1", &PLAIN, "date x");
    check(
        "date: @0\nconnection: close, x-hop\nx-hop: 1\nkeep-alive: 5\nte: a\ntrailer: b\nupgrade: c\n\
         transfer-encoding: chunked\nproxy-authenticate: d\nproxy-authorization: e\nproxy-authentication-info: f\n\
         proxy-connection: g",
        &PLAIN,
        "date",
    );
    check("date: @0\nconnection: vary, cache-control\nvary: a\ncache-control: b", &PLAIN, "cache-control date vary");
    let listed =
        "date: @0\nx-user: 1\nx-time: 2\nx-else: 3\ncache-control: private=\"x-user\", no-cache=\"X-Time , y\"";
    check(listed, &PLAIN, "cache-control date x-else");
    check(listed, &PER_USER, "cache-control date x-else x-user");
    check("date: @0\netag: \"a\"\nx: 1\ncache-control: no-cache=\"x, etag\"", &PLAIN, "cache-control date etag x");

    let mut headers = fields("date: yesterday");
    keep(&mut headers, NOW, &PLAIN);
    assert_eq!(headers["date"], day(0).as_str());
}

#[test]
fn a_qualified_no_cache_does_not_make_the_whole_answer_unfit() {
    let check = |directive: &str, fresh: bool| {
        let terms =
            terms(&get(""), 200, &format!("etag: \"v\"\ncache-control: max-age=60, {directive}"), &PLAIN).unwrap();
        assert_eq!(matches!(terms.judge(&get(""), NOW), Use::Fresh { .. }), fresh, "{directive}");
    };
    check("no-cache=\"x-user\"", true);
    check("no-cache=x-user", true);
    check("no-cache", false);
    check("no-cache=\"\"", false);
    check("no-cache=\"x user\"", false);
    check("no-cache=\"x\", no-cache", false);
    check("no-cache, no-cache=\"x\"", false);
    check("no-cache=\"vary\"", false);
    check("no-cache=", false);
}

#[test]
fn every_reason_has_a_token_of_its_own() {
    use Unstorable::*;
    let all = [
        Method,
        RequestNoStore,
        NoStore,
        Private,
        Authorization,
        SetCookie,
        VaryAny,
        Partial,
        Status,
        ExpiredWithoutValidator,
    ];
    let mut tokens = all.map(Unstorable::token).to_vec();
    assert!(tokens.iter().all(|token| token.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')));
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!(tokens.len(), all.len());
}
