//! Who may ask what.

use http::{HeaderName, HeaderValue};

use super::*;

const TOKEN: &str = "0f1e2d3c4b5a6978";
const LOCAL: &str = "127.0.0.1:5000";
const STRANGER: &str = "203.0.113.9:5000";

fn admin(token: Option<&str>) -> Admin {
    Admin {
        address: LOCAL.parse().unwrap(),
        token: token.map(|token| Secret::token(token).unwrap()),
        hosts: vec!["admin.example.com".to_owned()],
    }
}

fn fields(fields: &[(&str, &str)]) -> HeaderMap {
    let field = |(name, value): &(&str, &str)| {
        (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap())
    };
    let mut headers = HeaderMap::new();
    for (name, value) in fields.iter().map(field) {
        headers.append(name, value);
    }
    headers
}

fn bearer(value: &str) -> HeaderMap {
    fields(&[("authorization", value)])
}

#[test]
fn off_loopback_only_the_very_token_reads() {
    let stranger = STRANGER.parse().unwrap();
    let read = |token, headers: &HeaderMap| may_read(&admin(token), stranger, headers);
    assert_eq!(read(None, &bearer("Bearer 0f1e2d3c4b5a6978")), Err(Refusal::LocalOnly));
    for good in ["Bearer 0f1e2d3c4b5a6978", "bearer 0f1e2d3c4b5a6978", "BEARER   0f1e2d3c4b5a6978"] {
        assert_eq!(read(Some(TOKEN), &bearer(good)), Ok(()), "{good}");
    }
    for bad in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer 0f1e2d3c4b5a697",
        "Bearer 0f1e2d3c4b5a69780",
        "Bearer 0F1E2D3C4B5A6978",
        "Bearer f1e2d3c4b5a6978",
        "Bearer\t0f1e2d3c4b5a6978",
        "Bearer 0f1e2d3c4b5a6978, Bearer 0f1e2d3c4b5a6978",
        "Basic 0f1e2d3c4b5a6978",
        "0f1e2d3c4b5a6978",
        "Bearer \u{e9}",
    ] {
        assert_eq!(read(Some(TOKEN), &bearer(bad)), Err(Refusal::TokenRequired), "{bad}");
    }
    let twice = fields(&[("authorization", "Bearer 0f1e2d3c4b5a6978"), ("authorization", "Bearer 0f1e2d3c4b5a6978")]);
    assert_eq!(read(Some(TOKEN), &twice), Err(Refusal::TokenRequired));
    assert_eq!(read(Some(TOKEN), &HeaderMap::new()), Err(Refusal::TokenRequired));
}

#[test]
fn on_loopback_a_page_of_the_web_reads_nothing() {
    let read = |host: &str| may_read(&admin(None), LOCAL.parse().unwrap(), &fields(&[("host", host)]));
    for good in ["127.0.0.1:9901", "[::1]:9901", "localhost", "LOCALHOST:9901", "a", "admin.example.com", "localhost."]
    {
        assert_eq!(read(good), Ok(()), "{good}");
    }
    for bad in
        ["evil.example", "evil.example:9901", "127.0.0.1.evil.example", "a@127.0.0.1", "", "a b", "x.admin.example.com"]
    {
        assert_eq!(read(bad), Err(Refusal::HostForbidden), "{bad}");
    }
    let two = fields(&[("host", "127.0.0.1"), ("host", "127.0.0.1")]);
    assert_eq!(may_read(&admin(None), LOCAL.parse().unwrap(), &two), Err(Refusal::HostForbidden));
    assert_eq!(may_read(&admin(None), LOCAL.parse().unwrap(), &HeaderMap::new()), Ok(()));
}

#[test]
fn a_change_needs_token_host_origin_and_type() {
    let good = [
        ("host", "127.0.0.1:9901"),
        ("authorization", "Bearer 0f1e2d3c4b5a6978"),
        ("content-type", "application/json"),
    ];
    let with = |name: &'static str, value: &'static str| -> HeaderMap {
        let kept = good.into_iter().filter(|(known, _)| *known != name);
        fields(&kept.chain((value != "-").then_some((name, value))).collect::<Vec<_>>())
    };
    let change = |headers: &HeaderMap| may_change(&admin(Some(TOKEN)), LOCAL.parse().unwrap(), headers);
    assert_eq!(change(&fields(&good)), Ok(()));
    assert_eq!(may_change(&admin(None), LOCAL.parse().unwrap(), &fields(&good)), Err(Refusal::TokenUnset));
    assert_eq!(may_change(&admin(None), STRANGER.parse().unwrap(), &fields(&good)), Err(Refusal::LocalOnly));
    for (name, value, expected) in [
        ("authorization", "-", Err(Refusal::TokenRequired)),
        ("host", "-", Err(Refusal::HostForbidden)),
        ("host", "evil.example", Err(Refusal::HostForbidden)),
        ("host", "intranet", Err(Refusal::HostForbidden)),
        ("host", "admin.example.com:443", Ok(())),
        ("origin", "http://127.0.0.1:9901", Ok(())),
        ("origin", "https://127.0.0.1:9901", Ok(())),
        ("origin", "http://127.0.0.1:9902", Err(Refusal::OriginForbidden)),
        ("origin", "http://127.0.0.1:9901.evil.example", Err(Refusal::OriginForbidden)),
        ("origin", "null", Err(Refusal::OriginForbidden)),
        ("origin", "", Err(Refusal::OriginForbidden)),
        ("origin", "file://127.0.0.1:9901", Err(Refusal::OriginForbidden)),
        ("content-type", "-", Err(Refusal::ContentType)),
        ("content-type", "text/plain", Err(Refusal::ContentType)),
        ("content-type", "application/x-www-form-urlencoded", Err(Refusal::ContentType)),
        ("content-type", "text/plain; application/json", Err(Refusal::ContentType)),
        ("content-type", "application/jsonp", Err(Refusal::ContentType)),
        ("content-type", "Application/JSON; charset=utf-8", Ok(())),
        ("content-encoding", "gzip", Err(Refusal::ContentType)),
    ] {
        assert_eq!(change(&with(name, value)), expected, "{name}: {value}");
    }
}

#[test]
fn every_refusal_has_its_own_reason() {
    let all = [
        Refusal::LocalOnly,
        Refusal::TokenRequired,
        Refusal::TokenUnset,
        Refusal::HostForbidden,
        Refusal::OriginForbidden,
        Refusal::MethodNotAllowed("GET"),
        Refusal::Unknown,
        Refusal::ContentType,
        Refusal::BodyTooLarge,
        Refusal::BodyTimeout,
        Refusal::BodyInvalid(String::new()),
        Refusal::QueryInvalid(""),
        Refusal::TenantInvalid(""),
        Refusal::RegionUnknown(String::new()),
        Refusal::NoTable,
        Refusal::LogLevelFixed,
        Refusal::CacheStoreAway(String::new()),
    ];
    assert_eq!(all.map(|refusal| refusal.shape().1), REASONS);
}
