//! A limit that one process counts alone.
//!
//! Invariant: of the requests that it allows for a key and that are not refunded at most n fall into any half-open window of
//! the quota's length, in whatever order the instants come.

#[cfg(test)]
mod tests;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::{
    bucket::{self, NOW_MAX, Shape},
    cells::{Cells, Charged, Wanted},
    decision::{Decision, Standing, Taken},
    key::{Key, Keys},
    quota::Quota,
};

/// One quota for the keys of one limit.
///
/// `now` is in nanoseconds of one clock of the process that does not go back; a step back of it gives nobody a token.
///
/// A key without room for a cell of its own draws from one that it shares with all such keys of its tenant in this limit,
/// and if there is none for those either, from one shared by all of them: together they get one quota. The keys that have
/// cells, and other tenants, do not notice.
pub struct Limiter {
    quota: Quota,
    shape: Shape,
    governor: governor::Quota,
    keys: Keys,
    cells: Arc<Cells>,
    fresh: u64,
    /// TAT of the keys that have no cell, nor a shared one.
    crowd: AtomicU64,
}

impl Limiter {
    /// With full buckets. `keys` are those of the limit; limiters of several quotas may share `keys` and `cells`, such as
    /// those of several tiers: a key that goes from one to the other keeps what it has spent.
    #[must_use]
    pub fn new(quota: Quota, keys: Keys, cells: Arc<Cells>) -> Self {
        let shape = Shape::of(quota);
        Self { quota, shape, governor: shape.governor(), keys, cells, fresh: 0, crowd: AtomicU64::new(0) }
    }

    /// The limiter of another quota in place of this one. Buckets are kept, and change their shape when they are next drawn
    /// from: as many tokens are missing as before, and if the burst has grown, those too that it has grown by.
    ///
    /// A window that the change falls into admits what the more generous of both quotas does; never does anybody get a fresh
    /// bucket. A quota that is raised helps at once: what is missing comes back at the new rate.
    #[must_use]
    pub fn with_quota(&self, quota: Quota, now: u64) -> Self {
        let (shape, now) = (Shape::of(quota), now.min(NOW_MAX));
        let carry = |tat| if shape == self.shape { tat } else { shape.carry(self.shape, tat, now) };
        Self {
            quota,
            shape,
            governor: shape.governor(),
            keys: self.keys.clone(),
            cells: Arc::clone(&self.cells),
            fresh: if shape == self.shape { self.fresh } else { shape.carry_fresh(self.shape, self.fresh, now) },
            crowd: AtomicU64::new(carry(self.crowd.load(Relaxed))),
        }
    }

    /// Its quota.
    #[must_use]
    pub fn quota(&self) -> Quota {
        self.quota
    }

    /// Whether a key that has no cell finds a full bucket, so that this limiter is like a new one of its quota. One that was
    /// made by [`with_quota`](Self::with_quota) is not while what its bucket has grown by is missing.
    #[must_use]
    pub fn is_settled(&self, now: u64) -> bool {
        let now = now.min(NOW_MAX);
        self.fresh <= now && self.crowd.load(Relaxed) <= now
    }

    /// Takes a token for a request of this key.
    #[inline]
    pub fn decide(&self, key: Key, now: u64) -> Decision {
        let now = now.min(NOW_MAX);
        let take = |tat: &AtomicU64, now| (bucket::take(tat, self.governor, now), now);
        let wanted = Wanted { keys: &self.keys, shape: self.shape, fresh: self.fresh };
        let charged = self.cells.charge(key, &wanted, now, take);
        let ((taken, now), charged) = charged.unwrap_or_else(|| (take(&self.crowd, now), Charged::Limiter));
        let standing = |tat| Standing::new(self.quota, tat, now);
        match taken {
            Ok(tat) => Decision::Allowed(Taken { standing: standing(tat), tat, charged }),
            Err(tat) => Decision::Refused(standing(tat)),
        }
    }

    /// Gives back a token of this key because a later limit has refused the request.
    ///
    /// Not what has come back by itself since: a bucket that was full in between gets nothing. Where several requests of a
    /// key are refunded late, a window may admit what one longer by that delay would; at the same instant refunds are exact.
    pub fn refund(&self, key: Key, taken: Taken, now: u64) {
        let (now, Taken { tat, charged, .. }) = (now.min(NOW_MAX), taken);
        let amount = |now: u64| tat.saturating_sub(now).min(self.shape.interval);
        match charged {
            Charged::Own => self.cells.give_back(key, self.shape, now, amount),
            Charged::Tenant => self.cells.give_back(self.keys.shared(key.tenant), self.shape, now, amount),
            Charged::Limiter => bucket::give_back(&self.crowd, amount(now)),
        }
    }

    /// How full the bucket of this key is; that of a key without a cell is full.
    #[must_use]
    pub fn peek(&self, key: Key, now: u64) -> Standing {
        let now = now.min(NOW_MAX);
        let (tat, now) = match self.cells.standing(key, now) {
            Some((shape, tat, now)) if shape == self.shape => (tat, now),
            Some((shape, tat, now)) => (self.shape.carry(shape, tat, now), now),
            None => (self.fresh, now),
        };
        Standing::new(self.quota, tat, now)
    }
}
