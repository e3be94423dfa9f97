use std::time::Duration;

use redis::{Connection, Script};

use super::{model::Model, *};
use crate::{
    fleet::tests::{Chance, Server},
    quota::Quota,
};

fn plan(requests: u32, seconds: u64, burst: u32) -> Plan {
    Plan::new(&Quota::new(requests, Duration::from_secs(seconds), Some(burst)).unwrap(), 2)
}

struct Caller {
    connection: Connection,
    sha: String,
}

impl Caller {
    fn of(server: &Server) -> Self {
        let mut connection = server.client().get_connection().unwrap();
        let sha = Script::new(SOURCE).prepare_invoke().load(&mut connection).unwrap();
        Self { connection, sha }
    }

    fn ask(&mut self, key: &str, plan: &Plan, holder: &str, ask: Ask) -> Answer {
        let value = call(&self.sha, holder, [(key, plan, ask)].into_iter()).query(&mut self.connection).unwrap();
        answers(value, 1).unwrap()[0]
    }
}

#[test]
fn keys_are_inert_bounded_and_all_different() {
    assert_eq!(key("syn", "acme", "user", &[b"u-1"]), "{syn:rl:acme}:user:u-1");
    assert_eq!(key("syn:weu", "acme", "tenant", &[]), "{syn:weu:rl:acme}:tenant");
    assert_eq!(key("a}{b", "x}:y{", "l:m", &[b"}\r\n\0\xff", b""]), "{ab:rl:x%7D%3Ay%7B}:l%3Am:%7D%0D%0A%00%FF:");
    let long = vec![b'x'; 4_096];
    let of_long = key("syn", "acme", "user", &[&long]);
    assert_eq!(of_long.len(), "{syn:rl:acme}:user:".len() + 33);
    assert!(key("p", &"t".repeat(9_999), "l", &[&[0_u8; 9_999][..]; 8]).len() < 700);
    let long_twin = [&long[..4_095], b"y"].concat();
    let many: Vec<&[u8]> = vec![b"a"; 9];
    let lists: Vec<Vec<&[u8]>> = vec![
        vec![],
        vec![b""],
        vec![b"", b""],
        vec![b"a", b"b"],
        vec![b"a:b"],
        vec![b"ab"],
        vec![b"a%3Ab"],
        vec![&long],
        vec![&long_twin],
        vec![of_long.rsplit(':').next().unwrap().as_bytes()],
        vec![b"*"],
        many.clone(),
        many[..8].to_vec(),
    ];
    let mut keys: Vec<String> = lists.iter().map(|parts| key("syn", "acme", "user", parts)).collect();
    keys.push(shared_key("syn", "acme", "user"));
    keys.push(key("syn", "acme", "user2", &[]));
    let count = keys.len();
    assert!(keys.iter().all(|key| key.bytes().all(|byte| byte.is_ascii_graphic()) && key.matches('}').count() == 1));
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), count);
}

/// Random histories of several holders on keys whose quota changes; real time passes.
#[test]
fn the_script_and_the_model_agree() {
    let (server, mut chance) = (Server::start(), Chance::seeded());
    let mut caller = Caller::of(&server);
    let plans = [plan(1_000, 1, 200), plan(1_000, 1, 100), plan(60_000, 60, 6_000), plan(5, 1, 2), plan(7, 1, 1)];
    let leased = plans.iter().filter(|plan| plan.is_leased()).count();
    assert_eq!(leased, 3);
    let (mut seq, mut granted, mut refused) = (0_u64, 0, 0);
    for history in 0..12 {
        let (key, mut model) = (key("agree", "acme", "user", &[&[history]]), Model::default());
        let mut at = chance.below(5) as usize;
        for step in 0..50 {
            if chance.below(20) == 0 {
                at = chance.below(5) as usize;
            }
            seq += 1;
            let now: (u64, u64) = redis::cmd("TIME").query(&mut caller.connection).unwrap();
            let ask = Ask {
                direct: [0, 1, 1, 7][chance.below(4) as usize],
                debit: [0, 0, 0, 3, 1_000][chance.below(5) as usize],
                credit: [0, 0, 2][chance.below(3) as usize],
                credit_at: now.0 * 1_000_000 + now.1 - chance.below(30_000),
                seq: [0, seq, seq.saturating_sub(5)][chance.below(3) as usize],
                remaining: chance.below(30) as u32,
                target: [0, 5, 40][chance.below(3) as usize],
            };
            let holder = 0xa0 + chance.below(4);
            let answer = caller.ask(&key, &plans[at], &format!("{holder:x}"), ask);
            let expected = model.ask(&plans[at], holder, ask, answer.now);
            assert_eq!(answer, expected, "history {history} step {step}: {ask:?} of {:?}", plans[at]);
            let outstanding = model.outstanding(answer.now);
            assert!(answer.granted == 0 || outstanding <= plans[at].leased_max(), "{outstanding} {model:?}");
            granted += answer.granted;
            refused += u32::from(answer.direct < ask.direct);
            std::thread::sleep(Duration::from_micros([0, 0, 2_000, 20_000][chance.below(4) as usize]));
        }
        if history == 0 {
            // a lease that is over, and the next slot of what was spent lately
            std::thread::sleep(LEASE_LIFE + Duration::from_millis(100));
        }
    }
    assert!(granted > 20 && refused > 20, "{granted} {refused}");
}

#[test]
fn what_is_not_ours_under_our_key_is_nothing_or_no_more_than_an_empty_bucket() {
    let server = Server::start();
    let (mut caller, plan) = (Caller::of(&server), plan(10, 1, 10));
    let (fill, window) = (plan.fill() / 1_000, 1_000_000);
    let spend = Ask { direct: 10, seq: 1, remaining: 4_000, target: 4_000, ..Ask::default() };
    let now = server.ask::<(u64, u64)>(&["TIME"]).0 * 1_000_000;
    let nines = "9".repeat(400);
    for (nth, (text, tokens, missing_max)) in [
        ("", 10, fill),
        ("garbage", 10, fill),
        ("1 -1 -1 -1 -1", 10, fill),
        ("1 nan inf 0x10 1e400", 10, fill),
        (&format!("1 {nines} {nines} {nines} {nines}"), 10, fill),
        ("2 1 1 1 1", 10, fill),
        // reads as a bucket of one token, which has grown by 9
        (&"1 ".repeat(100_000), 1, fill),
        // a shape that cannot be
        (&format!("1 {now} 5 0 0"), 10, fill),
        (&format!("1 {now} 9007199254740991 1 1"), 0, fill + window),
        // full in the far future, written in the far future: empty, and full again by today's quota
        (&format!("1 9007199254740991 9007199254740991 {} 10", plan.interval()), 0, fill + window),
        // holders that never were, of which none is believed longer than a lease lives
        (
            &format!("1 {now} 0 {} 10 ff 9007199254740991 9007199254740991 9007199254740991 1 1 1", plan.interval()),
            10,
            fill,
        ),
        (&format!("1 {now} 0 {} 10{}", plan.interval(), " ff 1 1 1 1 1 1".repeat(900)), 10, fill),
        (&format!("1 {now} 0 {} 10 ff x y", plan.interval()), 10, fill),
        (&format!("1 {now} 0 {} 10 ff {nines} {nines} 1 1 1 1", plan.interval()), 10, fill),
    ]
    .into_iter()
    .enumerate()
    {
        let key = key("bad", "acme", "user", &[nth.to_string().as_bytes()]);
        let () = server.ask(&["SET", &key, text]);
        let answer = caller.ask(&key, &plan, "ab", spend);
        assert_eq!(answer.direct, tokens, "{text:.80}");
        assert!(answer.missing <= missing_max, "{text:.80}: {answer:?}");
        let (kept, ttl) = (server.ask::<String>(&["GET", &key]), server.ask::<i64>(&["PTTL", &key]));
        assert!(kept.starts_with("1 ") && kept.len() < 8_000, "{kept}");
        assert!((20_000..35_000).contains(&ttl), "{ttl}");
    }
    for (nth, words) in [&["RPUSH", "x"][..], &["HSET", "f", "x"], &["SADD", "x"], &["PFADD", "x"]].iter().enumerate() {
        let key = key("type", "acme", "user", &[nth.to_string().as_bytes()]);
        let words: Vec<&str> = [&[words[0], &key], &words[1..]].concat();
        let _: u32 = server.ask(&words);
        assert_eq!(caller.ask(&key, &plan, "ab", spend).direct, 10, "{words:?}");
        assert_eq!(caller.ask(&key, &plan, "ab", spend).direct, 0);
    }
}

#[test]
fn a_changed_quota_keeps_what_is_missing() {
    let (mut model, small, large) = (Model::default(), plan(60, 60, 10), plan(120, 60, 20));
    let now = 1_000_000_000_000;
    let spend = |direct| Ask { direct, ..Ask::default() };
    assert_eq!(model.ask(&small, 1, spend(8), now).direct, 8);
    // 2 were left, but for what is rounded up, and the 10 that it has grown by are missing
    assert_eq!(model.ask(&large, 1, spend(20), now + 2).direct, 2);
    // back: empty
    let answer = model.ask(&small, 1, spend(20), now + 2);
    assert_eq!((answer.direct, answer.missing), (0, small.fill().div_ceil(1_000)));
    assert_eq!(model.ask(&small, 1, spend(20), now + 2 + small.interval().div_ceil(1_000)).direct, 1);
}

#[test]
fn two_quotas_at_once_cost_nobody_anything() {
    let (mut model, small, large) = (Model::default(), plan(60, 60, 10), plan(120, 60, 20));
    let now = 1_000_000_000_000;
    let spend = |direct| Ask { direct, ..Ask::default() };
    assert_eq!(model.ask(&small, 1, spend(4), now).direct, 4);
    // processes of an old and a new configuration ask in turn
    for turn in 0..100 {
        let plan = if turn % 2 == 0 { &large } else { &small };
        assert_eq!(model.ask(plan, 1 + turn % 2, Ask::default(), now).direct, 0);
    }
    // but for what is rounded up
    assert_eq!(model.ask(&small, 1, spend(20), now + 1_000).direct, 6);
}

#[test]
fn a_clock_that_goes_back_brings_nothing_and_locks_nobody_out() {
    let (mut model, plan) = (Model::default(), plan(60, 60, 10));
    let hour = 3_600_000_000;
    let spend = Ask { direct: 10, ..Ask::default() };
    assert_eq!(model.ask(&plan, 1, spend, 2 * hour).direct, 10);
    assert_eq!(model.ask(&plan, 1, spend, hour).direct, 0);
    assert_eq!(model.ask(&plan, 1, spend, hour + 2_000_000).direct, 1);
}
