//! The admin listener over real sockets: what it shows, what it changes, and whom it refuses.

use std::{net::SocketAddr, time::Instant};

use crate::world::{Answer, Client, Process, alone, eventually, proxy, stop};

const TOKEN: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
/// Nobody listens there.
const NOWHERE: &str = "127.0.0.1:1";

fn config(more: &str) -> String {
    alone(NOWHERE.parse().unwrap(), more).replace("[admin]\n", &format!("[admin]\ntoken = \"{TOKEN}\"\n"))
}

fn ask(admin: SocketAddr, target: &str) -> Answer {
    Client::connect(admin).exchange(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap()
}

/// The reason in a problem document.
fn refused(answer: &Answer) -> (u16, String) {
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{}", answer.text());
    (answer.status, answer.json()["reason"].as_str().unwrap().to_owned())
}

/// A PUT to `/loglevel` with these fields beside Host and Content-Length.
fn put(admin: SocketAddr, host: &str, fields: &str, body: &str) -> Answer {
    let length = body.len();
    let head = format!("PUT /loglevel HTTP/1.1\r\nHost: {host}\r\n{fields}Content-Length: {length}\r\n\r\n{body}");
    Client::connect(admin).exchange(head.as_bytes()).unwrap()
}

fn good() -> String {
    format!("Authorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n")
}

#[test]
fn every_endpoint_that_is_listed_answers() {
    let proxy = proxy(&config(""));
    eventually("a table", || ask(proxy.admin, "/readyz").status == 200);
    let index = ask(proxy.admin, "/").text();
    for line in index.lines() {
        let target = line.split(['[', ' ']).next().unwrap().replace("tenant=T", "tenant=acme");
        // the process of a test has no filter of its own
        let expected = match target.as_str() {
            "/loglevel" => 409,
            "/drain" | "/cache/purge" => 405,
            _ => 200,
        };
        assert_eq!(ask(proxy.admin, &target).status, expected, "{target}");
    }
    let settings = ask(proxy.admin, "/config").text();
    assert!(settings.contains("[admin]") && settings.contains("idle_max = 256"), "{settings}");
    assert!(settings.contains("***") && !settings.contains(&TOKEN[..8]), "{settings}");
    assert!(index.lines().count() >= 12, "{index}");
    assert_eq!(refused(&ask(proxy.admin, "/nothing")), (404, "unknown".into()));
    stop(proxy);
}

#[test]
fn where_requests_are_sent_is_shown_with_why_not() {
    let fleet = "[[listeners]]\nkind = \"peer\"\naddress = \"127.0.0.1:0\"\n[upstreams.site]\nendpoints = [\"http://[::1]:9003\"]\n\
                 [[routes]]\nname = \"api\"\nhost = \"*.example.com\"\npath_prefix = \"/api\"\nmethods = [\"GET\"]\nupstream = \"app\"\n\
                 [[routes]]\nname = \"rest\"\npath_prefix = \"/\"\nmethods = [\"GET\", \"POST\"]\nupstream = \"site\"\ntimeout = \"5s\"\ncache = \"pages\"\n\
                 [cache.store]\nurl = \"redis://127.0.0.1:1\"\n[cache.classes.pages]\npreset = \"metadata\"\n";
    let proxy = proxy(&config(fleet));
    eventually("a table", || ask(proxy.admin, "/readyz").status == 200);
    let shown = ask(proxy.admin, "/upstreams").json();
    assert_eq!(shown["apps"][0]["upstream"], "app");
    assert_eq!(shown["apps"][0]["endpoints"][0]["port"], 1);
    assert_eq!(shown["apps"][1]["endpoints"][0]["host"], "::1");
    assert_eq!(shown["apps"][1]["endpoints"][0]["refused"], serde_json::Value::Null);
    assert_eq!(shown["peers"], serde_json::json!([]));

    let explain = |more: &str| ask(proxy.admin, &format!("/routing/explain?tenant=acme{more}"));
    let text = explain("").text();
    for expected in ["synaxis-weu-001 serves it", "candidates, in order of choice", "this stamp: served by its own app"]
    {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(!text.contains("route"), "{text}");
    let json = explain("&path=/api/x&host=A.Example.Com:443&format=json").json();
    assert_eq!(json["route"]["chosen"]["name"], "api");
    assert_eq!(json["route"]["chosen"]["endpoints"][0], "127.0.0.1:1");
    assert_eq!((&json["here"]["known"], &json["here"]["candidates"][0]["me"]), (&true.into(), &true.into()));
    assert_eq!((&json["choice"], &json["entry"]), (&"synaxis-weu-001".into(), &"weu".into()));
    assert_eq!(json["route"]["chosen"]["cache"], serde_json::Value::Null);
    let rest = explain("&path=/api/x&method=POST").text();
    assert!(rest.contains("route rest: upstream site ([::1]:9003), 5000 ms to the answer's head"), "{rest}");
    assert!(rest.contains("answers are kept by class pages: up to 60000 ms, 300000 ms in the store\n"), "{rest}");
    let none = explain("&path=/x&method=DELETE&format=json").json();
    assert_eq!(
        (&none["route"]["refused"]["status"], &none["route"]["refused"]["reason"]),
        (&405.into(), &"method_not_allowed".into())
    );
    stop(proxy);
}

#[test]
fn what_stands_before_each_upstream_is_shown() {
    let breaker = "breaker = { failures = 3, open = \"1h\", open_max = \"1h\" }\nin_flight_max = 50\n";
    let proxy = proxy(&config("").replace("breaker = { failures = 10000 }\n", breaker));
    eventually("a table", || ask(proxy.admin, "/readyz").status == 200);
    let shown = || ask(proxy.admin, "/breakers").json();
    let before = shown();
    assert_eq!((&before[0]["kind"], &before[0]["upstream"]), (&"app".into(), &"app".into()));
    assert_eq!((&before[0]["breaker"]["state"], &before[0]["places"]["in_flight_max"]), (&"closed".into(), &50.into()));
    assert_eq!(before.as_array().map(Vec::len), Some(1), "this stamp is nobody's peer");
    // nobody listens there, and a POST is not tried again
    let post = b"POST / HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\nContent-Length: 0\r\n\r\n";
    let mut client = Client::connect(proxy.edges[0]);
    let reasons: Vec<String> = (0..4).map(|_| client.exchange(post).unwrap().reason()).collect();
    assert_eq!(reasons, ["upstream_connect", "upstream_connect", "upstream_connect", "breaker_open"]);
    let open = shown();
    assert_eq!((&open[0]["breaker"]["state"], &open[0]["breaker"]["transport_failures"]), (&"open".into(), &3.into()));
    assert!(open[0]["breaker"]["open_for_ms"].as_u64().unwrap() > 59 * 60_000, "{open}");
    assert_eq!(open[0]["places"]["in_flight"], 0);
    let text = ask(proxy.admin, "/metrics").text();
    for series in [
        "breaker_state{kind=\"app\",upstream=\"app\"} 2",
        "breaker_transitions_total{kind=\"app\",upstream=\"app\",to=\"open\"} 1",
        "upstream_refused_total{kind=\"app\",upstream=\"app\",rule=\"breaker\"} 1",
        "upstream_in_flight{kind=\"app\",upstream=\"app\"} 0",
    ] {
        assert!(text.contains(series), "no {series} in {text}");
    }
    stop(proxy);
}

#[test]
fn a_hostile_query_has_a_clear_answer() {
    let proxy = proxy(&config(""));
    eventually("a table", || ask(proxy.admin, "/readyz").status == 200);
    let long = format!("?tenant={}", "a".repeat(10 << 10));
    for (query, reason, detail) in [
        ("", "tenant_invalid", "ask with ?tenant=T"),
        ("?", "tenant_invalid", "ask with ?tenant=T"),
        ("?tenant", "tenant_invalid", "the tenant is empty"),
        ("?tenant=", "tenant_invalid", "the tenant is empty"),
        ("?tenant=a&tenant=a", "query_invalid", "twice"),
        ("?tenant=ac%6De", "tenant_invalid", "no percent-encoding"),
        ("?tenant=a/b", "tenant_invalid", "1 to 128 bytes"),
        ("?tenent=a", "query_invalid", "unknown"),
        (&long, "query_invalid", "4096"),
        ("?tenant=a&entry=mars", "region_unknown", "it has weu"),
        ("?tenant=a&entry=", "region_unknown", "it has weu"),
        ("?tenant=a&format=xml", "query_invalid", "text or json"),
        ("?tenant=a&path=x", "query_invalid", "slash"),
        ("?tenant=a&path=/x?y", "query_invalid", "without a query"),
        ("?tenant=a&path=/&method=G%20T", "query_invalid", ""),
        ("?tenant=a&path=/&method=(", "query_invalid", "method"),
        ("?tenant=a&path=/&host=a@b", "query_invalid", "host"),
    ] {
        let answer = ask(proxy.admin, &format!("/routing/explain{query}"));
        if query.contains("G%20T") {
            // a token of RFC 9110, if an odd one
            assert_eq!(answer.status, 200, "{}", answer.text());
            continue;
        }
        assert_eq!(refused(&answer), (400, reason.to_owned()), "{query}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(detail), "{query}: {}", answer.text());
    }
    stop(proxy);
}

#[test]
fn nothing_is_changed_by_whom_it_should_not_be() {
    let proxy = proxy(&config(""));
    let (admin, host) = (proxy.admin, proxy.admin.to_string());
    let json = "Content-Type: application/json\r\n";
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n{json}");
    let twice = format!("Authorization: Bearer {TOKEN}\r\n{}", good());
    let typed = |kind: &str| format!("Authorization: Bearer {TOKEN}\r\nContent-Type: {kind}\r\n");
    let origin = |origin: &str| format!("{}Origin: {origin}\r\n", good());
    let body = "{\"filter\":\"debug\"}";
    for (host, fields, status, reason) in [
        (host.as_str(), json.to_owned(), 401, "token_required"),
        (&host, bearer(""), 401, "token_required"),
        (&host, bearer(&TOKEN[..31]), 401, "token_required"),
        (&host, bearer(&TOKEN[1..]), 401, "token_required"),
        (&host, bearer(&format!("{TOKEN}0")), 401, "token_required"),
        (&host, bearer(&TOKEN.to_uppercase()), 401, "token_required"),
        (&host, twice, 401, "token_required"),
        ("evil.example", good(), 403, "host_forbidden"),
        ("127.0.0.1.evil.example:9901", good(), 403, "host_forbidden"),
        (&host, origin("null"), 403, "origin_forbidden"),
        (&host, origin("http://evil.example"), 403, "origin_forbidden"),
        (&host, typed("text/plain"), 415, "content_type"),
        (&host, typed("application/x-www-form-urlencoded"), 415, "content_type"),
        // everything is right: only that the process of a test has no filter of its own
        (&host, good(), 409, "loglevel_fixed"),
        (&host, origin(&format!("http://{host}")), 409, "loglevel_fixed"),
    ] {
        let answer = put(admin, host, &fields, body);
        assert_eq!(refused(&answer), (status, reason.to_owned()), "{fields}");
        assert_eq!(answer.header("www-authenticate").is_some(), status == 401);
        assert!(!answer.text().contains(&TOKEN[..16]));
    }
    let post = |fields: &str, target: &str| {
        let head = format!("POST {target} HTTP/1.1\r\nHost: {host}\r\n{fields}Content-Length: 2\r\n\r\n{{}}");
        Client::connect(admin).exchange(head.as_bytes()).unwrap()
    };
    assert_eq!(refused(&post("Content-Type: text/plain\r\n", "/loglevel")).0, 405, "a form on somebody's page");
    let answer = post(&good(), "/loglevel");
    assert_eq!((refused(&answer).1.as_str(), answer.header("allow")), ("method_not_allowed", Some("GET, HEAD, PUT")));
    assert_eq!(refused(&post(&good(), "/livez")).1, "method_not_allowed");
    let rebound =
        Client::connect(admin).exchange(b"GET /routing/table HTTP/1.1\r\nHost: evil.example\r\n\r\n").unwrap();
    assert_eq!(refused(&rebound), (403, "host_forbidden".into()));
    let probe = Client::connect(admin).exchange(b"GET /livez HTTP/1.1\r\nHost: evil.example\r\n\r\n").unwrap();
    assert_eq!(probe.status, 200, "probes are for everybody");
    let metrics = ask(admin, "/metrics").text();
    assert!(metrics.contains("admin_refusals_total{reason=\"token_required\"} 7"), "{metrics}");
    assert!(metrics.contains("admin_refusals_total{reason=\"host_forbidden\"} 3"));
    stop(proxy);
}

#[test]
fn without_a_token_nothing_is_changed_at_all() {
    let proxy = proxy(&alone(NOWHERE.parse().unwrap(), ""));
    let answer = put(proxy.admin, "localhost", &good(), "{}");
    assert_eq!(refused(&answer), (403, "token_unset".into()));
    stop(proxy);
}

#[test]
fn a_hostile_body_costs_little_and_ends() {
    let proxy = proxy(&config(""));
    let admin = proxy.admin;
    let head = |framing: &str| format!("PUT /loglevel HTTP/1.1\r\nHost: localhost\r\n{}{framing}\r\n\r\n", good());
    let send = |framing: &str, body: &[u8]| {
        let mut client = Client::connect(admin);
        client.send(head(framing).as_bytes());
        // the other side may have answered and closed already
        let _ = std::io::Write::write_all(&mut client.stream(), body);
        client.answer(false).unwrap()
    };
    // one that only says so is not waited for
    let told = send("Content-Length: 1000000000", b"");
    assert_eq!(refused(&told), (413, "body_too_large".into()));
    let chunk = [&b"1000\r\n"[..], &[b' '; 4096], b"\r\n"].concat();
    assert_eq!(refused(&send("Transfer-Encoding: chunked", &chunk.repeat(17))), (413, "body_too_large".into()));
    let crumbs = b"1\r\n \r\n".repeat(40_000);
    let started = Instant::now();
    assert_eq!(
        refused(&send("Transfer-Encoding: chunked", &[&crumbs[..], b"0\r\n\r\n"].concat())),
        (400, "body_invalid".into())
    );
    assert!(started.elapsed().as_secs() < 4, "{:?}", started.elapsed());
    for body in
        ["", "{", "[]", "null", "{\"filter\":1}", "{\"filter\":\"info\",\"more\":1}", "\u{0}", &"[".repeat(60_000)]
    {
        assert_eq!(refused(&put(admin, "localhost", &good(), body)), (400, "body_invalid".into()), "{body:.20}");
    }
    assert_eq!(ask(admin, "/livez").status, 200);
    stop(proxy);
}

#[test]
fn the_filter_of_events_changes_for_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("synaxis.toml");
    std::fs::write(&file, config("")).unwrap();
    let process = Process::start(&["--log-format", "json", "run", "--config", file.to_str().unwrap()]);
    let listening: serde_json::Value =
        serde_json::from_str(&process.line(|line| line.contains("\"listening\""))).unwrap();
    let admin: SocketAddr = listening["fields"]["admin"].as_str().unwrap().parse().unwrap();
    assert_eq!(ask(admin, "/loglevel").json()["filter"], "info");
    let changed = put(admin, "localhost", &good(), "{\"filter\":\"info,synaxis_proxy=debug\",\"for\":\"2s\"}");
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert_eq!(
        (&changed.json()["filter"], &changed.json()["back_to"]),
        (&"info,synaxis_proxy=debug".into(), &"info".into())
    );
    process.line(|line| line.contains("an operator changed which events are logged"));
    // a client that breaks off is a debug event of the admin listener
    Client::connect(admin).send(b"no HTTP at all\r\n\r\n");
    process.line(|line| line.contains("\"DEBUG\"") && line.contains("admin connection ended"));
    for bad in ["{\"filter\":\"inof\"}", "{\"filter\":\"synaxis_proxy=loud\"}", "{\"filter\":\"debug\",\"for\":\"1w\"}"]
    {
        assert_eq!(refused(&put(admin, "localhost", &good(), bad)), (400, "body_invalid".into()), "{bad}");
    }
    process.line(|line| line.contains("the time of another filter is over"));
    assert_eq!(
        ask(admin, "/loglevel").json(),
        serde_json::json!({ "filter": "info", "back_to": null, "seconds_left": null })
    );
}

#[test]
fn a_body_that_does_not_come_is_given_up() {
    let proxy = proxy(&config(""));
    let mut client = Client::connect(proxy.admin);
    client
        .send(format!("PUT /loglevel HTTP/1.1\r\nHost: localhost\r\n{}Content-Length: 9\r\n\r\n{{", good()).as_bytes());
    let answer = client.answer(false).unwrap();
    assert_eq!(refused(&answer), (408, "body_timeout".into()));
    assert!(client.is_closed());
    stop(proxy);
}
