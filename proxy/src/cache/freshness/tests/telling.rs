//! `Age` and `Cache-Status`.

use super::{
    super::{
        reply::age,
        status::{Forward, Told},
        *,
    },
    *,
};

#[test]
fn age_is_a_number_of_seconds() {
    for number in (0..1005).chain([99_999, SECONDS_MAX - 1, SECONDS_MAX]) {
        assert_eq!(age(number), number.to_string().as_str());
    }
    assert_eq!(age(u32::MAX), "2147483648");
}

#[test]
fn a_hit_tells_how_long_it_is_fresh() {
    for ttl in (-3..1005).chain([i64::MIN, i64::MAX]) {
        assert_eq!(Told::Hit { ttl }.value(), format!("synaxis; hit; ttl={ttl}").as_str());
    }
}

#[test]
fn a_request_that_went_on_tells_why() {
    let plain = |why| Told::Forwarded { why, status: None, stored: None, collapsed: false, detail: None };
    let check = |told: Told, expected: &str| assert_eq!(told.value(), expected);
    check(plain(Forward::Bypass), "synaxis; fwd=bypass");
    check(plain(Forward::Method), "synaxis; fwd=method");
    check(plain(Forward::UriMiss), "synaxis; fwd=uri-miss");
    check(plain(Forward::VaryMiss), "synaxis; fwd=vary-miss");
    check(plain(Forward::Request), "synaxis; fwd=request");
    check(plain(Forward::Stale), "synaxis; fwd=stale");
    let full = Told::Forwarded {
        why: Forward::Stale,
        status: Some(StatusCode::NOT_MODIFIED),
        stored: Some(i64::MIN),
        collapsed: true,
        detail: Some("no-store"),
    };
    check(full, "synaxis; fwd=stale; fwd-status=304; stored; ttl=-9223372036854775808; collapsed; detail=no-store");
    let long = "x".repeat(65).leak();
    let detail = |detail| Told::Forwarded {
        why: Forward::UriMiss,
        status: None,
        stored: None,
        collapsed: false,
        detail: Some(detail),
    };
    check(detail(&long[..64]), &format!("synaxis; fwd=uri-miss; detail={}", &long[..64]));
    check(detail(long), "synaxis; fwd=uri-miss");
}
