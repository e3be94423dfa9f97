//! Bad input: each with its status and reason token, never a panic, never forwarded.

use std::time::Duration;

use crate::world::{Client, Origin, alone, proxy, stop};

const HEAD: &str = "GET / HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\n";

#[test]
fn what_is_refused_has_its_reason_and_is_never_forwarded() {
    let origin = Origin::start("app");
    let proxy = proxy(&alone(
        origin.address,
        "[[routes]]\nname = \"api\"\npath_prefix = \"/\"\nupstream = \"app\"\nhost = \"a\"\n",
    ));
    let long_path = format!("GET /{} HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\n\r\n", "p".repeat(9 << 10));
    let long_head = format!("{HEAD}X-Big: {}\r\n\r\n", "b".repeat(40 << 10));
    let long_tenant = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: {}\r\n\r\n", "t".repeat(129));
    let cases: &[(&str, &str, u16, &str, bool)] = &[
        ("no tenant", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "tenant_missing", false),
        ("malformed tenant", "GET / HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: a/b\r\n\r\n", 400, "tenant_invalid", false),
        ("empty tenant", "GET / HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: \r\n\r\n", 400, "tenant_invalid", false),
        ("long tenant", &long_tenant, 400, "tenant_invalid", false),
        (
            "two tenants",
            "GET / HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\nX-Tenant-Id: t\r\n\r\n",
            400,
            "tenant_ambiguous",
            false,
        ),
        ("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nX-Tenant-Id: t\r\n\r\n", 400, "host_invalid", true),
        ("no host", "GET / HTTP/1.1\r\nX-Tenant-Id: t\r\n\r\n", 400, "host_invalid", true),
        ("host list", "GET / HTTP/1.1\r\nHost: a, b\r\nX-Tenant-Id: t\r\n\r\n", 400, "host_invalid", true),
        ("userinfo", "GET / HTTP/1.1\r\nHost: u@a\r\nX-Tenant-Id: t\r\n\r\n", 400, "host_invalid", true),
        (
            "chunked twice",
            "POST / HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
            400,
            "framing_invalid",
            true,
        ),
        (
            "gzip, chunked",
            "POST / HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            501,
            "coding_unknown",
            true,
        ),
        (
            "connection names host",
            "GET / HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\nConnection: host\r\n\r\n",
            400,
            "connection_field_forbidden",
            true,
        ),
        (
            "connection names the tenant",
            "GET / HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\nConnection: close, X-Tenant-Id\r\n\r\n",
            400,
            "connection_field_forbidden",
            true,
        ),
        (
            "encoded line break",
            "GET /a%0d%0ab HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\n\r\n",
            400,
            "target_invalid",
            true,
        ),
        ("backslash", "GET /a\\b HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\n\r\n", 400, "target_invalid", true),
        ("long target", &long_path, 414, "uri_too_long", true),
        ("oversized head", &long_head, 431, "head_too_large", true),
        ("unknown route", "GET / HTTP/1.1\r\nHost: other\r\nX-Tenant-Id: t\r\n\r\n", 404, "route_unknown", false),
        ("trace", "TRACE / HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\n\r\n", 405, "method_not_allowed", true),
        ("connect", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nX-Tenant-Id: t\r\n\r\n", 405, "method_not_allowed", true),
        (
            "expectation",
            "POST / HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\nExpect: 200-ok\r\nContent-Length: 0\r\n\r\n",
            417,
            "expectation_failed",
            true,
        ),
    ];
    for (name, request, status, reason, closes) in cases {
        let mut client = Client::connect(proxy.edges[0]);
        let answer = client.exchange(request.as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((answer.status, answer.reason().as_str()), (*status, *reason), "{name}");
        assert_eq!(answer.header("connection") == Some("close"), *closes, "{name}");
        if *closes {
            assert!(client.is_closed(), "{name}: must close");
        }
        // a canary on another connection gets its own answer
        assert_eq!(
            Client::connect(proxy.edges[0]).exchange(format!("{HEAD}\r\n").as_bytes()).unwrap().status,
            200,
            "{name}"
        );
    }
    assert_eq!(origin.count(), cases.len(), "only the canaries arrived");
    stop(proxy);
}

#[test]
fn framing_that_hyper_refuses_ends_the_connection_and_nothing_behind_it_runs() {
    let origin = Origin::start("app");
    let proxy = proxy(&alone(origin.address, ""));
    let suffix = "GET /smuggled HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\n\r\n";
    for bad in [
        "POST / HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\nContent-Length: +5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: a\r\nX-Tenant-Id: t\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\nX-Tenant-Id: t\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n X-Folded: 1\r\nX-Tenant-Id: t\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\rX: 1\r\n\r\n",
        "NOT HTTP\r\n\r\n",
    ] {
        let mut client = Client::connect(proxy.edges[0]);
        client.send(format!("{bad}{suffix}").as_bytes());
        let answer = client.answer(false).unwrap();
        assert!(matches!(answer.status, 400 | 431 | 501), "{bad:?}: {answer:?}");
        assert!(client.is_closed(), "{bad:?}");
    }
    assert_eq!(origin.count(), 0);
    stop(proxy);
}

#[test]
fn an_unread_body_is_never_parsed_as_a_request() {
    let origin = Origin::start("app");
    let proxy = proxy(&alone(origin.address, ""));
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\n\r\n";
    let mut client = Client::connect(proxy.edges[0]);
    client
        .send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{smuggled}", smuggled.len()).as_bytes());
    assert_eq!(client.answer(false).unwrap().reason(), "tenant_missing");
    let _ = client.is_closed();
    assert_eq!(origin.count(), 0);
    stop(proxy);
}

#[test]
fn the_client_cannot_speak_in_the_stamps_name() {
    let origin = Origin::start("app");
    let proxy = proxy(&alone(origin.address, ""));
    let mut client = Client::connect(proxy.edges[0]);
    let request = format!(
        "{HEAD}X-Synaxis-Hop: 1\r\nX-Synaxis-Tenant: other\r\nX-Forwarded-For: 6.6.6.6\r\nX_Tenant_Id: other\r\nConnection: keep-alive, X-Private\r\nX-Private: 1\r\nUpgrade: foo\r\n\r\n"
    );
    assert_eq!(client.exchange(request.as_bytes()).unwrap().json()["tenant"], "t");
    let seen = &origin.seen()[0];
    for gone in ["x-synaxis-hop", "x-synaxis-tenant", "x_tenant_id", "x-private", "upgrade", "connection"] {
        assert!(seen.all(gone).is_empty(), "{gone}: {seen:?}");
    }
    assert_eq!(seen.all("x-forwarded-for"), ["127.0.0.1"]);
    stop(proxy);
}

#[test]
fn a_guid_is_one_tenant_in_any_case() {
    let origin = Origin::start("app");
    let proxy = proxy(&alone(origin.address, ""));
    let mut client = Client::connect(proxy.edges[0]);
    let answer = client.get("6F9619FF-8B86-D011-B42D-00CF4FC964FF", "/");
    assert_eq!(answer.json()["tenant"], "6f9619ff-8b86-d011-b42d-00cf4fc964ff");
    stop(proxy);
}

#[test]
fn each_way_an_app_can_fail_has_its_answer() {
    let origin = Origin::start("app");
    // an app that fails at once is not to be taken for a slow one on a busy machine
    let route = "[[routes]]\nname = \"slow\"\npath_prefix = \"/slow\"\nupstream = \"app\"\ntimeout = \"300ms\"\n\
                 [[routes]]\nname = \"rest\"\npath_prefix = \"/\"\nupstream = \"app\"\n";
    let proxy = proxy(&alone(origin.address, route));
    for (path, status, reason) in [
        ("/slow", 504, "upstream_timeout"),
        ("/reset", 502, "upstream_reset"),
        ("/garbage", 502, "upstream_invalid"),
        ("/switch", 502, "upstream_invalid"),
    ] {
        let answer = Client::connect(proxy.edges[0]).get("t", path);
        assert_eq!((answer.status, answer.reason().as_str()), (status, reason), "{path}");
        assert_eq!(Client::connect(proxy.edges[0]).get("t", "/fine").status, 200, "after {path}");
    }
    stop(proxy);
}

#[test]
fn an_app_that_is_down_is_said_so() {
    let address = Origin::start("gone").address;
    std::thread::sleep(Duration::from_millis(50));
    let proxy = proxy(&alone(address, ""));
    let answer = Client::connect(proxy.edges[0]).get("t", "/");
    assert_eq!((answer.status, answer.reason().as_str()), (502, "upstream_connect"));
    stop(proxy);
}

#[test]
fn a_head_with_too_many_fields_is_refused_and_counted_by_whoever_refuses_it() {
    let origin = Origin::start("app");
    let proxy = proxy(&alone(origin.address, "[limits]\nfields = 10\n"));
    let with = |fields: usize| format!("{HEAD}{}\r\n", "X-Field: 1\r\n".repeat(fields - 2));
    let ask = |request: &str| Client::connect(proxy.edges[0]).exchange(request.as_bytes()).unwrap();
    assert_eq!(ask(&with(10)).status, 200);
    let ours = ask(&with(11));
    assert_eq!((ours.status, ours.reason().as_str()), (431, "head_too_large"));
    assert!(ours.text().contains("more than 10 fields"), "{}", ours.text());
    let library = ask(&with(101));
    assert_eq!((library.status, library.header("x-synaxis-reason")), (431, None));
    assert_eq!(ask("NOT HTTP\r\n\r\n").status, 400);
    let mut http2 = Client::connect(proxy.edges[0]);
    http2.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert!(http2.is_closed());
    let text = Client::connect(proxy.admin).exchange(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().text();
    for reason in ["parse", "too_large", "http2"] {
        let series = format!("heads_refused_total{{reason=\"{reason}\"}} 1");
        assert!(text.contains(&series), "no {series} in {text}");
    }
    assert_eq!(origin.count(), 1);
    stop(proxy);
}
