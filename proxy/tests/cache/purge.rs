//! What is not to be used any more: by an operator, by an app, by another process of the stamp.

use std::time::{Duration, Instant};

use synaxis_proxy::server::Running;

use super::{App, ask, ask_by, get, is_hit, metric, minute};
use crate::{
    cache::{Does, ok},
    world::{Answer, Client, Redis, eventually, stop},
};

pub(super) const TOKEN: &str = "0123456789abcdef";

/// With a store that is waited for as long as can be: a busy machine makes nobody miss what is there.
pub(super) fn with_store(redis: &Redis) -> String {
    format!("[cache.store]\nurl = \"{}\"\ndeadline = \"1s\"\n", redis.url())
}

pub(super) fn page(proxy: &Running) -> serde_json::Value {
    Client::connect(proxy.admin).exchange(b"GET /cache HTTP/1.1\r\nHost: admin\r\n\r\n").unwrap().json()
}

fn publish(redis: &Redis, message: &str) {
    tell(redis, &["PUBLISH", "invalidation", message]);
}

fn tell(redis: &Redis, words: &[&str]) {
    let mut connection = redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
    let _: i64 = redis::cmd(words[0]).arg(&words[1..]).query(&mut connection).unwrap();
}

pub(super) fn purge(proxy: &Running, body: &str) -> Answer {
    let request = format!(
        "POST /cache/purge HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    Client::connect(proxy.admin).exchange(request.as_bytes()).unwrap()
}

/// Two processes of a stamp, both of which hear of purges.
pub(super) fn two(app: &App, redis: &Redis, class: &str) -> [Running; 2] {
    let server = |_| {
        let text = with_store(redis);
        let proxy = start(app, class, &text);
        eventually("it hears the others", || super::shared::is_sharing(&proxy));
        proxy
    };
    [0, 1].map(server)
}

pub(super) fn start(app: &App, class: &str, more: &str) -> Running {
    let text = format!("[cache]\n{more}");
    let token = format!("address = \"127.0.0.1:0\"\ntoken = \"{TOKEN}\"");
    super::caching_with(app, class, &text, &|server| {
        server.replace("[admin]\naddress = \"127.0.0.1:0\"", &format!("[admin]\n{token}"))
    })
}

#[test]
fn an_operator_takes_out_of_use_what_he_names_and_nothing_else() {
    let app = App::start(|asked| match asked.path() {
        "/tagged" => {
            Does::Sends(ok("Cache-Control: max-age=60\r\nSurrogate-Key: order-17 list\r\nCache-Tag: x,y\r\n", ""))
        }
        _ => minute(asked),
    });
    let proxy = start(&app, "", "");
    let edge = proxy.edges[0];
    let all = [("acme", "/a?b"), ("acme", "/a"), ("acme", "/dir/x"), ("acme", "/tagged"), ("other", "/a?b")];
    let fill = || all.iter().for_each(|(tenant, path)| _ = ask(edge, tenant, path, ""));
    let hits = || all.map(|(tenant, path)| is_hit(&ask(edge, tenant, path, "")));
    fill();
    let tagged = ask(edge, "acme", "/tagged", "");
    assert_eq!((tagged.header("surrogate-key"), tagged.header("cache-tag")), (None, None), "they are for caches");
    for (body, expected) in [
        (r#"{"scope":"key","tenant":"acme","host":"APP.example","path":"/a?b"}"#, [false, true, true, true, true]),
        (r#"{"scope":"key","tenant":"acme","host":"app.other","path":"/a?b"}"#, [true; 5]),
        (r#"{"scope":"prefix","tenant":"acme","path":"/a"}"#, [false, false, true, true, true]),
        (r#"{"scope":"tag","tenant":"acme","tag":"order-17"}"#, [true, true, true, false, true]),
        (r#"{"scope":"tag","tenant":"acme","tag":"y"}"#, [true, true, true, false, true]),
        (r#"{"scope":"tag","tenant":"other","tag":"order-17"}"#, [true; 5]),
        (r#"{"scope":"tenant","tenant":"acme"}"#, [false, false, false, false, true]),
        (r#"{"scope":"class","class":"pages"}"#, [false; 5]),
        (r#"{"scope":"class","class":"others"}"#, [true; 5]),
        (r#"{"scope":"all"}"#, [false; 5]),
    ] {
        assert_eq!(hits(), [true; 5], "before {body}");
        let done = purge(&proxy, body);
        assert_eq!((done.status, &done.json()["everywhere"]), (200, &serde_json::json!(true)), "{}", done.text());
        assert_eq!(hits(), expected, "{body}");
    }
    assert_eq!(page(&proxy)["purges"]["store"], serde_json::Value::Null);
    for bad in ["{}", r#"{"scope":"tenant"}"#] {
        assert_eq!(purge(&proxy, bad).json()["reason"], "body_invalid");
    }
    let unproven = b"POST /cache/purge HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(Client::connect(proxy.admin).exchange(unproven).unwrap().json()["reason"], "token_required");
    stop(proxy);
}

#[test]
fn a_soft_purge_lets_a_stale_answer_be_given_while_it_is_fetched_again() {
    let app = App::start(minute);
    let proxy = start(&app, "stale_while_revalidate = \"60s\"", "");
    let edge = proxy.edges[0];
    assert_eq!(get(edge, "/").text(), "/ 0");
    assert_eq!(purge(&proxy, r#"{"scope":"all","soft":true}"#).status, 200);
    assert_eq!(get(edge, "/").text(), "/ 0");
    eventually("the new one", || get(edge, "/").text() == "/ 1");
    stop(proxy);
}

#[test]
fn what_one_process_purges_or_changes_no_other_process_of_the_stamp_uses() {
    let app = App::start(minute);
    let redis = Redis::start();
    let proxies = two(&app, &redis, "");
    let [one, two] = [proxies[0].edges[0], proxies[1].edges[0]];
    // as if the list of processes had been there for long
    tell(&redis, &["HSET", "{synaxis:cache}:readers", "", "@1"]);
    let mut slowest = Duration::ZERO;
    for round in 0..20 {
        get(two, "/a");
        assert!(is_hit(&get(two, "/a")), "{round}");
        let began = Instant::now();
        let done =
            purge(&proxies[0], r#"{"scope":"key","tenant":"acme","host":"app.example","path":"/a","wait":"5s"}"#);
        slowest = slowest.max(began.elapsed());
        assert_eq!(done.json()["everywhere"], true, "{}", done.text());
        assert!(!is_hit(&get(two, "/a")), "it was said to be done");
    }
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    for _ in 0..10 {
        get(two, "/a");
        assert_eq!(ask_by("POST", one, "acme", "/a", "Content-Length: 0\r\n").status, 200);
        assert!(!is_hit(&get(one, "/a")), "in its own process at once");
        eventually("the other one hears of it", || !is_hit(&get(two, "/a")));
    }
    publish(&redis, r#"{"tenant":"acme","object":"none"}"#);
    proxies.into_iter().for_each(stop);
}

#[test]
fn the_platforms_own_message_purges_a_tag() {
    let app = App::start(|_| Does::Sends(ok("Cache-Control: max-age=60\r\nCache-Tag: order-17\r\n", "")));
    let redis = Redis::start();
    let [first, second] = two(&app, &redis, "");
    let edge = second.edges[0];
    get(edge, "/");
    assert!(is_hit(&get(edge, "/")));
    for hostile in ["", "{}", "[]", "{\"tenant\":\"acme\"}", "{\"tenant\":\"a b\",\"object\":\"order-17\"}", "\u{0}"] {
        publish(&redis, hostile);
    }
    publish(&redis, r#"{"tenant":"other","object":"order-17"}"#);
    std::thread::sleep(Duration::from_millis(200));
    assert!(is_hit(&get(edge, "/")));
    publish(&redis, r#"{"tenant":"acme","object":"order-17"}"#);
    eventually("it is not used", || !is_hit(&get(edge, "/")));
    [first, second].into_iter().for_each(stop);
}

#[test]
fn cut_off_from_the_others_only_young_answers_are_used_and_the_rest_when_the_app_fails() {
    let app = App::start(|asked| match asked.turn {
        0 => Does::Sends(ok("Cache-Control: max-age=60\r\n", "old")),
        1 => Does::Sends(super::answer("500 Unexpected", "", "")),
        _ => minute(asked),
    });
    let redis = Redis::start();
    let proxy = start(&app, "stale_if_error = \"60s\"", &with_store(&redis));
    let edge = proxy.edges[0];
    eventually("it hears the others", || page(&proxy)["purges"]["cut_off"] == false);
    get(edge, "/");
    drop(redis);
    eventually("it is cut off", || metric(&proxy, "cache_cut_off") == 1.0);
    assert_eq!(purge(&proxy, r#"{"scope":"all"}"#).json()["reason"], "cache_store_away");
    // 3 s have gone by; at 5 s it is too old
    eventually("it is too old", || {
        app.count() == 2 || {
            get(edge, "/");
            false
        }
    });
    let used = get(edge, "/");
    assert!(used.text() == "old" || app.count() > 2, "{used:?}");
    assert_eq!(used.status, 200);
    stop(proxy);
}
