//! One bucket: a word that governor decides by, and what a change of quota makes of it.
//!
//! Invariant: the word is the theoretical arrival time (TAT) of the generic cell rate algorithm, the nanosecond at which
//! the bucket is full again. That is governor's own format: a `StateStore` keeps its `Nanos` since the limiter's start,
//! and here every limiter starts at 0.

use std::{
    cell::Cell,
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use governor::{
    RateLimiter,
    clock::Clock,
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{NotKeyed, StateStore},
};

use crate::quota::Quota;

/// Latest instant that counts, in nanoseconds (146 years): with the longest bucket on top it still fits its word.
pub(crate) const NOW_MAX: u64 = 1 << 62;

/// Size and speed of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Nanoseconds until a token comes back; at least 1.
    pub(crate) interval: u64,
    /// Tokens of a full one; at least 1.
    pub(crate) burst: u32,
}

impl Shape {
    pub(crate) fn of(quota: Quota) -> Self {
        Self { interval: quota.interval(), burst: quota.burst() }
    }

    /// Nanoseconds from empty to full.
    pub(crate) fn fill(self) -> u64 {
        self.interval.saturating_mul(u64::from(self.burst))
    }

    pub(crate) fn governor(self) -> governor::Quota {
        // an interval is never 0
        let quota = governor::Quota::with_period(Duration::from_nanos(self.interval));
        let burst = NonZeroU32::new(self.burst).unwrap_or(NonZeroU32::MIN);
        quota.unwrap_or(governor::Quota::per_second(NonZeroU32::MIN)).allow_burst(burst)
    }

    /// The TAT under this shape of a bucket that had `tat` under `old`: as many tokens are missing as were, and of a bucket
    /// that grows also those that it has grown by.
    ///
    /// So no window that the change falls into admits more than it would under the more generous of both quotas. (Of a
    /// window's requests at most `missing + elapsed / old interval` came before the change, and what comes after is at most
    /// `burst - missing + rest / new interval`.) A bucket that gets slower is at worst empty; one that gets faster may miss
    /// more than it holds, or a large burst before the change and a high rate after it would add up.
    pub(crate) fn carry(self, old: Self, tat: u64, now: u64) -> u64 {
        let missing = u128::from(tat.saturating_sub(now));
        let missing = (missing * u128::from(self.interval)).div_ceil(u128::from(old.interval));
        let grown = u128::from(self.burst.saturating_sub(old.burst)) * u128::from(self.interval);
        let missing = u64::try_from(missing + grown).unwrap_or(NOW_MAX);
        now + if self.interval < old.interval { missing.min(NOW_MAX) } else { missing.min(self.fill()) }
    }

    /// The same of the keys that have no cell, because nobody has drawn from them or they were full again: what is there for
    /// them stays there, as far as the bucket holds it, and what the bucket has grown by is missing. So they never have more
    /// than they had before a change, whatever they spent until then; and a bucket that shrinks misses nothing.
    pub(crate) fn carry_fresh(self, old: Self, tat: u64, now: u64) -> u64 {
        let missing = tat.saturating_sub(now).div_ceil(old.interval);
        let there = u64::from(old.burst).saturating_sub(missing);
        let missing = u64::from(self.burst).saturating_sub(there);
        now + missing.saturating_mul(self.interval).min(self.fill())
    }
}

/// Takes a token; the TAT with it.
///
/// # Errors
/// There is none; the TAT as it is.
pub(crate) fn take(tat: &AtomicU64, quota: governor::Quota, now: u64) -> Result<u64, u64> {
    let bucket = Word { tat, seen: Cell::new(0) };
    let limiter: RateLimiter<_, _, _, NoOpMiddleware<Nanos>> = RateLimiter::new(quota, bucket, Told(Cell::new(0)));
    limiter.clock().0.set(now);
    let allowed = limiter.check().is_ok();
    let seen = limiter.into_state_store().seen.get();
    if allowed { Ok(seen) } else { Err(seen) }
}

/// Makes the bucket full this many nanoseconds earlier.
pub(crate) fn give_back(tat: &AtomicU64, amount: u64) {
    // the closure always answers, so there is no error
    let _ = tat.fetch_update(Relaxed, Relaxed, |tat| Some(tat.saturating_sub(amount)));
}

/// Reads what it is told.
struct Told(Cell<u64>);

impl Clock for Told {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.get().into()
    }
}

struct Word<'a> {
    tat: &'a AtomicU64,
    /// The TAT after the decision.
    seen: Cell<u64>,
}

impl StateStore for Word<'_> {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        // relaxed: nothing else is published by this word
        let mut tat = self.tat.load(Relaxed);
        loop {
            self.seen.set(tat);
            let (taken, next) = decide(Some(tat.into()))?;
            match self.tat.compare_exchange_weak(tat, next.into(), Relaxed, Relaxed) {
                Ok(_) => {
                    self.seen.set(next.into());
                    return Ok(taken);
                }
                Err(changed) => tat = changed,
            }
        }
    }
}
