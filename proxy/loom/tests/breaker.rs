//! The breaker under every interleaving of a few threads.
//!
//! Run: `cargo test --release`. Two threads are explored without a bound; three up to two preemptions, within which bugs
//! of this kind show (Musuvathi, Qadeer: Iterative context bounding, PLDI 2007).

#![expect(clippy::unwrap_used, reason = "a panic is how a model fails")]

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::SeqCst},
};

use loom::{model, thread};
use synaxis_proxy_loom::upstream::breaker::{
    Breaker, Changes, Limits,
    Outcome::{AnswerFailure, Success, TransportFailure},
    Pass, Scope, State,
};

const LIMITS: Limits = Limits::DEFAULT;

fn tenant(number: u64) -> u64 {
    number << 58 | number
}

/// Half-open at 30,000: opened at 0 by one refused connection.
fn half_open(limits: &Limits) -> Arc<Breaker> {
    let breaker = Arc::new(Breaker::new());
    let limits = Limits { failures: 1, ..*limits };
    let pass = breaker.admit(&limits, tenant(0), 0).unwrap();
    assert!(breaker.record(&limits, pass, TransportFailure, 0, 0).upstream.is_some());
    breaker
}

/// What two threads return.
fn both<T: 'static>(one: impl FnOnce() -> T + 'static, other: impl FnOnce() -> T + 'static) -> [T; 2] {
    let one = thread::spawn(one);
    let other = other();
    [one.join().unwrap(), other]
}

fn upstream(changes: [Changes; 2]) -> usize {
    changes.iter().filter(|changes| changes.upstream.is_some()).count()
}

#[test]
fn exactly_one_thread_tells_that_it_opened_and_it_is_open_for_all() {
    // the second failure is the one too many, or comes when it is open already
    for (failures, outcome) in [(2, AnswerFailure), (1, TransportFailure)] {
        model(move || {
            let limits = Limits { failures, ..LIMITS };
            let breaker = Arc::new(Breaker::new());
            let fail = |number| {
                let breaker = Arc::clone(&breaker);
                move || {
                    let Ok(pass) = breaker.admit(&limits, tenant(number), 0) else { return Changes::default() };
                    breaker.record(&limits, pass, outcome, 0, 0)
                }
            };
            assert_eq!(upstream(both(fail(1), fail(2))), 1);
            assert_eq!(breaker.admit(&limits, tenant(3), 0).unwrap_err().scope, Scope::Upstream);
        });
    }
}

/// One request of the tenant at a half-open breaker: whether it made it half-open, and whether it closed it.
fn attempt(
    breaker: &Arc<Breaker>,
    limits: Limits,
    running: &Arc<AtomicU32>,
    number: u64,
) -> impl FnOnce() -> [bool; 2] + use<> {
    let (breaker, running) = (Arc::clone(breaker), Arc::clone(running));
    move || {
        let Ok(pass) = breaker.admit(&limits, tenant(number), 30_000) else { return [false; 2] };
        if !pass.is_trial() {
            return [false; 2]; // closed by another one before
        }
        assert!(running.fetch_add(1, SeqCst) < limits.trials);
        let half_opened = pass.changes().upstream.is_some();
        // lets the others come while this trial runs
        thread::yield_now();
        running.fetch_sub(1, SeqCst);
        [half_opened, breaker.record(&limits, pass, Success, 30_000, 0).upstream.is_some()]
    }
}

#[test]
fn one_trial_at_a_time_and_exactly_one_thread_tells_of_each_change() {
    model(|| {
        let limits = Limits { trials: 1, ..LIMITS };
        let (breaker, running) = (half_open(&limits), Arc::default());
        let [one, other] = both(attempt(&breaker, limits, &running, 1), attempt(&breaker, limits, &running, 2));
        assert!(one[0] != other[0], "one makes it half-open");
        assert!(one[1] != other[1], "one closes it");
        assert_eq!(breaker.state(30_000), State::Closed);
    });
}

#[test]
fn two_trials_at_a_time_among_three_threads() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(|| {
        let limits = Limits { trials: 2, ..LIMITS };
        let (breaker, running) = (half_open(&limits), Arc::default());
        let others = [1, 2].map(|number| thread::spawn(attempt(&breaker, limits, &running, number)));
        let mine = attempt(&breaker, limits, &running, 3)();
        let [one, two] = others.map(|other| other.join().unwrap());
        let told = |which: usize| [mine, one, two].iter().filter(|told| told[which]).count();
        assert_eq!(told(0), 1, "one makes it half-open");
        assert_eq!(told(1), usize::from(breaker.state(30_000) == State::Closed), "one closes it");
    });
}

#[test]
fn a_place_comes_back_once_whether_its_trial_tells_or_not() {
    model(|| {
        let limits = Limits { trials: 2, ..LIMITS };
        let breaker = half_open(&limits);
        let [one, other] = [1, 2].map(|number| breaker.admit(&limits, tenant(number), 30_000).unwrap());
        let told = Arc::clone(&breaker);
        let tells = move || told.record(&limits, one, Success, 30_000, 0);
        let silent = move || {
            drop(other);
            Changes::default()
        };
        both(tells, silent);
        let free: Vec<Pass> = (3..8).map_while(|number| breaker.admit(&limits, tenant(number), 30_000).ok()).collect();
        assert_eq!(free.len(), 2);
    });
}

#[test]
fn a_trial_that_fails_beats_one_that_succeeds_or_comes_too_late() {
    model(|| {
        let limits = Limits { trials: 2, ..LIMITS };
        let breaker = half_open(&limits);
        let [one, other] = [1, 2].map(|number| breaker.admit(&limits, tenant(number), 30_000).unwrap());
        let record = |pass: Pass, outcome| {
            let breaker = Arc::clone(&breaker);
            move || breaker.record(&limits, pass, outcome, 30_000, 0)
        };
        assert_eq!(upstream(both(record(one, Success), record(other, TransportFailure))), 1);
        assert!(breaker.state(30_000).is_open());
    });
}

#[test]
fn a_tenants_own_breaker_opens_once_and_is_seen_without_the_lock() {
    model(|| {
        let limits = Limits { failures: 2, ..LIMITS };
        let breaker = Arc::new(Breaker::new());
        let fail = || {
            let breaker = Arc::clone(&breaker);
            move || {
                let Ok(pass) = breaker.admit(&limits, tenant(1), 0) else { return Changes::default() };
                breaker.record(&limits, pass, AnswerFailure, 0, 0)
            }
        };
        let changes = both(fail(), fail());
        assert_eq!((upstream(changes), changes.iter().filter(|changes| changes.tenant.is_some()).count()), (0, 1));
        assert_eq!(breaker.admit(&limits, tenant(1), 0).unwrap_err().scope, Scope::Tenant);
        assert!(breaker.admit(&limits, tenant(2), 0).is_ok());
    });
}

#[test]
fn no_request_is_lost_from_the_count_when_its_bucket_turns() {
    model(|| {
        let breaker = Arc::new(Breaker::new());
        let send = |number| {
            let breaker = Arc::clone(&breaker);
            move || {
                let pass = breaker.admit(&LIMITS, tenant(number), 90_000).unwrap();
                breaker.record(&LIMITS, pass, Success, 90_000, 0)
            }
        };
        both(send(1), send(2));
        assert_eq!(breaker.counts(&LIMITS, 90_000).requests, 2);
    });
}
