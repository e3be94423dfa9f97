//! Tenants whose requests have gone elsewhere than to their owner.
//!
//! Invariant: from the first such request until [`BYPASS`] after the first one that goes to the owner again, a tenant is
//! absent; and while there is no room to remember one, everybody is. Where nobody is absent, that costs one load.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicU64, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
    },
    time::{Duration, Instant},
};

use crate::upstream::concurrency::TenantKey;

/// How long the owner looks and keeps nothing for a tenant that has come back to it. By then it has been told.
pub const BYPASS: Duration = Duration::from_secs(5);
/// How long one is remembered who does not come back.
pub(super) const REMEMBERED: Duration = Duration::from_secs(60 * 60);
const SHARDS: usize = 16;
/// Tenants that are remembered in each shard.
const SHARD_MAX: usize = 1_024;

/// Tenants whose requests have gone elsewhere than to their owner.
pub struct Absences {
    started: Instant,
    shards: [Mutex<HashMap<TenantKey, Absent>>; SHARDS],
    /// Tenants in all shards, and one more while everybody is absent.
    count: AtomicUsize,
    /// Until when everybody is, in nanoseconds since `started`; 0: nobody who is not named.
    everybody: AtomicU64,
    overflows: AtomicU64,
}

struct Absent {
    /// Requests that are elsewhere now.
    away: u32,
    /// When the last one was.
    last: Instant,
    /// When the first one went to the owner since.
    back: Option<Instant>,
}

impl Default for Absences {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            shards: Default::default(),
            count: AtomicUsize::new(0),
            everybody: AtomicU64::new(0),
            overflows: AtomicU64::new(0),
        }
    }
}

/// A request that is elsewhere, for as long as this is kept.
pub struct Absence<'a> {
    absences: &'a Absences,
    key: TenantKey,
}

impl Absences {
    /// A request goes elsewhere.
    pub fn leave(&self, key: TenantKey, now: Instant) -> Absence<'_> {
        self.note(key, now, true);
        Absence { absences: self, key }
    }

    /// Whether the owner, to which a request goes now, is to look and keep nothing.
    #[must_use]
    pub fn is_absent(&self, key: TenantKey) -> bool {
        self.count.load(Acquire) > 0 && self.is_named(key, Instant::now())
    }

    fn is_named(&self, key: TenantKey, now: Instant) -> bool {
        if self.nanos(now) < self.everybody.load(Acquire) {
            return true;
        }
        let mut shard = self.shard(key);
        let Some(absent) = shard.get_mut(&key) else { return false };
        if absent.away > 0 {
            return true;
        }
        now.saturating_duration_since(*absent.back.get_or_insert(now)) < BYPASS
    }

    /// Forgets those who have long been back, or will not come.
    pub fn tidy(&self, now: Instant) {
        if self.count.load(Relaxed) == 0 {
            return;
        }
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let before = shard.len();
            shard.retain(|_, absent| {
                let since = |then: Instant| now.saturating_duration_since(then);
                absent.away > 0 || absent.back.map_or(since(absent.last) < REMEMBERED, |back| since(back) < BYPASS)
            });
            self.count.fetch_sub(before - shard.len(), AcqRel);
        }
        let until = self.everybody.load(Acquire);
        let is_over = until != 0 && until <= self.nanos(now);
        if is_over && self.everybody.compare_exchange(until, 0, AcqRel, Relaxed).is_ok() {
            self.count.fetch_sub(1, AcqRel);
        }
    }

    /// Tenants that are remembered, and times that there was no room for one.
    #[must_use]
    pub fn held(&self) -> (usize, u64) {
        let everybody = usize::from(self.everybody.load(Relaxed) != 0);
        (self.count.load(Relaxed).saturating_sub(everybody), self.overflows.load(Relaxed))
    }

    fn note(&self, key: TenantKey, now: Instant, leaves: bool) {
        let mut shard = self.shard(key);
        let is_known = shard.contains_key(&key);
        if !is_known && (shard.len() >= SHARD_MAX || !leaves) {
            drop(shard);
            return self.note_everybody(now);
        }
        let absent = shard.entry(key).or_insert_with(|| Absent { away: 0, last: now, back: None });
        absent.away = if leaves { absent.away.saturating_add(1) } else { absent.away.saturating_sub(1) };
        (absent.last, absent.back) = (now, None);
        if !is_known {
            self.count.fetch_add(1, AcqRel);
        }
    }

    fn note_everybody(&self, now: Instant) {
        self.overflows.fetch_add(1, Relaxed);
        let until = self.nanos(now + BYPASS);
        // counted first: who sees the count finds the time, or the shard as it was
        self.count.fetch_add(1, AcqRel);
        if self.everybody.fetch_max(until, AcqRel) != 0 {
            self.count.fetch_sub(1, AcqRel);
        }
    }

    fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.started).as_nanos()).unwrap_or(u64::MAX)
    }

    fn shard(&self, key: TenantKey) -> MutexGuard<'_, HashMap<TenantKey, Absent>> {
        self.shards[key.half() as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Absence<'_> {
    fn drop(&mut self) {
        self.absences.note(self.key, Instant::now(), false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u128) -> TenantKey {
        TenantKey::new(number << 64 | number)
    }

    #[test]
    fn a_tenant_is_absent_until_a_while_after_it_came_back() {
        let absences = Absences::default();
        assert!(!absences.is_absent(key(1)));
        let absence = absences.leave(key(1), Instant::now());
        let at = |seconds| Instant::now() + Duration::from_secs(seconds);
        assert!(absences.is_named(key(1), at(100)) && !absences.is_named(key(2), at(100)));
        absences.tidy(at(100_000));
        assert!(absences.is_named(key(1), at(100_000)), "one request is still elsewhere");
        drop(absence);
        let back = at(1_000);
        assert!(absences.is_absent(key(1)));
        absences.leave(key(1), Instant::now());
        for (after, expected) in [(0, true), (4_999, true), (5_000, false)] {
            let now = back + Duration::from_millis(after);
            assert_eq!(absences.is_named(key(1), now), expected, "{after} ms after it came back");
        }
        absences.leave(key(1), Instant::now());
        assert!(absences.is_named(key(1), back + BYPASS), "it went away again");
        assert_eq!(absences.held(), (1, 0));
        absences.tidy(back + BYPASS * 2);
        assert_eq!(absences.held().0, 0);
        absences.leave(key(1), Instant::now());
        absences.tidy(at(10));
        assert_eq!(absences.held().0, 1, "it has not come back");
        absences.tidy(Instant::now() + REMEMBERED + BYPASS);
        assert_eq!(absences.held().0, 0, "it will not");
    }

    #[test]
    fn beyond_what_is_remembered_everybody_is_absent_for_a_while() {
        let absences = Absences::default();
        for number in 0..(SHARDS * SHARD_MAX) as u128 {
            absences.leave(key(number), Instant::now());
        }
        let stranger = key(1 << 40 | 5);
        assert!(!absences.is_absent(stranger));
        let absence = absences.leave(key(1 << 40), Instant::now());
        assert!(absences.is_absent(stranger));
        absences.tidy(Instant::now() + BYPASS);
        drop(absence);
        let now = Instant::now();
        assert!(absences.is_named(stranger, now), "it has only come back now");
        assert_eq!(absences.held(), (SHARDS * SHARD_MAX, 2));
        absences.tidy(now + BYPASS * 2);
        assert!(!absences.is_named(stranger, now + BYPASS * 2));
        absences.tidy(now + REMEMBERED * 2);
        assert_eq!(absences.count.load(Relaxed), 0, "nothing is left");
    }
}
