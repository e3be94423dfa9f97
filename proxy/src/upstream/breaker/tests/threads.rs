//! Many threads at one breaker: what the models prove of two, seen with more.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst},
    thread,
};

use super::*;

const THREADS: u64 = 8;

#[test]
fn one_thread_tells_of_each_change_and_trials_never_exceed_k() {
    for round in 0..100 {
        let limits = Limits { failures: 20, ..LIMITS };
        let rig = Rig::new(limits);
        let opened = AtomicU32::new(0);
        thread::scope(|scope| {
            for number in 0..THREADS {
                let (rig, opened) = (&rig, &opened);
                scope.spawn(move || {
                    while let Ok(pass) = rig.admit(tenant(number)) {
                        opened.fetch_add(u32::from(rig.record(pass, TransportFailure).upstream.is_some()), SeqCst);
                    }
                });
            }
        });
        assert_eq!(opened.load(SeqCst), 1, "round {round}");

        let rig = Rig { now: rig.now + limits.open_ms, ..rig };
        let [half_opened, closed, running] = [const { AtomicU32::new(0) }; 3];
        thread::scope(|scope| {
            for number in 0..THREADS {
                let (rig, half_opened, closed, running) = (&rig, &half_opened, &closed, &running);
                scope.spawn(move || {
                    while rig.state() != State::Closed {
                        let Ok(pass) = rig.admit(tenant(number)) else { continue };
                        if !pass.is_trial() {
                            continue;
                        }
                        half_opened.fetch_add(u32::from(pass.changes().upstream.is_some()), SeqCst);
                        assert!(running.fetch_add(1, SeqCst) < limits.trials);
                        thread::yield_now();
                        running.fetch_sub(1, SeqCst);
                        closed.fetch_add(u32::from(rig.record(pass, Success).upstream.is_some()), SeqCst);
                    }
                });
            }
        });
        assert_eq!((half_opened.load(SeqCst), closed.load(SeqCst)), (1, 1), "round {round}");
    }
}

#[test]
fn no_request_is_lost_from_the_count_while_buckets_turn() {
    let breaker = Arc::new(Breaker::new());
    let limits = Limits { window_ms: 1_000, ..LIMITS };
    let clock = AtomicU64::new(1_000_000);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (breaker, clock) = (&breaker, &clock);
            scope.spawn(move || {
                // all threads together stay within one window
                for request in 0..5_000 {
                    let step = u64::from(request % 50 == 0);
                    let now = clock.fetch_add(step, SeqCst);
                    let pass = breaker.admit(&limits, tenant(number), now).unwrap();
                    breaker.record(&limits, pass, Success, now, 0);
                }
            });
        }
    });
    let counts = breaker.counts(&limits, clock.load(SeqCst));
    assert_eq!(counts.requests, THREADS * 5_000);
}
