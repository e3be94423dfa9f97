//! A purge with proof.

use synaxis_routing::purge::{Missing, StoreError, Waited};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// As if the list of processes had been there for long.
fn settle(server: &Server) {
    server.ask::<u64>(&["HSET", "{test:cache}:readers", "", "@1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_hears_when_all_processes_have_passed() {
    let server = Server::start();
    let processes: Vec<Process> =
        ["one", "two", "three"].iter().map(|name| Process::start(server.port, name)).collect();
    for process in &processes {
        process.ready().await;
    }
    settle(&server);
    let operator = store(server.port, 100_000);
    let mut took = Vec::new();
    for number in 0..50 {
        let began: Vec<PurgeId> = processes.iter().map(|process| process.last()).collect();
        let cached = Cached::of("acme", "a", &format!("/{number}"), &[]);
        let before = Instant::now();
        let id = operator.purge(&Purge::hard(key("acme", "a", &cached.path))).await.unwrap();
        let waited = operator.wait(id, 5 * SECOND).await.unwrap();
        assert!(waited.is_proven());
        let Waited { mut passed, missing, silent, .. } = waited;
        took.push(before.elapsed());
        passed.sort_unstable();
        assert_eq!(passed, ["one", "three", "two"]);
        assert_eq!((missing, silent), (vec![], vec![]));
        for (process, began) in processes.iter().zip(began) {
            assert_eq!(process.said(&cached, began), Verdict::Hard, "without any wait");
        }
    }
    took.sort_unstable();
    println!("purge with proof, 3 processes: p50 {:?}, max {:?}", took[25], took[49]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_does_not_read_is_named_until_it_has_left() {
    let server = Server::start();
    let (one, hung) = (Process::start(server.port, "one"), Process::start(server.port, "hung"));
    one.ready().await;
    hung.ready().await;
    settle(&server);
    hung.task.abort();
    let before = hung.last();
    let operator = store(server.port, 100_000);
    let id = operator.purge(&Purge::hard(Scope::All)).await.unwrap();
    let began = Instant::now();
    let Waited { passed, missing, silent, .. } = operator.wait(id, SECOND).await.unwrap();
    assert!(began.elapsed() >= SECOND);
    assert_eq!((passed, silent), (vec!["one".to_owned()], vec![]));
    let [Missing { process, passed, silent }] = &missing[..] else { panic!("{missing:?}") };
    assert_eq!((process.as_str(), *passed), ("hung", before));
    assert!((SECOND..3 * SECOND).contains(silent), "{silent:?}");
    hung.stream.leave().await.unwrap();
    let waited = operator.wait(id, SECOND).await.unwrap();
    assert_eq!(waited, Waited { passed: vec!["one".into()], is_complete: true, ..Waited::default() });
    server.ask::<u64>(&["DEL", "{test:cache}:readers"]);
    let waited = operator.wait(id, SECOND).await.unwrap();
    assert!(!waited.is_proven(), "the list was lost, and others may come again: {waited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_that_the_store_has_lost_is_not_proven() {
    let server = Server::start();
    let process = Process::start(server.port, "one");
    process.ready().await;
    let operator = store(server.port, 100_000);
    let id = operator.purge(&Purge::hard(key("acme", "a", "/x"))).await.unwrap();
    server.ask::<()>(&["FLUSHALL"]);
    let lost = operator.wait(id, SECOND).await;
    assert!(matches!(lost, Err(StoreError::Lost(of)) if of == id), "{lost:?}");
    process.passes(id.next()).await;
    let lost = operator.wait(id, SECOND).await;
    assert!(matches!(lost, Err(StoreError::Lost(of)) if of == id), "also when it goes on: {lost:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_processes_than_can_be_waited_for_do_not_use_their_cache() {
    let server = Server::start();
    let mut hset = redis::cmd("HSET");
    hset.arg("{test:cache}:readers");
    hset.arg("").arg("@1");
    for number in 0..1_024 {
        hset.arg(format!("p{number}")).arg("1-0@99999999999999");
    }
    server.send::<u64>(&hset);
    let process = Process::start(server.port, "one");
    sleep(SECOND).await;
    assert!(process.is_cut_off());
    server.ask::<u64>(&["HDEL", "{test:cache}:readers", "p7"]);
    process.ready().await;
    server.ask::<u64>(&["HSET", "{test:cache}:readers", "too", "many"]);
    let id = process.stream.store.purge(&Purge::hard(Scope::All)).await.unwrap();
    let refused = process.stream.store.wait(id, SECOND).await;
    assert!(matches!(refused, Err(StoreError::Away { .. })), "{refused:?}");
}
