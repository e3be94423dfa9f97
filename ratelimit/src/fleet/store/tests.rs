use std::{io::Read as _, time::Instant};

use redis::Commands as _;

use super::*;
use crate::fleet::{
    tests::{
        Server,
        process::{Process, eventually, plan},
    },
    verdict::{By, OnStoreFailure},
};

const KEY: &str = "{t:rl:acme}:user:u";

/// Time missing in the bucket (us), and tokens in leases.
fn state(server: &Server) -> (u64, u32) {
    let text: String = server.ask(&["GET", KEY]);
    let words: Vec<u64> = text.split(' ').map(|word| word.parse().unwrap_or(0)).collect();
    (words[2], words[5..].chunks(7).map(|holder| holder[1] as u32).sum())
}

/// Uses a key in lease mode until it has a lease.
async fn lease(process: &Process, plan: &Arc<super::super::plan::Plan>) {
    for _ in 0..20 {
        assert!(process.passes(plan, b"u").await);
    }
    assert!(process.cell(plan, b"u").has_lease(process.store.now()));
}

#[tokio::test]
async fn an_idle_lease_goes_back_and_so_do_all_at_the_end() {
    let (server, plan) = (Server::start(), plan(10_000, 60, 1_000));
    let process = Process::start(&server, 200, Instant::now()).await;
    lease(&process, &plan).await;
    assert!(state(&server).1 > 0);
    eventually("it is given back", || state(&server).1 == 0).await;
    let missing = |spent: u64| spent * plan.interval() / 1_000;
    assert!(state(&server).0 <= missing(20) + 50, "{:?}", state(&server));
    lease(&process, &plan).await;
    assert!(state(&server).1 > 0);
    assert!(process.store.shutdown(Duration::from_secs(5)).await);
    assert_eq!(state(&server).1, 0);
    assert!(state(&server).0 <= missing(40) + 50, "{:?}", state(&server));
}

#[tokio::test]
async fn a_shutdown_without_a_store_ends_in_time() {
    let (mut server, plan) = (Server::start(), plan(10_000, 60, 1_000));
    let process = Process::start(&server, 200, Instant::now()).await;
    lease(&process, &plan).await;
    server.signal("-STOP");
    let began = Instant::now();
    assert!(!process.store.shutdown(Duration::from_millis(300)).await);
    assert!(began.elapsed() < Duration::from_millis(600), "{:?}", began.elapsed());
    server.kill();
}

#[tokio::test]
async fn a_refunded_token_is_there_for_everybody() {
    let (server, plan) = (Server::start(), plan(60, 60, 2));
    let (a, b) =
        (Process::start(&server, 200, Instant::now()).await, Process::start(&server, 200, Instant::now()).await);
    let mut verdicts = Vec::new();
    for _ in 0..2 {
        verdicts.push(a.request(&plan, b"u", OnStoreFailure::Closed).await.taken.unwrap());
    }
    assert!(!a.passes(&plan, b"u").await);
    let cell = a.cell(&plan, b"u");
    a.store.refund(&cell, verdicts.remove(0));
    eventually("it is back", || state(&server).0 <= plan.interval() / 1_000).await;
    assert!(b.passes(&plan, b"u").await);
    assert!(!b.passes(&plan, b"u").await);
    // one that comes back too late is not believed
    tokio::time::sleep(plan.slack() + Duration::from_millis(50)).await;
    a.store.refund(&cell, verdicts.remove(0));
    eventually("it is told", || cell.care(a.store.now()) == Care::Gone).await;
    assert!(!b.passes(&plan, b"u").await);
}

#[tokio::test]
async fn a_server_that_has_forgotten_everything_is_told_again() {
    let (mut server, plan, direct) = (Server::start(), plan(10_000, 60, 1_000), plan(60, 60, 2));
    let process = Process::start(&server, 200, Instant::now()).await;
    lease(&process, &plan).await;
    // the script
    let () = server.ask(&["SCRIPT", "FLUSH"]);
    assert_eq!(process.request(&direct, b"a", OnStoreFailure::Closed).await.by, By::Store);
    assert!(process.passes(&direct, b"a").await);
    // the buckets and leases
    let older: String = server.ask(&["GET", KEY]);
    let () = server.ask(&["FLUSHALL"]);
    lease(&process, &plan).await;
    assert!(process.passes(&direct, b"b").await);
    // an older state of them
    let () = server.ask(&["SET", KEY, &older]);
    lease(&process, &plan).await;
    // something else
    for words in [&["SET", KEY, "\x01garbage"][..], &["DEL", KEY], &["RPUSH", KEY, "a", "b"]] {
        let _: redis::Value = server.ask(words);
        lease(&process, &plan).await;
    }
    assert!(!process.store.is_away() && process.store.counts().failures.load(Relaxed) == 0);
    // everything
    server.kill();
    assert!(process.passes(&direct, b"c").await, "by its share");
    server.again();
    process.connected().await;
    assert_eq!(process.request(&direct, b"d", OnStoreFailure::Closed).await.by, By::Store);
    // its cell still has, or gets, a lease
    lease(&process, &plan).await;
    assert_eq!(process.store.counts().outages.load(Relaxed), 1, "old connections are not tried again");
}

#[tokio::test]
async fn a_link_that_was_idle_during_an_outage_does_not_cause_another() {
    let (mut server, plan) = (Server::start(), plan(60, 60, 2));
    let process = Process::start(&server, 200, Instant::now()).await;
    let second = super::super::link::Link::start(Arc::clone(&process.store));
    eventually("it is connected", || second.is_connected()).await;
    server.kill();
    assert!(process.passes(&plan, b"a").await && process.store.is_away());
    server.again();
    process.connected().await;
    // it may just be connecting
    tokio::time::sleep(Duration::from_millis(200)).await;
    eventually("it is connected again", || second.is_connected()).await;
    let verdict = second.take(&process.cell(&plan, b"b"), &plan, OnStoreFailure::Closed, Duration::ZERO).await;
    assert_eq!((verdict.by, process.store.outages()), (By::Store, 1));
}

#[tokio::test]
async fn a_user_that_may_do_what_is_documented_is_enough() {
    let (server, plan, direct) = (Server::start(), plan(10_000, 60, 1_000), plan(60, 60, 2));
    let may = "+script|load +evalsha +time +getrange +set +pttl +ping +select ~{t:rl:*";
    let words: Vec<&str> = "ACL SETUSER proxy on >secret".split(' ').chain(may.split(' ')).collect();
    let () = server.ask(&words);
    let client = || {
        let url = format!("redis+unix://{}?user=proxy&pass=secret&db=1", server.socket().display());
        redis::Client::open(url).unwrap()
    };
    let process = Process::of(client(), 200, Instant::now());
    process.connected().await;
    lease(&process, &plan).await;
    assert_eq!(process.request(&direct, b"a", OnStoreFailure::Closed).await.by, By::Store);
    // it comes back
    let () = server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(process.request(&direct, b"b", OnStoreFailure::Closed).await.by, By::Alone);
    let () = server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    process.connected().await;
    assert_eq!(process.request(&direct, b"b", OnStoreFailure::Closed).await.by, By::Store);
    // and says what it may not
    let () = server.ask(&["ACL", "SETUSER", "proxy", "-pttl"]);
    let process = Process::of(client(), 200, Instant::now());
    eventually("it says so", || process.store.trouble().is_some_and(|said| said.contains("pttl"))).await;
}

/// What makes a server answer everything and write nothing, what it says then, and what ends that.
const USELESS: [(&str, &[&str], &str, &[&str]); 3] = [
    ("OOM", &["CONFIG", "SET", "maxmemory", "1"], "OOM", &["CONFIG", "SET", "maxmemory", "0"]),
    ("READONLY", &["REPLICAOF", "127.0.0.1", "1"], "read only", &["REPLICAOF", "NO", "ONE"]),
    (
        "NOREPLICAS",
        &["CONFIG", "SET", "min-replicas-to-write", "3"],
        "replicas",
        &["CONFIG", "SET", "min-replicas-to-write", "0"],
    ),
];

#[tokio::test]
async fn a_store_that_answers_and_cannot_count_is_away_until_it_can() {
    for (name, begin, said, end) in USELESS {
        let (server, plan) = (Server::start(), plan(60, 60, 30));
        let process = Process::start(&server, 200, Instant::now()).await;
        assert_eq!(process.request(&plan, b"a", OnStoreFailure::Closed).await.by, By::Store);
        let () = server.ask(begin);
        assert_eq!(server.ask::<String>(&["PING"]), "PONG");
        assert!(process.passes(&plan, b"b").await, "{name}: by its share");
        assert!(process.store.is_away(), "{name}");
        let trouble = process.store.trouble().unwrap();
        assert!(trouble.contains(said), "{name}: {trouble}");
        // it stays away, is not believed in between, and is looked for less and less often
        let failures = process.store.counts().failures.load(Relaxed);
        let looks = || -> u32 {
            let stats: String = server.ask(&["INFO", "commandstats"]);
            let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls=")).unwrap();
            line.split(',').next().unwrap().parse().unwrap()
        };
        let (before, began) = (looks(), Instant::now());
        while began.elapsed() < Duration::from_millis(2_500) {
            let verdict = process.request(&plan, b"c", OnStoreFailure::Open).await;
            assert!(verdict.by == By::Alone && process.store.is_away(), "{name}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let looked = looks() - before;
        assert!((2..=9).contains(&looked), "{name}: {looked}");
        let counts = process.store.counts();
        assert_eq!((counts.outages.load(Relaxed), counts.failures.load(Relaxed)), (1, failures), "{name}");
        let () = server.ask(end);
        process.connected().await;
        assert_eq!(process.store.trouble(), None);
        assert_eq!(process.request(&plan, b"d", OnStoreFailure::Closed).await.by, By::Store, "{name}");
    }
}

#[tokio::test]
async fn a_store_that_comes_and_goes_is_used_again_later_and_later() {
    let (server, plan) = (Server::start(), plan(60, 60, 30));
    let process = Process::start(&server, 200, Instant::now()).await;
    let mut returns = Vec::new();
    for turn in 0..5_u8 {
        let () = server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
        let _ = process.request(&plan, &[turn], OnStoreFailure::Open).await;
        assert!(process.store.is_away());
        let () = server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
        let began = Instant::now();
        process.connected().await;
        returns.push(began.elapsed());
    }
    println!("{returns:?}");
    // half of 50 ms to begin with, of 800 ms at last; all of it, and half as much again, by chance; then the others' time
    assert!(returns[4] >= Duration::from_millis(400 + 1_990), "{returns:?}");
    assert_eq!(process.store.outages(), 5);
}

#[tokio::test]
async fn a_process_without_requests_knows_that_its_store_is_gone_and_that_it_is_back() {
    let mut server = Server::start();
    let process = Process::start(&server, 200, Instant::now()).await;
    server.kill();
    eventually("it is missed", || process.store.is_away()).await;
    server.again();
    process.connected().await;
    server.signal("-STOP");
    eventually("it is missed again", || process.store.is_away()).await;
    assert_eq!(process.store.outages(), 2);
    server.signal("-CONT");
    process.connected().await;
    // nor does one look that has no answer, because a connection was lost, make it away
    let () = server.ask(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!((process.store.is_away(), process.store.outages()), (false, 2));
}

#[tokio::test]
async fn hostile_names_are_inert() {
    let (server, plan) = (Server::start(), plan(60, 60, 2));
    let mut monitor = std::os::unix::net::UnixStream::connect(server.socket()).unwrap();
    std::io::Write::write_all(&mut monitor, b"MONITOR\r\n").unwrap();
    let process = Process::start(&server, 200, Instant::now()).await;
    let () = server.ask(&["SET", "canary", "alive"]);
    let long = vec![0xfe; 8_192];
    let users: [&[u8]; 6] =
        [b"\r\nFLUSHALL\r\n", b"}:tenant", b"'); redis.call('FLUSHALL') --", b"*", b"\0\xff\xf0", &long];
    for user in users {
        assert!(process.passes(&plan, user).await);
    }
    let mut connection = server.client().get_connection().unwrap();
    let mut keys: Vec<String> = connection.keys("*").unwrap();
    keys.retain(|key| key != "canary" && *key != script::shared_key("t", "", ""));
    assert_eq!(keys.len(), 6);
    assert!(keys.iter().all(|key| key.starts_with("{t:rl:acme}:user:") && key.len() < 100), "{keys:?}");
    assert_eq!(server.ask::<String>(&["GET", "canary"]), "alive");
    monitor.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let (mut seen, mut bytes) = (Vec::new(), [0; 65_536]);
    while let Ok(count @ 1..) = monitor.read(&mut bytes) {
        seen.extend_from_slice(&bytes[..count]);
    }
    let seen = String::from_utf8(seen).unwrap();
    assert!(seen.to_lowercase().contains("evalsha"), "{seen}");
    assert!(!seen.contains("FLUSHALL\\r") && !seen.contains("redis.call('FLUSHALL')"));
    assert!(seen.contains("%0D%0AFLUSHALL%0D%0A"));
}

#[tokio::test]
async fn a_busy_tenant_costs_the_store_next_to_nothing() {
    let (server, plan) = (Server::start(), plan(100_000, 60, 10_000));
    let process = Process::start(&server, 200, Instant::now()).await;
    let (began, mut requests) = (Instant::now(), 0_u32);
    while began.elapsed() < Duration::from_secs(3) {
        while f64::from(requests) < began.elapsed().as_secs_f64() * 1_000.0 {
            assert!(process.passes(&plan, b"u").await);
            requests += 1;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let operations = process.store.counts().key_operations.load(Relaxed);
    println!("{operations} key operations for {requests} requests");
    assert!(operations * 100 <= u64::from(requests), "{operations} for {requests}");
}

#[tokio::test]
async fn many_keys_go_in_few_calls() {
    let (server, plan) = (Server::start(), plan(60, 60, 2));
    let process = Process::start(&server, 200, Instant::now()).await;
    let process = std::rc::Rc::new(process);
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let mut tasks = tokio::task::JoinSet::new();
            for user in 0..300_u32 {
                let (process, plan) = (std::rc::Rc::clone(&process), Arc::clone(&plan));
                tasks.spawn_local(
                    async move { process.request(&plan, &user.to_le_bytes(), OnStoreFailure::Closed).await },
                );
            }
            while let Some(verdict) = tasks.join_next().await {
                assert!(verdict.unwrap().taken.is_ok());
            }
        })
        .await;
    let calls = process.store.counts().direct_calls.load(Relaxed);
    assert!((2..=6).contains(&calls), "{calls}");
}
