use std::{rc::Rc, sync::atomic::AtomicU64, time::Instant};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
    task::JoinSet,
};

use super::*;
use crate::fleet::plan::TIMEOUTS_MAX;
use crate::fleet::tests::{
    Server, most,
    process::{Process, eventually, plan},
};

/// What four processes admitted: instants, and whether by themselves.
type Admitted = Vec<(u64, By)>;

/// So many requests a second by each of four processes for so long, in steps of 5 ms; one crashes and another one comes at
/// half time; `at_half` is done then.
async fn load(server: &Server, plan: &Arc<Plan>, rate: f64, time: Duration, mut at_half: impl FnMut()) -> Admitted {
    let epoch = Instant::now();
    let mut processes = Vec::new();
    for _ in 0..4 {
        processes.push(Rc::new(Process::start(server, 20, epoch).await));
    }
    let (began, mut sent, mut half) = (Instant::now(), 0, false);
    let admitted = Rc::new(std::cell::RefCell::new(Admitted::new()));
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            while began.elapsed() < time {
                if !half && began.elapsed() > time / 2 {
                    half = true;
                    at_half();
                    if let Ok(process) = Rc::try_unwrap(processes.remove(0)) {
                        process.crash();
                    }
                    processes.push(Rc::new(Process::of(server.client(), 20, epoch)));
                }
                while f64::from(sent) < began.elapsed().as_secs_f64() * rate * 4.0 {
                    let (process, plan) = (Rc::clone(&processes[sent as usize % 4]), Arc::clone(plan));
                    let admitted = Rc::clone(&admitted);
                    sent += 1;
                    tokio::task::spawn_local(async move {
                        let verdict = process.request(&plan, b"u-1", OnStoreFailure::Share).await;
                        if verdict.taken.is_ok() {
                            admitted.borrow_mut().push((verdict.at, verdict.by));
                        }
                    });
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        })
        .await;
    let admitted = admitted.borrow().clone();
    let calls: u64 = processes.iter().map(|process| process.store.counts().key_operations.load(Relaxed)).sum();
    println!("{} of {sent} admitted, {calls} key operations", admitted.len());
    admitted
}

fn most_of(admitted: &Admitted, plan: &Plan, by: impl Fn(By) -> bool) -> usize {
    let mut instants: Vec<u64> = admitted.iter().filter(|(_, it)| by(*it)).map(|(at, _)| *at).collect();
    most(&mut instants, plan.quota().window().as_nanos() as u64)
}

async fn check_load(plan: Arc<Plan>, part: f64) {
    let (server, time) = (Server::start(), Duration::from_secs(5));
    let admitted = load(&server, &plan, plan.quota().rate() * 3.0 / 4.0, time, || ()).await;
    let counted = most_of(&admitted, &plan, |by| by == By::Store);
    assert!(counted <= plan.quota().requests() as usize, "{counted}");
    // a machine that stands still for 20 ms makes calls late
    let alone = admitted.iter().filter(|(_, by)| *by == By::Alone).count();
    let all = most_of(&admitted, &plan, |_| true);
    assert!(all <= plan.quota().requests() as usize + alone, "{all} with {alone} decided alone");
    let whole = plan.quota().rate() * time.as_secs_f64() + f64::from(plan.quota().burst());
    let delivered = admitted.len() as f64 / whole;
    println!("{delivered:.3} delivered, {counted} in a window, {alone} alone");
    assert!(delivered >= part, "{delivered}");
}

#[tokio::test]
async fn four_processes_with_leases_use_nearly_all_of_a_quota_and_never_more() {
    let plan = plan(2_000, 2, 200);
    assert!(plan.is_leased());
    check_load(plan, 0.95).await;
}

#[tokio::test]
async fn four_processes_that_ask_for_each_token_use_nearly_all_of_a_quota_and_never_more() {
    let plan = plan(100, 2, 10);
    assert!(!plan.is_leased());
    check_load(plan, 0.9).await;
}

#[tokio::test]
async fn five_a_minute_are_five_over_four_processes() {
    let (server, plan, epoch) = (Server::start(), plan(5, 60, 5), Instant::now());
    let mut admitted = 0;
    let mut processes = Vec::new();
    for _ in 0..4 {
        processes.push(Process::start(&server, 200, epoch).await);
    }
    for round in 0..40 {
        let verdict = processes[round % 4].request(&plan, b"u-1", OnStoreFailure::Closed).await;
        match verdict.taken {
            Ok(_) => admitted += 1,
            Err(standing) => {
                // 4 and 5 at once leave one a minute
                assert!(verdict.by == By::Store && (50..=61).contains(&standing.retry_seconds()), "{standing:?}");
            }
        }
    }
    assert_eq!(admitted, 5);
    // and who is refused is remembered: one question for each process
    let asked: u64 = processes.iter().map(|process| process.store.counts().key_operations.load(Relaxed)).sum();
    assert_eq!(asked, 9);
}

#[tokio::test]
async fn a_store_that_is_killed_costs_at_most_two_percent_and_a_token_each() {
    let (mut server, plan) = (Server::start(), plan(2_000, 2, 200));
    let rate = plan.quota().rate() * 3.0 / 4.0;
    let again = server.client();
    let pid = server.pid();
    let admitted = load(&server, &plan, rate, Duration::from_secs(4), || {
        // the handle is lent out; the process is ours
        assert!(std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    })
    .await;
    assert!(again.get_connection().is_err());
    server.kill();
    let all = most_of(&admitted, &plan, |_| true);
    let alone = admitted.iter().filter(|(_, by)| *by == By::Alone).count();
    println!("{all} in a window, {alone} alone");
    assert!(all <= 2_040 + 5, "{all}");
    // three processes of which each had about a third
    assert!(alone > 400, "{alone}");
}

/// How long the slowest of these requests took.
async fn slowest(process: &Rc<Process>, plan: &Arc<Plan>, count: u32) -> Duration {
    let slowest = Rc::new(std::cell::Cell::new(Duration::ZERO));
    let mut tasks = JoinSet::new();
    for user in 0..count {
        let (process, plan, slowest) = (Rc::clone(process), Arc::clone(plan), Rc::clone(&slowest));
        tasks.spawn_local(async move {
            let began = Instant::now();
            let _ = process.request(&plan, &user.to_le_bytes(), OnStoreFailure::Share).await;
            slowest.set(slowest.get().max(began.elapsed()));
        });
        tokio::time::sleep(Duration::from_micros(100)).await;
    }
    while tasks.join_next().await.is_some() {}
    slowest.get()
}

/// Deadline 5 ms, a tick of the timer, and a machine that builds something else meanwhile.
const PATIENCE: Duration = Duration::from_millis(100);

#[tokio::test]
async fn nobody_waits_for_a_store_that_hangs_and_what_passed_meanwhile_is_debited() {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let (server, plan) = (Server::start(), plan(60, 60, 30));
            let process = Rc::new(Process::start(&server, 5, Instant::now()).await);
            assert!(process.passes(&plan, b"u").await);
            server.signal("-STOP");
            let took = slowest(&process, &plan, 300).await;
            assert!(process.store.is_away(), "after 10 timeouts");
            let away = slowest(&process, &plan, 300).await;
            println!("{took:?} until it counts as away, {away:?} then");
            assert!(took < PATIENCE && away < PATIENCE, "{took:?} {away:?}");
            // its share: one token, and no more soon
            let cell = process.cell(&plan, b"u");
            let alone = [process.passes(&plan, b"u").await, process.passes(&plan, b"u").await];
            assert_eq!(alone, [true, false]);
            server.signal("-CONT");
            process.connected().await;
            eventually("the debt is told", || cell.care(process.store.now()) == crate::fleet::cell::Care::Gone).await;
            let mut more = 0;
            while process.passes(&plan, b"u").await {
                more += 1;
            }
            // one before, one alone; the script may have run late for the call that was given up
            assert!((27..=28).contains(&more), "{more}");
        })
        .await;
}

/// Hands bytes on to a server, and its answers so many milliseconds late.
async fn relay(server: &Server, late: Arc<AtomicU64>) -> (tempfile::TempDir, redis::Client) {
    let (folder, socket) = (tempfile::tempdir().unwrap(), server.socket());
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let Ok(upstream) = UnixStream::connect(&socket).await else { continue };
            let ((mut from, mut to), (mut back, mut out)) = (client.into_split(), upstream.into_split());
            tokio::spawn(async move { tokio::io::copy(&mut from, &mut out).await });
            let late = Arc::clone(&late);
            tokio::spawn(async move {
                let mut bytes = vec![0; 65_536];
                while let Ok(count @ 1..) = back.read(&mut bytes).await {
                    tokio::time::sleep(Duration::from_millis(late.load(Relaxed))).await;
                    if to.write_all(&bytes[..count]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    let client = redis::Client::open(format!("unix://{}", path.display())).unwrap();
    (folder, client)
}

#[tokio::test]
async fn nobody_waits_for_a_store_that_is_slow_and_a_late_grant_is_not_owed() {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let (server, plan, late) = (Server::start(), plan(60, 60, 30), Arc::new(AtomicU64::new(0)));
            let (_folder, client) = relay(&server, Arc::clone(&late)).await;
            let process = Rc::new(Process::of(client, 5, Instant::now()));
            process.connected().await;
            late.store(200, Relaxed);
            let cell = process.cell(&plan, b"u");
            let verdict = process.request(&plan, b"u", OnStoreFailure::Share).await;
            assert!(verdict.taken.is_ok() && verdict.by == By::Alone);
            eventually("the late answer", || cell.care(process.store.now()) == crate::fleet::cell::Care::Gone).await;
            let missing: String = server.ask(&["GET", "{t:rl:acme}:user:u"]);
            let missing: u64 = missing.split(' ').nth(2).unwrap().parse().unwrap();
            assert_eq!(missing, plan.interval().div_ceil(1_000), "one token, not two: {missing}");
            // many who wait for one answer are one sign, so it takes as many waits, one after the other
            let mut took = Duration::ZERO;
            for _ in 0..TIMEOUTS_MAX {
                took = took.max(slowest(&process, &plan, 2).await);
            }
            let away = slowest(&process, &plan, 100).await;
            assert!(process.store.is_away() && took < PATIENCE && away < PATIENCE, "{took:?} {away:?}");
            late.store(0, Relaxed);
            process.connected().await;
            // a machine that stalls for 5 ms excuses one request, not all of them
            let mut asked = 0_u8..50;
            while process.request(&plan, &[asked.next().expect("never used again")], OnStoreFailure::Share).await.by
                != By::Store
            {}
        })
        .await;
}

#[tokio::test]
async fn who_has_waited_as_long_as_he_may_waits_no_more() {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let (server, plan) = (Server::start(), plan(60, 60, 30));
            let process = Rc::new(Process::start(&server, 50, Instant::now()).await);
            let cell = process.cell(&plan, b"u");
            let take = |waited| process.link.take(&cell, &plan, OnStoreFailure::Open, waited);
            assert_eq!(take(Duration::ZERO).await.by, By::Store);
            assert_eq!(take(Duration::from_millis(50)).await.by, By::Alone);
        })
        .await;
}

#[tokio::test]
async fn nobody_waits_for_a_connection_longer_than_for_an_answer() {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let (folder, plan) = (tempfile::tempdir().unwrap(), plan(60, 60, 30));
            let silent = folder.path().join("silent");
            // takes connections and says nothing
            let _listener = UnixListener::bind(&silent).unwrap();
            for path in [silent, folder.path().join("nobody")] {
                let client = redis::Client::open(format!("unix://{}", path.display())).unwrap();
                let process = Rc::new(Process::of(client, 5, Instant::now()));
                // the first ones hope for the store, as long as for an answer, until there have been too many
                for _ in 0..TIMEOUTS_MAX {
                    let took = slowest(&process, &plan, 2).await;
                    assert!(took < PATIENCE && process.store.is_away(), "{took:?}");
                }
                assert!(process.store.trouble().is_some());
                let waited = process.store.counts().waits.load(Relaxed);
                let took = slowest(&process, &plan, 50).await;
                assert!(took < PATIENCE, "{took:?}");
                let verdicts =
                    [OnStoreFailure::Open, OnStoreFailure::Open, OnStoreFailure::Closed, OnStoreFailure::Share];
                let mut passed = Vec::new();
                for policy in verdicts {
                    passed.push(process.request(&plan, b"u", policy).await.taken.is_ok());
                }
                assert_eq!(passed, [true, true, false, false]);
                assert_eq!(process.store.counts().waits.load(Relaxed), waited);
            }
        })
        .await;
}

#[tokio::test]
async fn a_request_that_goes_away_gives_its_token_back() {
    let (server, plan, late) = (Server::start(), plan(60, 60, 2), Arc::new(AtomicU64::new(0)));
    let (_folder, client) = relay(&server, Arc::clone(&late)).await;
    let process = Process::of(client, 20, Instant::now());
    process.connected().await;
    late.store(8, Relaxed);
    let given_up = timeout(Duration::from_millis(3), process.passes(&plan, b"u")).await;
    assert!(given_up.is_err());
    let cell = process.cell(&plan, b"u");
    let pending = || cell.care(process.store.now()) == crate::fleet::cell::Care::Gone && !cell.listed();
    eventually("the answer and the credit", || process.store.counts().calls.load(Relaxed) >= 2 && pending()).await;
    let text: String = server.ask(&["GET", "{t:rl:acme}:user:u"]);
    let words: Vec<&str> = text.split(' ').collect();
    assert!(words[2].parse::<u64>().unwrap() <= 1, "{text}");
}

#[tokio::test]
async fn the_first_requests_of_a_process_wait_for_the_store_that_it_is_about_to_meet() {
    let (server, plan) = (Server::start(), plan(60, 60, 30));
    for _ in 0..5 {
        let process = Process::of(server.client(), 500, Instant::now());
        let verdict = process.request(&plan, b"u", OnStoreFailure::Closed).await;
        assert!(verdict.taken.is_ok() && verdict.by == By::Store);
        assert_eq!(process.store.counts().alone.load(Relaxed), 0);
    }
}
