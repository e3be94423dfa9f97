//! A body that nobody reads is never parsed as a request, on any path that answers before the body was read.

use std::{
    io::Write,
    net::{Shutdown, SocketAddr},
};

use synaxis_routing::{id::TenantId, store::Mode, table::PinMode};

use super::pair::{Pair, stamp};
use crate::world::{Client, Strict, alone, free_port, proxy, stop};

/// What the body reads like. Its own id tells which path let it through.
fn smuggled(id: &str) -> String {
    // at home on an edge, a peer and an admin listener
    format!(
        "GET /smuggled-{id} HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: smuggled\r\nX-Synaxis-Hop: 1\r\nX-Synaxis-Epoch: 1.99\r\n\
         X-Synaxis-Entry: synaxis-weu-001\r\nX-Synaxis-Tenant: smuggled\r\n\r\n"
    )
}

/// Sends a head whose body is a request: with its length and in a chunk, together with the head and only after the answer.
/// There must be one answer, with this status.
fn check(name: &str, edge: SocketAddr, head: &str, status: u16) {
    for (framing, late) in [("length", false), ("length", true), ("chunked", false), ("chunked", true)] {
        let id = format!("{}-{framing}-{late}", name.replace(' ', "-"));
        let body = smuggled(&id);
        let (framing, body) = match framing {
            "length" => (format!("Content-Length: {}", body.len()), body),
            _ => ("Transfer-Encoding: chunked".to_owned(), format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())),
        };
        let mut client = Client::connect(edge);
        let head = format!("{head}{framing}\r\n\r\n");
        client.stream().write_all(if late { head.clone() } else { format!("{head}{body}") }.as_bytes()).unwrap();
        let answer = client.answer(head.starts_with("HEAD ")).unwrap_or_else(|error| panic!("{id}: {error}"));
        // as long as the client is waited for the app is not late; this one gives up by itself
        let expected = if late && status == 504 { 502 } else { status };
        assert_eq!(answer.status, expected, "{id}: {}", answer.text());
        if late {
            // it may be closed already
            let _ = client.stream().write_all(body.as_bytes());
        }
        let _ = client.stream().shutdown(Shutdown::Write);
        let rest = client.rest().unwrap_or_else(|| panic!("{id}: still open"));
        assert!(rest.is_empty(), "{id}: {}", rest.escape_ascii());
    }
}

fn nothing_smuggled(origin: &Strict) {
    let targets: Vec<String> = origin.since(0).into_iter().map(|parsed| parsed.target).collect();
    let through: Vec<&String> = targets.iter().filter(|target| target.contains("smuggled")).collect();
    assert!(through.is_empty(), "{through:?}");
    assert_eq!(origin.faults(), [""; 0]);
}

#[test]
fn no_refused_requests_body_is_read_as_a_request() {
    let origin = Strict::start();
    let route =
        "[[routes]]\nname = \"api\"\nhost = \"a\"\npath_prefix = \"/\"\nupstream = \"app\"\ntimeout = \"100ms\"\n";
    let proxy = proxy(&alone(origin.address, route));
    let edge = proxy.edges[0];
    let usual = "Host: a\r\nX-Tenant-Id: t\r\n";
    let long = "x".repeat(9 << 10);
    let cases = [
        ("no tenant", "POST / HTTP/1.1\r\nHost: a\r\n".to_owned(), 400),
        ("no tenant GET", "GET / HTTP/1.1\r\nHost: a\r\n".to_owned(), 400),
        ("no tenant HEAD", "HEAD / HTTP/1.1\r\nHost: a\r\n".to_owned(), 400),
        ("invalid tenant", "POST / HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: /\r\n".to_owned(), 400),
        ("two tenants", format!("POST / HTTP/1.1\r\n{usual}X-Tenant-Id: t\r\n"), 400),
        ("two hosts", format!("POST / HTTP/1.1\r\n{usual}Host: b\r\n"), 400),
        ("connection field", format!("POST / HTTP/1.1\r\n{usual}Connection: host\r\n"), 400),
        ("target", format!("POST /%00 HTTP/1.1\r\n{usual}"), 400),
        ("no route", "POST / HTTP/1.1\r\nHost: b\r\nX-Tenant-Id: t\r\n".to_owned(), 404),
        ("trace", format!("TRACE / HTTP/1.1\r\n{usual}"), 405),
        ("connect", format!("CONNECT a:80 HTTP/1.1\r\n{usual}"), 405),
        ("long target", format!("POST /{long} HTTP/1.1\r\n{usual}"), 414),
        ("expectation", format!("POST / HTTP/1.1\r\n{usual}Expect: x\r\n"), 417),
        ("long head", format!("POST / HTTP/1.1\r\n{usual}X: {long}{long}{long}{long}\r\n"), 431),
        ("coding", format!("POST / HTTP/1.1\r\n{usual}Transfer-Encoding: gzip, chunked\r\n"), 501),
        ("probe", "GET /health HTTP/1.1\r\nHost: a\r\n".to_owned(), 200),
        ("probe HEAD", "HEAD /health HTTP/1.1\r\nHost: a\r\n".to_owned(), 200),
        ("app answers early", format!("POST /early HTTP/1.1\r\n{usual}"), 200),
    ];
    for (name, head, status) in cases {
        check(name, edge, &head, status);
    }
    stop(proxy);
    nothing_smuggled(&origin);
}

#[test]
fn no_failed_requests_body_is_read_as_a_request() {
    let origin = Strict::start();
    let route = "[[routes]]\nname = \"api\"\npath_prefix = \"/\"\nupstream = \"app\"\ntimeout = \"100ms\"\n";
    let served = proxy(&alone(origin.address, route));
    for (name, path, status) in
        [("app slams", "/slam", 502), ("app talks nonsense", "/nonsense", 502), ("app is mute", "/mute", 504)]
    {
        check(name, served.edges[0], &format!("POST {path} HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\n"), status);
    }
    stop(served);
    let dead = proxy(&alone(SocketAddr::from(([127, 0, 0, 1], free_port())), ""));
    check("app is down", dead.edges[0], "POST / HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\n", 502);
    stop(dead);
    let folder = tempfile::tempdir().unwrap();
    let routing = format!("[routing]\nstore = \"file:{}\"\n", folder.path().display());
    let blind = proxy(&alone(origin.address, &routing));
    check("no table", blind.edges[0], "POST / HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\n", 503);
    check("unhealthy", blind.edges[0], "GET /health HTTP/1.1\r\nHost: a\r\n", 503);
    check("admin", blind.admin, "GET /livez HTTP/1.1\r\nHost: a\r\n", 200);
    check("admin refuses", blind.admin, "POST /livez HTTP/1.1\r\nHost: a\r\n", 405);
    stop(blind);
    nothing_smuggled(&origin);
}

#[test]
fn no_body_on_a_peer_listener_is_read_as_a_request() {
    let pair = Pair::start("");
    let pinned = pair.current(0).pin(TenantId::parse(b"t").unwrap(), &stamp(1), PinMode::Strict, 1).unwrap().fleet;
    pair.publish(0, &pinned, Mode::NoProxies);
    pair.applied(0, &pinned);
    let peer = pair.proxies[0].peers[0];
    let hop = format!(
        "Host: a\r\nX-Synaxis-Hop: 1\r\nX-Synaxis-Epoch: 1.1\r\nX-Synaxis-Entry: {}\r\nX-Synaxis-Tenant: t\r\n",
        stamp(1)
    );
    check("misdirected", peer, &format!("POST / HTTP/1.1\r\n{hop}"), 421);
    check("stranger", peer, "POST / HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\n", 400);
    check("table", peer, "GET /synaxis/table HTTP/1.1\r\nHost: a\r\n", 200);
    check("peer probe", peer, "GET /health HTTP/1.1\r\nHost: a\r\n", 200);
    pair.origins.iter().for_each(nothing_smuggled);
    pair.stop();
}
