//! Levels of degradation: each entered by what asks for it, at the stamp concerned alone, and left again.

use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use crate::world::{
    Answer, Client, Origin, Redis, alone, eventually, free_port,
    probed::{GOOD, HOSTILE, Probed, Says},
    process, proxy, stop,
};
use synaxis_proxy::{
    control::config_file::ConfigFile,
    server::{self, Running},
};

const TOKEN: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
/// Left at once, so that tests need not wait; and two routes.
const LEVELS: &str = "[degradation]\nleave = \"1ms\"\nretry_after = \"1500ms\"\nheader = true\n\
    [[routes]]\nname = \"chat\"\npath_prefix = \"/ai\"\nupstream = \"app\"\nclass = \"ai\"\n\
    [[routes]]\nname = \"rest\"\npath_prefix = \"/\"\nupstream = \"app\"\n";
const PROBING: &str = "interval = \"100ms\"\ntimeout = \"80ms\"\nhealthy = 1\nunhealthy = 2\n";

fn config(origin: SocketAddr, more: &str) -> String {
    alone(origin, &format!("{LEVELS}{more}")).replace("[admin]\n", &format!("[admin]\ntoken = \"{TOKEN}\"\n"))
}

fn dependency(name: &str, probe: &str, on_failure: &str) -> String {
    format!("[dependencies.{name}]\nprobe = \"{probe}\"\non_failure = \"{on_failure}\"\n{PROBING}")
}

fn level(proxy: &Running) -> u8 {
    proxy.plane().degradation.now().level.into()
}

fn at(proxy: &Running, expected: u8) {
    eventually(&format!("level {expected}"), || level(proxy) == expected);
}

fn send(address: SocketAddr, method: &str, path: &str, fields: &str) -> Answer {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: t\r\n{fields}Content-Length: 0\r\n\r\n");
    let mut client = Client::connect(address);
    client.send(head.as_bytes());
    client.answer(method == "HEAD").unwrap()
}

/// The answers to a GET, a POST and a GET of class `ai`: a status, or a reason.
fn answers(proxy: &Running) -> [String; 3] {
    [("GET", "/x"), ("POST", "/x"), ("GET", "/ai/x")].map(|(method, path)| {
        let answer = send(proxy.edges[0], method, path, "");
        if answer.status == 200 { "200".to_owned() } else { answer.reason() }
    })
}

fn ask(admin: SocketAddr, target: &str) -> Answer {
    Client::connect(admin).exchange(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap()
}

fn change(admin: SocketAddr, method: &str, body: &str) -> Answer {
    let fields = format!("Authorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n");
    let length = body.len();
    let head =
        format!("{method} /degradation HTTP/1.1\r\nHost: localhost\r\n{fields}Content-Length: {length}\r\n\r\n{body}");
    Client::connect(admin).exchange(head.as_bytes()).unwrap()
}

#[test]
fn each_level_takes_away_what_it_says_and_no_more() {
    let origin = Origin::start("app");
    let proxy = proxy(&config(origin.address, ""));
    eventually("a table", || ask(proxy.admin, "/readyz").status == 200);
    for (level, expected) in [
        ("full", ["200", "200", "200"]),
        ("ai-degraded", ["200", "200", "ai_degraded"]),
        ("cache-degraded", ["200", "200", "ai_degraded"]),
        ("read-only", ["200", "read_only", "ai_degraded"]),
        ("maintenance", ["maintenance", "maintenance", "maintenance"]),
    ] {
        let set = change(proxy.admin, "PUT", &format!("{{\"level\":\"{level}\",\"for\":\"1h\"}}"));
        assert_eq!((set.status, set.json()["level"].as_str()), (200, Some(level)), "in force with the answer");
        assert_eq!(answers(&proxy), expected, "at {level}");
        let answer = send(proxy.edges[0], "POST", "/ai/x", "");
        assert_eq!(answer.header("x-synaxis-degradation"), Some(level));
        if level != "full" {
            assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")), "rounded up");
        }
        let health = send(proxy.edges[0], "GET", "/health", "");
        assert_eq!(health.status, if level == "maintenance" { 503 } else { 200 });
        for safe in ["HEAD", "OPTIONS"] {
            assert_eq!(send(proxy.edges[0], safe, "/x", "").status, if level == "maintenance" { 503 } else { 200 });
        }
    }
    assert!(ask(proxy.admin, "/metrics").text().contains("\ndegradation_level 4\n"));
    assert_eq!(change(proxy.admin, "DELETE", "").json()["level"], "full");
    assert_eq!(answers(&proxy), ["200"; 3]);
    stop(proxy);
}

#[test]
fn a_redis_that_stops_degrades_until_it_is_back() {
    let origin = Origin::start("app");
    let mut redis = Redis::start();
    let watched = dependency("cache", &redis.url(), "cache-degraded");
    let proxy = proxy(&config(origin.address, &watched));
    eventually("it is asked", || ask(proxy.admin, "/degradation").json()["dependencies"][0]["last"] == "passed");
    assert_eq!(level(&proxy), 0);
    redis.kill();
    at(&proxy, 2);
    assert_eq!(answers(&proxy), ["200", "200", "ai_degraded"]);
    let shown = ask(proxy.admin, "/degradation").json();
    assert_eq!(shown["why"][0], "cache is down and asks for cache-degraded");
    assert_eq!((&shown["dependencies"][0]["name"], &shown["dependencies"][0]["down"]), (&"cache".into(), &true.into()));
    redis.restart();
    at(&proxy, 0);
    assert_eq!(answers(&proxy), ["200"; 3]);
    stop(proxy);
}

#[test]
fn a_port_that_closes_makes_the_stamp_read_only_until_it_opens() {
    let origin = Origin::start("app");
    let port = free_port();
    let database = Probed::on(port, Says::Nothing);
    let watched = dependency("metadata-db", &format!("tcp://127.0.0.1:{port}"), "read-only");
    let proxy = proxy(&config(origin.address, &watched));
    eventually("it is asked", || !database.heads().is_empty() || level(&proxy) == 0);
    assert_eq!(answers(&proxy), ["200"; 3]);
    drop(database);
    at(&proxy, 3);
    assert_eq!(answers(&proxy), ["200", "read_only", "ai_degraded"]);
    let _again = Probed::on(port, Says::Nothing);
    at(&proxy, 0);
    stop(proxy);
}

#[test]
fn a_breaker_that_opens_gives_up_what_is_of_class_ai() {
    let origin = Origin::start("app");
    let more = format!(
        "[upstreams.model]\nendpoints = [\"http://127.0.0.1:{}\"]\nbreaker = {{ failures = 3, window = \"10s\", open = \"1s\" }}\n\
         [dependencies.llm]\nupstream = \"model\"\non_failure = \"ai-degraded\"\n",
        free_port()
    );
    let proxy = proxy(&config(origin.address, &more));
    eventually("a table", || ask(proxy.admin, "/readyz").status == 200);
    assert_eq!(ask(proxy.admin, "/degradation").json()["dependencies"][0]["watches"], "breaker of model");
    {
        // what requests that meet nobody do to it
        let plane = proxy.plane();
        let snapshot = plane.snapshot.load();
        let app = &snapshot.apps[1];
        let now = plane.clock.uptime(Instant::now());
        for _ in 0..3 {
            let tenant = plane.key(&synaxis_routing::id::TenantId::parse(b"t").unwrap());
            let pass = app.guard.pass(&app.limits, tenant, now).unwrap();
            let outcome = synaxis_proxy::upstream::breaker::Outcome::TransportFailure;
            app.guard.record(&app.limits, pass, outcome, now, 0.5);
        }
    }
    at(&proxy, 1);
    assert_eq!(answers(&proxy), ["200", "200", "ai_degraded"]);
    // half-open: somebody must try
    at(&proxy, 0);
    stop(proxy);
}

#[test]
fn whatever_a_dependency_answers_it_is_down_in_time_and_up_when_it_is_good() {
    let origin = Origin::start("app");
    let target = Probed::start(GOOD);
    let name = format!("http://{}/health", target.address);
    let proxy = proxy(&config(origin.address, &dependency("search", &name, "ai-degraded")));
    eventually("it is asked", || !target.heads().is_empty());
    for hostile in HOSTILE {
        target.say(hostile);
        at(&proxy, 1);
        target.say(GOOD);
        at(&proxy, 0);
    }
    stop(proxy);
    // no Redis at all, in each of these ways
    let pong = Says::Bytes("+PONG\r\n+PONG\r\n+PONG\r\n+PONG\r\n");
    for hostile in HOSTILE.into_iter().chain([Says::Bytes("-NOAUTH no\r\n"), Says::Bytes("$999999999\r\nx"), pong]) {
        let fake = Probed::start(hostile);
        let url = format!("redis://:s3cret@{}", fake.address);
        let proxy = crate::world::proxy(&config(origin.address, &dependency("cache", &url, "cache-degraded")));
        if hostile == pong {
            eventually("it is asked", || !fake.heads().is_empty());
        } else {
            at(&proxy, 2);
        }
        let shown = ask(proxy.admin, "/degradation").text();
        assert!(!shown.contains("s3cret"), "{shown}");
        stop(proxy);
    }
}

#[test]
fn an_answer_that_takes_too_long_is_a_failure() {
    let origin = Origin::start("app");
    let late = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let target = Probed::start(Says::Late(late, 200));
    let watched = format!(
        "[dependencies.search]\nprobe = \"http://{}/health\"\non_failure = \"ai-degraded\"\nlatency_max = \"100ms\"\n\
         interval = \"400ms\"\ntimeout = \"400ms\"\nhealthy = 1\nunhealthy = 1\n",
        target.address
    );
    let proxy = proxy(&config(origin.address, &watched));
    at(&proxy, 1);
    let shown = ask(proxy.admin, "/degradation").json();
    assert!(shown["dependencies"][0]["last"].as_str().unwrap().contains("may take 100ms"), "{shown}");
    assert!(shown["dependencies"][0]["latency_ms"].as_f64().unwrap() >= 200.0, "{shown}");
    target.say(GOOD);
    at(&proxy, 0);
    stop(proxy);
}

#[test]
fn a_browser_gets_a_page_in_maintenance_and_a_program_a_document() {
    let origin = Origin::start("app");
    let folder = tempfile::tempdir().unwrap();
    let (file, page) = (folder.path().join("proxy.toml"), folder.path().join("page.html"));
    let write = |more: &str| {
        let text = config(origin.address, "").replace("[degradation]\n", &format!("[degradation]\n{more}"));
        std::fs::write(&file, text).unwrap();
    };
    write("");
    let (config, settings, _) = ConfigFile::load(Path::new(&file)).unwrap();
    let proxy = server::run_from(config, settings, None).unwrap();
    eventually("a table", || ask(proxy.admin, "/readyz").status == 200);
    let browse = || send(proxy.edges[0], "GET", "/x", "Accept: text/html,*/*;q=0.8\r\n");
    let maintain = || change(proxy.admin, "PUT", r#"{"level":"maintenance","for":"1h"}"#);
    maintain();
    let answer = browse();
    assert_eq!((answer.status, answer.header("content-type")), (503, Some("text/html; charset=utf-8")));
    assert_eq!(answer.header("x-synaxis-reason"), Some("maintenance"));
    assert!(answer.text().contains("in maintenance"), "{}", answer.text());
    let program = send(proxy.edges[0], "GET", "/x", "Accept: application/json\r\n");
    assert_eq!(program.header("content-type"), Some("application/problem+json"));
    assert_eq!(program.reason(), "maintenance");

    std::fs::write(&page, "<p>ours</p>").unwrap();
    write(&format!("page = \"{}\"\n", page.display()));
    proxy.reload();
    eventually("the page of the file", || browse().text() == "<p>ours</p>");
    // what was written since is read with the next maintenance
    std::fs::write(&page, "<p>newer</p>").unwrap();
    change(proxy.admin, "DELETE", "");
    eventually("it serves", || browse().status == 200);
    std::thread::sleep(Duration::from_millis(600));
    maintain();
    eventually("the newer page", || browse().text() == "<p>newer</p>");
    for bad in [vec![b'x'; (64 << 10) + 1], vec![0xff]] {
        std::fs::write(&page, bad).unwrap();
        change(proxy.admin, "DELETE", "");
        std::thread::sleep(Duration::from_millis(600));
        maintain();
        std::thread::sleep(Duration::from_millis(600));
        assert_eq!(browse().text(), "<p>newer</p>", "the last good one stays");
    }
    stop(proxy);
}

#[test]
fn a_hostile_change_changes_nothing() {
    let origin = Origin::start("app");
    let proxy = proxy(&config(origin.address, ""));
    for (body, status) in [
        ("", 400),
        ("{", 400),
        (r#"{"level":"nothing","for":"1h"}"#, 400),
        (r#"{"level":"maintenance"}"#, 400),
        (r#"{"level":"maintenance","for":"25h"}"#, 400),
        (r#"{"level":"maintenance","for":"1h","more":1}"#, 400),
        (&"[".repeat(60_000), 400),
        (&" ".repeat(70_000), 413),
    ] {
        assert_eq!(change(proxy.admin, "PUT", body).status, status, "{body:.40}");
    }
    let body = r#"{"level":"maintenance","for":"1h"}"#;
    for (method, fields, status) in [
        ("PUT", "Content-Type: application/json\r\n", 401),
        ("DELETE", "Content-Type: application/json\r\n", 401),
        ("POST", "", 405),
        ("PUT", "Authorization: Bearer x\r\nContent-Type: application/json\r\n", 401),
    ] {
        let head = format!(
            "{method} /degradation HTTP/1.1\r\nHost: localhost\r\n{fields}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        assert_eq!(Client::connect(proxy.admin).exchange(head.as_bytes()).unwrap().status, status, "{method}");
    }
    assert_eq!(level(&proxy), 0);
    let short = change(proxy.admin, "PUT", r#"{"level":"read-only","for":"1s"}"#);
    assert_eq!(short.json()["overrides"]["process"]["level"], "read-only");
    at(&proxy, 0);
    stop(proxy);
}

#[test]
fn the_log_says_at_which_level_a_request_was_served() {
    let origin = Origin::start("app");
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let text = config(origin.address, "").replace("output = \"off\"", &format!("output = \"{}\"", log.display()));
    let proxy = proxy(&text);
    eventually("a table", || ask(proxy.admin, "/readyz").status == 200);
    change(proxy.admin, "PUT", r#"{"level":"read-only","for":"1h"}"#);
    answers(&proxy);
    stop(proxy);
    let lines = std::fs::read_to_string(log).unwrap();
    let lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| line["degradation"] == "read-only"), "{lines:?}");
}

#[test]
fn a_level_can_be_previewed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxy.toml");
    let more = dependency("redis", "redis://127.0.0.1:6379", "cache-degraded")
        + &dependency("db", "tcp://127.0.0.1:5432", "read-only");
    std::fs::write(&path, config("127.0.0.1:9".parse().unwrap(), &more)).unwrap();
    let check = |simulate: &[&str]| {
        let simulate = simulate.iter().flat_map(|down| ["--simulate", down]);
        let args: Vec<&str> = ["check", "--config", path.to_str().unwrap()].into_iter().chain(simulate).collect();
        let output = process::run(&args);
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), text)
    };
    let (code, text) = check(&["redis=down"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.ends_with("level 2: cache-degraded\n  redis is down and asks for cache-degraded\n"), "{text}");
    let (_, text) = check(&["redis=down", "db=down"]);
    assert!(text.contains("level 3: read-only\n  db is down and asks for read-only\n  redis is down"), "{text}");
    assert!(!check(&[]).1.contains("level"));
    let (code, text) = check(&["rediss=down"]);
    assert!(code == 2 && text.contains("there are: db, redis"), "{text}");
    for bad in ["redis", "redis=up", "=down", ""] {
        assert_eq!(check(&[bad]).0, 2, "{bad}");
    }
}
