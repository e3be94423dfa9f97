//! Answers that the processes of a stamp share by way of a Redis, which may be gone, slow or lying.

use std::{
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use synaxis_proxy::server::Running;

use super::{
    App, Does, ask, ask_by, found, get, is_hit, metric, minute, ok,
    purge::{TOKEN, page, purge, start, two, with_store},
    results,
};
use crate::world::{Client, Redis, eventually, stop};

fn written(proxy: &Running) -> f64 {
    metric(proxy, "cache_store_writes_total{result=\"written\"}")
}

fn is_shared(answer: &crate::world::Answer) -> bool {
    found(answer).contains("; hit") && found(answer).contains("detail=store")
}

/// One process whose answers are in the store as soon as they are in memory, for all that a test can see.
fn starts(app: &App, redis: &Redis, class: &str, store: &str) -> Running {
    let proxy = start(app, class, &format!("{}{store}", with_store(redis)));
    eventually("it shares", || is_sharing(&proxy));
    proxy
}

/// Whether both of its workers read what others have kept.
pub(super) fn is_sharing(proxy: &Running) -> bool {
    metric(proxy, "cache_store_connections") == 2.0 && page(proxy)["purges"]["cut_off"] == false
}

/// Connects to the Redis for a test's own words.
fn told(redis: &Redis, command: &mut redis::Cmd) -> redis::Value {
    let mut connection = redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
    command.query(&mut connection).unwrap()
}

fn values(redis: &Redis) -> Vec<String> {
    let keys = told(redis, redis::cmd("KEYS").arg("*:value:*"));
    redis::from_redis_value(keys).unwrap()
}

fn value(redis: &Redis, key: &str) -> Vec<u8> {
    redis::from_redis_value(told(redis, redis::cmd("GET").arg(key))).unwrap()
}

fn set(redis: &Redis, key: &str, bytes: &[u8]) {
    told(redis, redis::cmd("SET").arg(key).arg(bytes));
}

#[test]
fn what_one_process_has_kept_another_takes_from_the_store() {
    let app = App::start(|asked| match asked.path() {
        "/kinds" => {
            let kind = asked.field("x-kind").unwrap_or("none");
            let age = if kind == "brief" { 1 } else { 60 };
            let fields = format!("Cache-Control: max-age={age}\r\nVary: X-Kind\r\nX-Of: app\r\n");
            Does::Sends(ok(&fields, &format!("{kind} {}", asked.turn)))
        }
        _ => minute(asked),
    });
    let redis = Redis::start();
    let [one, other] = two(&app, &redis, "");
    let edges = [one.edges[0], other.edges[0]];
    let first = get(edges[0], "/a?b");
    eventually("it is shared", || written(&one) == 1.0);
    let second = get(edges[1], "/a?b");
    assert!(is_shared(&second), "{}", found(&second));
    assert_eq!((second.text(), second.header("age")), (first.text(), Some("0")));
    let third = get(edges[1], "/a?b");
    assert!(is_hit(&third) && !is_shared(&third), "{}", found(&third));
    assert_eq!((results(&other, "store_hit"), results(&other, "hit"), app.count()), (1.0, 1.0, 1));
    // of another tenant, another URL and another host there is nothing
    assert!(!is_hit(&ask(edges[1], "other", "/a?b", "")) && !is_hit(&get(edges[1], "/a")));
    // by a field: each kind has its own
    let by = |edge, kind: &str| ask(edge, "acme", "/kinds", &format!("X-Kind: {kind}\r\n"));
    let before = written(&one);
    let kinds = ["x", "y"].map(|kind| by(edges[0], kind).text());
    eventually("both kinds are shared", || written(&one) >= before + 4.0);
    for (kind, text) in ["x", "y"].iter().zip(&kinds) {
        let answer = by(edges[1], kind);
        assert!(is_shared(&answer), "{kind}: {}", found(&answer));
        assert_eq!((&answer.text(), answer.header("x-of")), (text, Some("app")));
    }
    assert!(!is_hit(&by(edges[1], "z")));
    // one that is kept for less time than the others does not take them with it
    let before = written(&one);
    by(edges[0], "brief");
    eventually("it is shared", || written(&one) >= before + 2.0);
    sleep(Duration::from_millis(2_500));
    // one that begins only now
    let late = starts(&app, &redis, "", "");
    assert!(is_shared(&get(late.edges[0], "/a?b")) && is_shared(&by(late.edges[0], "y")));
    // what is purged is used by nobody, whoever has it
    assert_eq!(purge(&other, r#"{"scope":"all","wait":"10s"}"#).status, 200);
    for proxy in [&one, &other, &late] {
        eventually("it is asked for again", || metric(proxy, "cache_purges_total") > 0.0);
    }
    let again = get(late.edges[0], "/a?b");
    assert!(!is_hit(&again) && again.text() != first.text(), "{}", found(&again));
    [one, other, late].into_iter().for_each(stop);
}

#[test]
fn each_user_has_his_own_in_the_store_as_well() {
    let app = App::start(|asked| {
        let (user, token) = (asked.field("x-user-id").unwrap_or("-"), asked.field("authorization").unwrap_or("-"));
        Does::Sends(ok("Cache-Control: private, max-age=60\r\n", &format!("{user} {token}")))
    });
    let redis = Redis::start();
    let class = "authorization = \"per-user\"\n[user]\nsources = [{ header = \"x-user-id\" }]";
    let [one, other] = two(&app, &redis, class);
    let by = |proxy: &Running, user: &str, token: &str| {
        ask(proxy.edges[0], "acme", "/r", &format!("X-User-Id: {user}\r\nAuthorization: Bearer {token}\r\n"))
    };
    by(&one, "ann", "A");
    eventually("it is shared", || written(&one) == 1.0);
    for (user, token, shared) in [("bob", "A", false), ("ann", "B", false), ("ann", "A", true)] {
        let answer = by(&other, user, token);
        assert_eq!((answer.text(), is_shared(&answer)), (format!("{user} Bearer {token}"), shared));
    }
    [one, other].into_iter().for_each(stop);
}

#[test]
fn memory_asks_the_store_again_before_the_app() {
    let app = App::start(minute);
    let redis = Redis::start();
    let proxy = starts(&app, &redis, "ttl = \"1s\"\nstore_ttl = \"60s\"", "");
    let own = starts(&app, &redis, "ttl = \"1s\"\nstore_ttl = \"0s\"", "");
    let (edge, alone) = (proxy.edges[0], own.edges[0]);
    let text = get(edge, "/").text();
    eventually("it is shared", || written(&proxy) == 1.0);
    get(alone, "/");
    assert_eq!(app.count(), 2, "what does not share does not take either");
    sleep(Duration::from_millis(1_100));
    let again = get(edge, "/");
    assert!(is_shared(&again) && again.text() == text, "{}", found(&again));
    assert_ne!(again.header("age"), Some("0"), "it is as old as it is");
    assert!(is_hit(&get(edge, "/")) && !is_hit(&get(alone, "/")));
    assert_eq!((app.count(), written(&own)), (3, 0.0));
    [proxy, own].into_iter().for_each(stop);
}

#[test]
fn that_one_still_holds_is_shared_too_and_that_it_does_not() {
    let app = App::start(|asked| {
        let fields = "Cache-Control: max-age=1\r\nETag: \"a\"\r\n";
        match asked.field("if-none-match") {
            Some(_) if asked.path() == "/same" => {
                Does::Sends(super::answer("304 Not Modified", "Cache-Control: max-age=60\r\nETag: \"a\"\r\n", ""))
            }
            _ if asked.method() == "HEAD" => {
                Does::Sends("HTTP/1.1 200 OK\r\nETag: \"b\"\r\nContent-Length: 5\r\n\r\n".into())
            }
            _ => Does::Sends(ok(fields, "12345")),
        }
    });
    let redis = Redis::start();
    let [one, other] = two(&app, &redis, "");
    get(one.edges[0], "/same");
    sleep(Duration::from_millis(1_100));
    assert_eq!(get(one.edges[0], "/same").status, 200);
    eventually("both are shared", || written(&one) == 2.0);
    let taken = get(other.edges[0], "/same");
    assert!(is_shared(&taken) && taken.text() == "12345", "{}", found(&taken));
    assert_eq!(app.count(), 2);
    // a head that says that it has changed ends it for everybody
    get(one.edges[0], "/changes");
    eventually("it is shared", || written(&one) == 3.0);
    sleep(Duration::from_millis(1_100));
    ask_by("HEAD", one.edges[0], "acme", "/changes", "");
    let asked = app.count();
    eventually("the others know", || metric(&other, "cache_purges_total") > 0.0);
    let fetched = get(other.edges[0], "/changes");
    assert!(found(&fetched).contains("fwd=uri-miss"), "{}", found(&fetched));
    assert_eq!(app.count(), asked + 1);
    assert!(app.asked().last().unwrap().field("if-none-match").is_none(), "not even its tag is used");
    [one, other].into_iter().for_each(stop);
}

#[test]
fn what_is_stale_in_the_store_is_given_when_the_app_fails() {
    let app = App::start(|asked| match asked.turn {
        0 => Does::Sends(ok("Cache-Control: max-age=1, stale-if-error=60\r\nETag: \"a\"\r\n", "old")),
        _ => Does::Sends(super::answer("500 Unexpected", "", "")),
    });
    let redis = Redis::start();
    let [one, other] = two(&app, &redis, "");
    get(one.edges[0], "/");
    eventually("it is shared", || written(&one) == 1.0);
    sleep(Duration::from_millis(1_100));
    let answer = get(other.edges[0], "/");
    assert_eq!((answer.status, answer.text().as_str()), (200, "old"), "{}", found(&answer));
    assert!(found(&answer).contains("stale-if-error"), "{}", found(&answer));
    assert_eq!(app.asked()[1].field("if-none-match"), Some("\"a\""), "it was asked about by its tag");
    // the store is asked first here as well
    assert_eq!(get(other.edges[0], "/never").status, 500);
    [one, other].into_iter().for_each(stop);
}

#[test]
fn what_a_process_has_had_since_is_not_given_up_for_what_is_in_the_store() {
    let app = App::start(|asked| {
        let fields = format!("Cache-Control: max-age=60\r\nETag: \"{}\"\r\n", asked.turn);
        Does::Sends(ok(&fields, &asked.turn.to_string()))
    });
    let redis = Redis::start();
    let class = "ttl = \"1s\"\nstore_ttl = \"60s\"\nrequest_directives = true";
    let proxy = starts(&app, &redis, class, "");
    let edge = proxy.edges[0];
    assert_eq!(get(edge, "/").text(), "0");
    eventually("it is shared", || written(&proxy) == 1.0);
    let key = values(&redis).remove(0);
    let old = value(&redis, &key);
    assert_eq!(ask(edge, "acme", "/", "Cache-Control: no-cache\r\n").text(), "1");
    eventually("the new one is shared", || written(&proxy) == 2.0);
    // as if that had not arrived
    set(&redis, &key, &old);
    sleep(Duration::from_millis(1_100));
    let answer = get(edge, "/");
    assert_eq!((answer.text().as_str(), is_hit(&answer)), ("2", false), "{}", found(&answer));
    stop(proxy);
}

#[test]
fn what_is_cut_off_at_the_end_of_a_process_the_others_are_told_of() {
    let app = App::start(|asked| match asked.method() {
        "GET" => minute(asked),
        _ => Does::Waits(ok("", "")),
    });
    let redis = Redis::start();
    let [one, other] = two(&app, &redis, "");
    get(other.edges[0], "/");
    assert!(is_hit(&get(other.edges[0], "/")));
    let mut client = Client::connect(one.edges[0]);
    client.send(b"PUT / HTTP/1.1\r\nHost: app.example\r\nX-Tenant-Id: acme\r\nContent-Length: 0\r\n\r\n");
    eventually("the app has it", || app.count() == 2);
    one.cut();
    one.wait();
    eventually("the other one knows", || metric(&other, "cache_purges_total") > 0.0);
    assert!(!is_hit(&get(other.edges[0], "/")));
    app.open();
    stop(other);
}

#[test]
fn no_byte_of_a_tenant_reaches_another_through_the_store() {
    let app = App::start(|asked| {
        let (tenant, kind) = (asked.field("x-tenant-id").unwrap(), asked.field("x-kind").unwrap_or("-"));
        let said = ["Cache-Control: public, max-age=60\r\n", "Cache-Control: max-age=60\r\nVary: X-Kind\r\n"];
        match asked.turn % 13 {
            0 => Does::Closes(String::new()),
            turn => Does::Sends(ok(said[turn % 2], &format!("{tenant} {kind} {}", asked.path()).repeat(50))),
        }
    });
    let redis = Redis::start();
    // the kind is in the path as well: an answer of the app that does not vary is one for all kinds
    let proxies = two(&app, &redis, "ttl = \"1s\"\nstore_ttl = \"60s\"");
    let end = Instant::now() + Duration::from_secs(4);
    std::thread::scope(|scope| {
        for thread in 0..8_usize {
            let (edge, redis) = (proxies[thread % 2].edges[0], &redis);
            scope.spawn(move || {
                let mut client = Client::connect(edge);
                let mut turn = thread * 31;
                while Instant::now() < end {
                    turn += 7;
                    let (tenant, kind) = (["acme", "acme-2", "other"][turn % 3], ["x", "y"][turn / 5 % 2]);
                    let path = format!("/{kind}{}", turn % 11);
                    let request = format!(
                        "GET {path} HTTP/1.1\r\nHost: app.example\r\nX-Tenant-Id: {tenant}\r\nX-Kind: {kind}\r\n\r\n"
                    );
                    let answer = client.exchange(request.as_bytes()).unwrap();
                    if answer.status == 200 {
                        assert_eq!(answer.text(), format!("{tenant} {kind} {path}").repeat(50));
                    }
                    // somebody who can write there puts the values of some under the names of others
                    if thread == 0 && turn % 5 == 0 {
                        let keys = values(redis);
                        if let [first, .., last] = &keys[..] {
                            set(redis, first, &value(redis, last));
                        }
                    }
                }
            });
        }
    });
    let taken: f64 = proxies.iter().map(|proxy| results(proxy, "store_hit")).sum();
    assert!(taken > 20.0, "{taken}");
    let wrong = "cache_store_unreadable_total{reason=\"wrong_key\"}";
    assert!(proxies.iter().any(|proxy| metric(proxy, wrong) > 0.0), "the wrong ones were seen");
    proxies.into_iter().for_each(stop);
}

#[test]
fn what_is_not_ours_in_the_store_is_a_miss() {
    let app = App::start(minute);
    let redis = Redis::start();
    let one = starts(&app, &redis, "", "");
    get(one.edges[0], "/");
    eventually("it is shared", || written(&one) == 1.0);
    let key = values(&redis).remove(0);
    let good = value(&redis, &key);
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let mut turn = 1;
    let mut misses = |why: &str| {
        let reader = starts(&app, &redis, "", "");
        let answer = get(reader.edges[0], "/");
        assert!(!is_hit(&answer) && answer.status == 200, "{why}: {}", found(&answer));
        assert_eq!(answer.text(), format!("/ {turn}"), "{why}");
        turn += 1;
        let series = format!("cache_store_unreadable_total{{reason=\"{why}\"}}");
        eventually(&series, || metric(&reader, &series) == 1.0);
        eventually("the good one is back", || written(&reader) == 1.0);
        stop(reader);
    };
    set(&redis, &key, b"short");
    misses("truncated");
    set(&redis, &key, &[b'x'; 4096]);
    misses("magic");
    set(&redis, &key, &flipped(4));
    misses("version");
    set(&redis, &key, &flipped(good.len() - 20));
    misses("checksum");
    set(&redis, &key, &good[..good.len() - 9]);
    misses("checksum");
    told(&redis, redis::cmd("SETRANGE").arg(&key).arg(100 << 20).arg("x"));
    misses("too_large");
    told(&redis, redis::cmd("DEL").arg(&key));
    told(&redis, redis::cmd("RPUSH").arg(&key).arg("a list"));
    misses("magic");
    stop(one);
}

#[test]
fn with_a_key_only_what_is_signed_with_it_is_taken() {
    let app = App::start(minute);
    let redis = Redis::start();
    let key = |letter: &str| format!("key = \"{}\"\n", letter.repeat(32));
    let signed = starts(&app, &redis, "", &key("a"));
    get(signed.edges[0], "/");
    eventually("it is shared", || written(&signed) == 1.0);
    let unsigned = "cache_store_unreadable_total{reason=\"mac\"}";
    let taken = |store: &str| {
        let other = starts(&app, &redis, "", store);
        let answer = get(other.edges[0], "/");
        if !is_shared(&answer) {
            eventually(unsigned, || metric(&other, unsigned) == 1.0);
            eventually("its own is there", || written(&other) == 1.0);
        }
        stop(other);
        is_shared(&answer)
    };
    assert!(taken(&key("a")));
    // one that knows another key writes its own over it
    assert!(!taken(&key("b")) && !taken(&key("a")));
    // one that knows none trusts whoever can write there, and is not trusted
    assert!(taken("") && taken(&key("a")));
    stop(signed);
    let none = starts(&app, &redis, "", "");
    get(none.edges[0], "/none");
    eventually("it is shared", || written(&none) == 1.0);
    let reader = starts(&app, &redis, "", &key("a"));
    assert!(!is_hit(&get(reader.edges[0], "/none")));
    eventually(unsigned, || metric(&reader, unsigned) == 1.0);
    [none, reader].into_iter().for_each(stop);
}

fn signal(redis: &Redis, name: &str) {
    assert!(Command::new("kill").args([name, &redis.id().to_string()]).status().unwrap().success());
}

#[test]
fn a_store_that_hangs_costs_a_miss_its_deadline_and_then_nothing() {
    let app = App::start(minute);
    let mut redis = Redis::start();
    let proxy = start(&app, "", &with_store(&redis).replace("\"1s\"", "\"50ms\""));
    eventually("it shares", || is_sharing(&proxy));
    let edge = proxy.edges[0];
    get(edge, "/kept");
    eventually("it is shared", || written(&proxy) == 1.0);
    signal(&redis, "-STOP");
    let took = |path: &str| {
        let began = Instant::now();
        assert_eq!(get(edge, path).status, 200);
        began.elapsed()
    };
    let misses: Vec<Duration> = (0..12).map(|index| took(&format!("/{index}"))).collect();
    eventually("it is away after five in a row", || metric(&proxy, "cache_store_away") == 1.0);
    let late = metric(&proxy, "cache_store_late_total");
    assert!((5.0..10.0).contains(&late), "{late}: {misses:?}");
    let waited = misses.iter().filter(|took| **took >= Duration::from_millis(40)).count();
    assert!(waited <= 9, "{misses:?}");
    assert!(misses.iter().all(|took| *took < Duration::from_secs(1)), "{misses:?}");
    assert!(is_hit(&get(edge, "/kept")), "what is in memory goes on");
    signal(&redis, "-CONT");
    eventually("it is back", || is_sharing(&proxy));
    let before = written(&proxy);
    get(edge, "/back");
    eventually("it is shared", || written(&proxy) > before);
    // gone at once, and back empty
    redis.kill();
    eventually("it is away", || {
        get(edge, "/gone");
        metric(&proxy, "cache_store_away") == 1.0
    });
    assert!((0..5).all(|index| get(edge, &format!("/gone/{index}")).status == 200));
    redis.restart();
    eventually("it is back", || is_sharing(&proxy));
    stop(proxy);
}

#[test]
fn at_the_level_for_a_redis_that_is_down_nothing_is_shared() {
    let app = App::start(minute);
    let redis = Redis::start();
    let [one, other] = two(&app, &redis, "");
    get(one.edges[0], "/");
    eventually("it is shared", || written(&one) == 1.0);
    let level = |level: &str| {
        let body = format!("{{\"level\":\"{level}\",\"for\":\"10m\"}}");
        let request = format!(
            "PUT /degradation HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = Client::connect(other.admin).exchange(request.as_bytes()).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    level("cache-degraded");
    assert!(!is_hit(&get(other.edges[0], "/")) && is_hit(&get(other.edges[0], "/")));
    assert_eq!(metric(&other, "cache_store_reads_total"), 0.0);
    level("full");
    get(one.edges[0], "/more");
    eventually("it is shared", || written(&one) == 2.0);
    assert!(is_shared(&get(other.edges[0], "/more")));
    [one, other].into_iter().for_each(stop);
}
