//! The hours on a real Redis: several processes at once, no room, garbage under our keys, nobody there.

use std::time::{Duration, Instant};

use super::*;
use crate::{id::StampId, store::tests::Server};

const HOUR_OF_TEST: u64 = 494_000;

fn stamp() -> StampId {
    StampId::parse("synaxis-weu-001").unwrap()
}

fn tenant(name: impl std::fmt::Display) -> TenantId {
    TenantId::parse(name.to_string().as_bytes()).unwrap()
}

fn open(server: &Server) -> Traffic {
    Traffic::open(&format!("redis://127.0.0.1:{}", server.port), "test").unwrap()
}

fn key(hour: u64) -> String {
    format!("test:top:synaxis-weu-001:{hour}")
}

async fn hour(traffic: &Traffic, hour: u64) -> Option<Hour> {
    traffic.hours(&stamp(), hour..=hour).await.unwrap().remove(&hour)
}

#[tokio::test]
async fn minutes_of_all_processes_add_up_and_expire() {
    let server = Server::on_free_port();
    let one = open(&server);
    let others = [open(&server), open(&server), open(&server)];
    let add = |traffic: Traffic| async move {
        for _ in 0..20 {
            let tenants = [(tenant("acme"), 30), (tenant("total"), 2), (tenant("quiet"), 0)];
            traffic.add(&stamp(), HOUR_OF_TEST, 100, tenants).await.unwrap();
        }
    };
    let [a, b, c] = others;
    tokio::join!(add(a), add(b), add(c));
    let expected = Hour { total: 6_000, tenants: [(tenant("acme"), 1_800), (tenant("total"), 120)].into() };
    assert_eq!(hour(&one, HOUR_OF_TEST).await, Some(expected));
    let left: u64 = server.ask(&["TTL", &key(HOUR_OF_TEST)]);
    assert!((179_990..=180_000).contains(&left), "{left}");
    // another stamp's, another hour's
    assert_eq!(hour(&one, HOUR_OF_TEST + 1).await, None);
    let other = StampId::parse("synaxis-weu-002").unwrap();
    assert!(one.hours(&other, 0..=u64::MAX).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_hour_has_at_most_so_many_fields_and_the_busiest_keep_theirs() {
    let server = Server::on_free_port();
    let traffic = open(&server);
    for batch in 0..40 {
        let flood = (0..50).map(|number| (tenant(format_args!("flood-{batch}-{number}")), 1 + number % 3));
        let busy = [(tenant("busy"), 20)].into_iter().filter(|_| batch > 20);
        traffic.add(&stamp(), HOUR_OF_TEST, 100, busy.chain(flood)).await.unwrap();
        let fields: usize = server.ask(&["HLEN", &key(HOUR_OF_TEST)]);
        assert!(fields <= FIELDS_MAX, "{fields}");
    }
    let found = hour(&traffic, HOUR_OF_TEST).await.unwrap();
    assert_eq!((found.total, found.tenants[&tenant("busy")], found.tenants.len()), (4_000, 19 * 20, FIELDS_MAX - 1));
    // those with the fewest have gone
    assert!(found.tenants.values().all(|requests| *requests >= 2));
}

#[tokio::test]
async fn users_that_may_do_what_is_documented_are_enough() {
    let server = Server::on_free_port();
    let user = |name: &str, may: &str| {
        let words = format!("ACL SETUSER {name} on >secret {may} ~test:top:*");
        server.ask::<()>(&words.split(' ').collect::<Vec<_>>());
        Traffic::open(&format!("redis://{name}:secret@127.0.0.1:{}/1", server.port), "test").unwrap()
    };
    let writer = user("proxy", "+select +eval +hlen +hincrby +hset +hexists +hgetall +hdel +expire");
    let reader = user("operator", "+select +eval +type +hlen +hgetall");
    for batch in 0..40 {
        let tenants = (0..50).map(|number| (tenant(format_args!("t-{batch}-{number}")), 1 + batch));
        writer.add(&stamp(), HOUR_OF_TEST, 100, tenants).await.unwrap();
    }
    assert_eq!(hour(&reader, HOUR_OF_TEST).await.unwrap().total, 4_000);
    assert!(reader.add(&stamp(), HOUR_OF_TEST, 100, []).await.is_err());
}

#[tokio::test]
async fn garbage_under_our_keys_is_unknown_and_put_right_where_it_can_be() {
    let server = Server::on_free_port();
    let traffic = open(&server);
    let put = |words: &[&str]| server.ask::<()>(words);
    let hours: Vec<String> = (0..8).map(key).collect();
    put(&["SET", &hours[0], "a text"]);
    put(&["HSET", &hours[1], "acme", "5"]);
    put(&["HSET", &hours[2], "*", "many", "acme", "5"]);
    put(&["HSET", &hours[3], "*", "0"]);
    put(&["HSET", &hours[4], "*", "10", "acme", "99", "a b", "1", "\u{1b}[2J", "1", "x", "-3", "y", "1e9"]);
    put(&["HSET", &hours[4], &"z".repeat(200), "5", "long", &"9".repeat(40), "", "7", "half", "0.5"]);
    put(&["HSET", &hours[5], "*", "99999999999999999999"]);
    let many: Vec<String> = (0..2_000).flat_map(|number| [format!("t{number}"), "1".to_owned()]).collect();
    let words: Vec<&str> = ["HSET", &hours[6]].into_iter().chain(many.iter().map(String::as_str)).collect();
    put(&words);
    put(&["HSET", &hours[7], "*", "x", "acme", "y", "other", "3"]);
    let found = traffic.hours(&stamp(), 0..=7).await.unwrap();
    assert_eq!(found, [(4, Hour { total: 10, tenants: [(tenant("acme"), 10)].into() })].into());
    // a text and a hash that is too large are somebody else's
    for other in [0, 6] {
        let refused = traffic.add(&stamp(), other, 5, [(tenant("acme"), 5)]).await.unwrap_err();
        assert!(matches!(refused, TrafficError::Away { .. }), "{refused}");
    }
    traffic.add(&stamp(), 7, 8, [(tenant("acme"), 5), (tenant("other"), 1)]).await.unwrap();
    let expected = Hour { total: 8, tenants: [(tenant("acme"), 5), (tenant("other"), 4)].into() };
    assert_eq!(hour(&traffic, 7).await, Some(expected));
}

#[tokio::test]
async fn ids_are_values_whatever_they_look_like() {
    let server = Server::on_free_port();
    let traffic = open(&server);
    let longest = "-".repeat(128);
    let names =
        ["KEYS", "..", "total", "nil", "0", "-1", "EVAL", "__index", "6f9619ff-8b86-d011-b42d-00cf4fc964ff", &longest];
    traffic.add(&stamp(), HOUR_OF_TEST, 100, names.map(|name| (tenant(name), 3))).await.unwrap();
    let found = hour(&traffic, HOUR_OF_TEST).await.unwrap();
    assert_eq!(found, Hour { total: 100, tenants: names.map(|name| (tenant(name), 3)).into() });
    let keys: Vec<String> = server.ask(&["KEYS", "*"]);
    assert_eq!(keys, [key(HOUR_OF_TEST)]);
}

#[tokio::test]
async fn nobody_waits_long_for_a_store_that_is_away() {
    let server = Server::on_free_port();
    let traffic = open(&server);
    server.signal("-STOP");
    let began = Instant::now();
    assert!(matches!(traffic.add(&stamp(), 1, 1, []).await, Err(TrafficError::Away { .. })));
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    server.signal("-CONT");
    traffic.add(&stamp(), 1, 1, []).await.unwrap();
    let gone = Traffic::open("redis://127.0.0.1:1", "test").unwrap();
    assert!(gone.hours(&stamp(), 0..=u64::MAX).await.unwrap_err().to_string().contains("127.0.0.1:1"));
}

#[test]
fn a_password_is_never_repeated_and_a_prefix_is_a_word() {
    for url in ["redis://me:hunter2@[", "gopher://me:hunter2@x", "unix:///tmp/hunter2", "", "rediss://me:hunter2@h"] {
        let refused = Traffic::open(url, "test").unwrap_err().to_string();
        assert!(!refused.contains("hunter2"), "{refused}");
    }
    let traffic = Traffic::open("redis://me:hunter2@127.0.0.1:1", "test").unwrap();
    assert!(!format!("{traffic:?}").contains("hunter2"));
    for prefix in ["", "a b", "{x}", "A"] {
        assert!(matches!(Traffic::open("redis://127.0.0.1:1", prefix), Err(TrafficError::KeyPrefix)), "{prefix:?}");
    }
}
