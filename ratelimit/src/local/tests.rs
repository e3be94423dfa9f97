use std::{
    sync::{Barrier, atomic::AtomicUsize},
    thread,
    time::Duration,
};

use proptest::prelude::*;

use super::*;
use crate::{cells::Caps, key::Secret};

mod change;
mod refund;
mod room;

const SECOND: u64 = 1_000_000_000;

fn quota(requests: u32, seconds: u64, burst: u32) -> Quota {
    Quota::new(requests, Duration::from_secs(seconds), Some(burst)).unwrap()
}

fn limiter_in(quota: Quota, caps: Caps) -> Limiter {
    Limiter::new(quota, Keys::new(&Secret::new([9; 32]), "user"), Arc::new(Cells::new(caps)))
}

fn limiter(quota: Quota) -> Limiter {
    limiter_in(quota, Caps::default())
}

fn key(tenant: &str, user: u32) -> Key {
    let secret = Secret::new([9; 32]);
    Keys::new(&secret, "user").key(secret.tenant(tenant), &[&user.to_le_bytes()])
}

/// Most of these instants that one half-open window of `window` nanoseconds holds.
fn most(instants: &[u64], window: u64) -> usize {
    let mut instants = instants.to_vec();
    instants.sort_unstable();
    let end = |from: u64| instants.partition_point(|&at| at < from + window);
    (0..instants.len()).map(|first| end(instants[first]) - first).max().unwrap_or(0)
}

/// What a window of any length may hold: R W + B, in whole requests at whole nanoseconds.
fn bound(quota: Quota, window: u64) -> usize {
    (u64::from(quota.burst()) + (window - 1) / quota.interval()) as usize
}

fn window(quota: Quota) -> u64 {
    quota.window().as_nanos() as u64
}

prop_compose! {
    fn quotas()(requests in 1..=40_u32, seconds in 1..=10_u64)
        (burst in 1..=requests, requests in Just(requests), seconds in Just(seconds)) -> Quota {
        quota(requests, seconds, burst)
    }
}

/// A step of time: thousandths of an interval, and nanoseconds on top.
fn steps(from: i64) -> impl Strategy<Value = Vec<(i64, i64)>> {
    let thousandths = prop_oneof![4 => Just(0), 2 => Just(1_000), 4 => from..1_500, 1 => from * 10..30_000];
    prop::collection::vec((thousandths, -1..=1_i64), 1..300)
}

fn step(now: u64, quota: Quota, (thousandths, more): (i64, i64)) -> u64 {
    now.saturating_add_signed(quota.interval() as i64 / 1_000 * thousandths + more)
}

/// The instants at which requests passed.
fn admitted(limiter: &Limiter, instants: impl IntoIterator<Item = u64>) -> Vec<u64> {
    instants.into_iter().filter(|&now| limiter.decide(key("a", 1), now).is_allowed()).collect()
}

#[test]
fn low_limits_are_exact() {
    let every_millisecond = |seconds: u64| (0..seconds * 1_000).map(|at| 5 * SECOND + at * 1_000_000);
    // one each 12 s, each 60 s; 50 at once and 450 more before the minute is over
    for (quota, in_a_minute, in_three) in [
        (quota(5, 60, 1), 5, 15),
        (quota(1, 60, 1), 1, 3),
        (quota(500, 60, 50), 500, 50 + 3 * 451 - 1),
        (quota(500, 60, 500), 500, 502),
        (quota(60, 60, 60), 60, 62),
    ] {
        assert_eq!(admitted(&limiter(quota), every_millisecond(60)).len(), in_a_minute, "{quota:?}");
        let passed = admitted(&limiter(quota), every_millisecond(180));
        assert_eq!(passed.len(), in_three, "{quota:?}");
        assert_eq!(most(&passed, window(quota)), in_a_minute, "{quota:?}");
    }
}

#[test]
fn what_is_refused_passes_at_the_instant_it_was_told_and_not_before() {
    for quota in [quota(5, 60, 1), quota(500, 60, 50), quota(7, 1, 7)] {
        let limiter = limiter(quota);
        let mut now = 1_234_567_891;
        for _ in 0..100 {
            let (Decision::Refused(at) | Decision::Allowed(Taken { standing: at, .. })) =
                limiter.decide(key("a", 1), now);
            assert_eq!(at.retry() == 0, at.remaining() > 0, "{at:?}");
            if at.retry() > 0 {
                assert!(!limiter.decide(key("a", 1), now + at.retry() - 1).is_allowed(), "{quota:?}");
                now += at.retry();
                assert!(limiter.decide(key("a", 1), now).is_allowed(), "{quota:?}");
            }
        }
    }
}

#[test]
fn an_instant_beyond_all_clocks_is_an_instant_like_others() {
    let limiter = limiter(Quota::new(3_650, Duration::from_secs(86_400), Some(3_650)).unwrap());
    for _ in 0..3_650 {
        assert!(limiter.decide(key("a", 1), u64::MAX).is_allowed());
    }
    assert!(!limiter.decide(key("a", 1), u64::MAX).is_allowed());
    assert_eq!(limiter.with_quota(quota(500, 60, 50), u64::MAX).peek(key("a", 1), u64::MAX).remaining(), 0);
}

#[test]
fn a_look_takes_nothing_and_sees_what_a_decision_would() {
    let limiter = limiter(quota(5, 60, 5));
    let user = key("a", 1);
    for taken in 0..5 {
        assert_eq!(limiter.peek(user, SECOND), limiter.peek(user, SECOND));
        assert_eq!(limiter.peek(user, SECOND).remaining(), 5 - taken);
        let decision = limiter.decide(user, SECOND);
        assert_eq!(decision.standing(), &limiter.peek(user, SECOND));
    }
    let empty = limiter.peek(user, SECOND);
    assert_eq!((empty.remaining(), empty.retry_seconds(), empty.reset_seconds()), (0, 60, 300));
    assert!(!limiter.decide(user, SECOND).is_allowed());
}

#[test]
fn threads_that_hammer_one_key_get_what_one_thread_gets() {
    // one token comes back in the second that passes while they hammer
    let limiter = limiter(quota(1_000_000, 1, 1_000_000));
    let (passed, start) = (AtomicUsize::new(0), Barrier::new(4));
    thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                start.wait();
                let mine =
                    (0..500_000).filter(|at| limiter.decide(key_of_all(), SECOND * (1 + at / 250_000)).is_allowed());
                passed.fetch_add(mine.count(), Relaxed);
            });
        }
    });
    assert_eq!(passed.into_inner(), 1_000_001);
}

/// Made once: hashing would keep the threads apart.
fn key_of_all() -> Key {
    Key::from_u128(7 << 64 | 7)
}

#[test]
fn an_instant_before_a_sweep_counts_as_that_of_the_sweep() {
    let limiter = limiter(quota(1, 60, 1));
    assert!(limiter.decide(key("a", 1), 0).is_allowed());
    limiter.cells.sweep(Cells::SHARDS, 60 * SECOND);
    // read before the sweep, decided after it
    assert!(limiter.decide(key("a", 1), 59 * SECOND).is_allowed());
    assert!(!limiter.decide(key("a", 1), 119 * SECOND).is_allowed());
    assert!(limiter.decide(key("a", 1), 120 * SECOND).is_allowed());
}

proptest! {
    /// The generic cell rate algorithm as a bucket: tokens in nanoseconds, filled by the clock.
    #[test]
    fn it_lets_pass_what_a_bucket_of_tokens_would(quota in quotas(), steps in steps(0)) {
        let limiter = limiter(quota);
        let full = quota.interval() * u64::from(quota.burst());
        let (mut now, mut level) = (1, full);
        for at in steps {
            let later = step(now, quota, at).max(now);
            level = (level + later - now).min(full);
            now = later;
            let passes = level >= quota.interval();
            prop_assert_eq!(limiter.decide(key("a", 1), now).is_allowed(), passes);
            level -= if passes { quota.interval() } else { 0 };
            prop_assert_eq!(limiter.peek(key("a", 1), now).remaining(), (level / quota.interval()) as u32);
        }
    }

    #[test]
    fn no_window_admits_more_than_the_quota_in_whatever_order_the_clock_reads(
        quota in quotas(), steps in steps(-1_500), any in 1..30 * SECOND
    ) {
        let mut now = 100 * SECOND;
        let instants = steps.into_iter().map(|at| { now = step(now, quota, at); now });
        let passed = admitted(&limiter(quota), instants);
        prop_assert!(most(&passed, window(quota)) <= quota.requests() as usize);
        prop_assert!(most(&passed, any) <= bound(quota, any));
    }

    #[test]
    fn a_clock_that_jumps_back_gives_nobody_a_token(quota in quotas(), steps in steps(-1_500), sweep in 1..20_usize) {
        let limiter = limiter(quota);
        let (mut now, mut latest, mut passed) = (100 * SECOND, 0, 0);
        let mut first = None;
        for (at, by) in steps.into_iter().enumerate() {
            now = step(now, quota, by);
            if at % sweep == 0 {
                limiter.cells.sweep(Cells::SHARDS, now);
                latest = now.max(latest);
            }
            if limiter.decide(key("a", 1), now).is_allowed() {
                latest = now.max(latest);
                passed += 1;
                let elapsed = latest - *first.get_or_insert(now);
                prop_assert!(passed <= bound(quota, elapsed + 1), "{} within {} ns", passed, elapsed);
            }
        }
    }

    #[test]
    fn a_sweep_changes_no_decision(quota in quotas(), steps in steps(0), sweep in 1..20_usize) {
        let (swept, kept) = (limiter(quota), limiter(quota));
        let mut now = 1;
        for (at, by) in steps.into_iter().enumerate() {
            now = step(now, quota, by).max(now);
            if at % sweep == 0 {
                swept.cells.sweep(Cells::SHARDS, now);
            }
            prop_assert_eq!(swept.decide(key("a", 1), now), kept.decide(key("a", 1), now));
        }
    }
}
