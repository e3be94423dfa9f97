//! What retries may cost one upstream: a share of its requests and a few a second, counted over ten seconds, by all workers
//! of the process.
//!
//! Invariant, under any race: when a retry is given away, the retries of the last ten seconds, with it, are at most the
//! share of these seconds' requests plus so many for each of these seconds. A stretch of time is covered by such windows,
//! each ending at a retry, so for any stretch: retries ≤ share × requests + per second × (length + 10 s), counting the
//! requests of the 10 s before it, too. Seconds before the budget began give nothing, so from its first second on:
//! retries ≤ share × requests + per second × seconds begun.
//!
//! A second is a bucket; a window is the current one and the nine before.

#[cfg(test)]
mod tests;

use std::{
    array,
    sync::atomic::{
        AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
};

/// Seconds that are counted together.
const WINDOW: u64 = 10;

/// What is given away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Retries per thousand requests.
    pub permille: u32,
    /// Retries a second that need no requests: an upstream with little traffic gets retries, too.
    pub per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { permille: 100, per_second: 3 }
    }
}

/// One upstream's budget. Time is milliseconds of the process's monotonic clock.
#[derive(Debug)]
pub struct Budget {
    /// The second it began in.
    began: u64,
    /// By second modulo the window: the requests of one second.
    requests: [AtomicU64; WINDOW as usize],
    /// The retries of the latest second that had any; every retry is given away by one exchange of this word, which puts
    /// them in order.
    retries: AtomicU64,
    /// By second modulo the window: the retries of seconds that are over.
    retries_before: [AtomicU64; WINDOW as usize],
}

impl Budget {
    /// A budget that begins now.
    #[must_use]
    pub fn new(now: u64) -> Self {
        let empty = || array::from_fn(|_| AtomicU64::new(0));
        let began = second(now);
        Self { began, requests: empty(), retries: AtomicU64::new(Tally::new(began, 0).0), retries_before: empty() }
    }

    /// Counts a request: once, whatever becomes of it, and never its retries.
    pub fn request(&self, now: u64) {
        let second = second(now);
        let bucket = &self.requests[index(second)];
        let mut seen = Tally(bucket.load(Relaxed));
        // one from a thread that was held up is counted in the later second that has its bucket now
        while seen.second() < second {
            match bucket.compare_exchange_weak(seen.0, Tally::new(second, 1).0, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(newer) => seen = Tally(newer),
            }
        }
        bucket.fetch_add(1, Relaxed);
    }

    /// Takes one retry out of the budget, if there is one. What is taken is not given back.
    #[must_use]
    pub fn take(&self, limits: &Limits, now: u64) -> bool {
        loop {
            let latest = self.roll(second(now));
            if !self.has_left(latest, limits) {
                return false;
            }
            let taken = Tally::new(latest.second(), latest.count() + 1);
            // it succeeds only if nobody has taken one and no second has begun since: what was counted still holds
            if self.retries.compare_exchange(latest.0, taken.0, AcqRel, Relaxed).is_ok() {
                return true;
            }
        }
    }

    /// Whether there is a retry to take: for a decision that depends on whether another attempt is possible.
    #[must_use]
    pub fn is_left(&self, limits: &Limits, now: u64) -> bool {
        self.has_left(self.roll(second(now)), limits)
    }

    /// Begins a second, unless it or a later one has begun. Returns the latest second's retries.
    fn roll(&self, second: u64) -> Tally {
        loop {
            let latest = Tally(self.retries.load(Acquire));
            if latest.second() >= second {
                return latest;
            }
            // kept before the next second begins, so whoever sees that one sees this; a late copy is never the greater
            self.retries_before[index(latest.second())].fetch_max(latest.0, AcqRel);
            // whoever fails here sees what another has begun
            let _ = self.retries.compare_exchange(latest.0, Tally::new(second, 0).0, AcqRel, Relaxed);
        }
    }

    fn has_left(&self, latest: Tally, limits: &Limits) -> bool {
        let second = latest.second();
        let past = self.retries_before.iter().map(|bucket| Tally(bucket.load(Acquire)));
        let retries = latest.count() + past.map(|past| past.within(second.saturating_sub(1), WINDOW - 1)).sum::<u64>();
        let requests =
            self.requests.iter().map(|bucket| Tally(bucket.load(Relaxed)).within(second, WINDOW)).sum::<u64>();
        let seconds = (second.saturating_sub(self.began) + 1).min(WINDOW);
        let share = requests.saturating_mul(u64::from(limits.permille));
        let allowed = share.saturating_add(u64::from(limits.per_second) * seconds * 1_000);
        (retries + 1).saturating_mul(1_000) <= allowed
    }
}

/// A second and what was counted in it, in one word: the later second is the greater, and within it the greater count.
#[derive(Clone, Copy)]
struct Tally(u64);

impl Tally {
    fn new(second: u64, count: u64) -> Self {
        Self(second << 32 | count & u64::from(u32::MAX))
    }

    fn second(self) -> u64 {
        self.0 >> 32
    }

    fn count(self) -> u64 {
        self.0 & u64::from(u32::MAX)
    }

    /// Its count, if its second is `last` or one of the `seconds` that end with it.
    fn within(self, last: u64, seconds: u64) -> u64 {
        let is_within = self.second() <= last && last - self.second() < seconds;
        if is_within { self.count() } else { 0 }
    }
}

/// Seconds are counted from 1, so that an empty bucket is of no second. The last one comes after 136 years.
fn second(now: u64) -> u64 {
    (now / 1_000 + 1).min(u64::from(u32::MAX))
}

fn index(second: u64) -> usize {
    (second % WINDOW) as usize
}
