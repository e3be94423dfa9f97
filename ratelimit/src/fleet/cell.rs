//! One key in this process: its lease, a refusal that is remembered, and what the store has yet to hear.
//!
//! Invariant: the tokens of an unexpired lease here are never more than the store counts for this process. So at most one
//! report on a lease is on its way, what it said is left can only get less until its answer is there, and an answer counts
//! only for the report that it belongs to.

use std::sync::{
    Arc, PoisonError,
    atomic::Ordering::{AcqRel, Relaxed},
};

use super::{plan::Plan, share::Share, word::Word};
use crate::{
    bucket::NOW_MAX,
    decision::{Reading, Standing},
    sync::{AtomicBool, AtomicU64, Mutex, MutexGuard},
};

mod lease;
#[cfg(all(test, loom))]
mod model;
#[cfg(test)]
mod tests;

const MILLI: u64 = 1_000_000;
const TARGET_MIN: u32 = 4;
/// A token of a lease that comes back later is lost.
const REFUND: u64 = 100 * MILLI;

/// What a cell says of a request.
#[derive(Debug)]
#[must_use]
pub enum Take {
    /// It may pass, and its token is gone.
    Taken(Taken),
    /// The store has refused the key until later.
    Denied(Standing),
    /// The store has to be asked.
    Empty,
}

/// A token. Neither copied nor cloned: nothing is given back twice.
#[derive(Debug)]
pub struct Taken {
    /// How full the bucket is without it, as far as this process knows.
    pub standing: Standing,
    pub(super) from: From,
    /// When it was taken, in nanoseconds of the process's clock.
    pub(super) at: u64,
}

/// Where a token came from.
#[derive(Debug)]
pub(super) enum From {
    /// A lease, when its word had this tag.
    Lease(u64),
    /// The store, at this microsecond of its clock.
    Direct(u64),
    /// The share of this process.
    Share,
}

/// The state of a key. What every request needs stands first, behind the counts of its `Arc`: one cache line, or two neighbours.
#[repr(C)]
pub struct Cell {
    /// Tokens of the lease, and until when.
    word: AtomicU64,
    /// The last take, within 16 ms.
    used: AtomicU64,
    /// Until when the store has refused; 0: it has not.
    denied: AtomicU64,
    /// When a bucket of the quota's shape is full.
    tat: AtomicU64,
    /// Plan that it was last used under.
    plan: AtomicU64,
    /// A report is on its way.
    claimed: AtomicBool,
    /// The store looks after it.
    listed: AtomicBool,
    cold: Mutex<Cold>,
    key: Box<str>,
    tenant: u64,
}

struct Cold {
    plan: Arc<Plan>,
    /// The last direct ask.
    asked: u64,
    share: Share,
    /// Direct tokens to give back, and when the first of them was granted by the store's clock.
    credit: u32,
    credit_at: u64,
    /// None until there is a first report on one.
    lease: Option<Box<Lease>>,
}

/// What is known of the leases of a key.
#[derive(Default)]
struct Lease {
    seq: u64,
    target: u32,
    /// The last report.
    reported: u64,
    /// The last refill brought less than was wanted: none before then.
    calm: u64,
}

/// A report on a lease that is on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) seq: u64,
    pub(super) remaining: u32,
    pub(super) target: u32,
}

/// What a cell needs of the store by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Care {
    /// Nothing now.
    Later,
    /// A refill, or a renewal.
    Refill,
    /// To give its lease back.
    HandBack,
    /// To tell what it owes or has to give back.
    Settle,
    /// Nothing any more.
    Gone,
}

impl Cell {
    /// Without a lease. `key` is that in the store, `tenant` is the same for the keys that may go in one call.
    #[must_use]
    pub fn new(plan: &Arc<Plan>, key: &str, tenant: u64, now: u64) -> Self {
        let (plan_id, plan) = (plan.id(), Arc::clone(plan));
        let cold = Cold { plan, asked: 0, share: Share::default(), credit: 0, credit_at: 0, lease: None };
        Self {
            word: AtomicU64::new(0),
            used: AtomicU64::new(now),
            denied: AtomicU64::new(0),
            tat: AtomicU64::new(0),
            plan: AtomicU64::new(plan_id),
            claimed: AtomicBool::new(false),
            listed: AtomicBool::new(false),
            cold: Mutex::new(cold),
            // a copy: what the text had room for beyond its end would be kept with it
            key: key.into(),
            tenant,
        }
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn tenant(&self) -> u64 {
        self.tenant
    }

    fn cold(&self) -> MutexGuard<'_, Cold> {
        self.cold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on under another plan, with its lease, its refusal and what it owes.
    #[inline]
    pub(super) fn follow(&self, plan: &Arc<Plan>, now: u64) {
        if self.plan.load(Relaxed) != plan.id() {
            self.change(plan, now);
        }
    }

    #[cold]
    fn change(&self, plan: &Arc<Plan>, now: u64) {
        let mut cold = self.cold();
        cold.plan = Arc::clone(plan);
        cold.share.carry(plan, now);
        if let Some(lease) = &mut cold.lease {
            lease.target = lease.target.min(plan.leased_max().max(TARGET_MIN));
        }
        // a refusal holds under the quota that it was made by: the store is asked again
        self.denied.store(0, Relaxed);
        self.plan.store(plan.id(), Relaxed);
    }

    pub(super) fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.cold().plan)
    }

    /// Takes a token of the lease. `plan` is that of the request.
    #[inline]
    pub fn take(&self, plan: &Plan, now: u64) -> Take {
        let now = now.min(NOW_MAX);
        if now.saturating_sub(self.used.load(Relaxed)) > 16 * MILLI {
            self.used.store(now, Relaxed);
        }
        // relaxed: nothing else is published by this word
        let mut seen = self.word.load(Relaxed);
        while let Some(next) = Word(seen).take(now) {
            match self.word.compare_exchange_weak(seen, next.0, Relaxed, Relaxed) {
                Ok(_) => {
                    let standing = self.standing(plan, now);
                    return Take::Taken(Taken { standing, from: From::Lease(next.tag()), at: now });
                }
                Err(changed) => seen = changed,
            }
        }
        if self.denied.load(Relaxed) > now { Take::Denied(self.standing(plan, now)) } else { Take::Empty }
    }

    /// How full the bucket is as far as this process knows, lease included.
    #[must_use]
    pub fn peek(&self, plan: &Plan, now: u64) -> Standing {
        self.standing(plan, now.min(NOW_MAX))
    }

    /// Tokens that this process holds.
    #[must_use]
    pub fn leased(&self, now: u64) -> u32 {
        Word(self.word.load(Relaxed)).tokens(now.min(NOW_MAX))
    }

    /// The same for a request that was refused: with at least an instant to wait.
    pub(super) fn peek_refused(&self, plan: &Plan, now: u64) -> Standing {
        let standing = self.standing(plan, now);
        if standing.retry() > 0 { standing } else { Standing::new(plan.quota(), now + plan.missing(1), now) }
    }

    fn standing(&self, plan: &Plan, now: u64) -> Standing {
        let denied = self.denied.load(Relaxed);
        let tokens = Word(self.word.load(Relaxed)).tokens(now);
        let leased = u64::from(tokens).saturating_mul(plan.quota().interval());
        let tat = self.tat.load(Relaxed).saturating_sub(leased);
        // at least as long as asking is of no use
        let wait = if denied > now && tokens == 0 { now + plan.missing(denied - now) } else { 0 };
        Standing::new(plan.quota(), tat.max(wait), now)
    }

    pub(super) fn direct(&self, plan: &Plan, granted_at: u64, now: u64) -> Taken {
        Taken { standing: self.standing(plan, now), from: From::Direct(granted_at), at: now }
    }

    /// Takes a token of this process's own share.
    pub(super) fn share(&self, plan: &Plan, now: u64) -> Result<Taken, Standing> {
        let taken = self.cold().share.take(plan, now);
        match taken {
            Ok(()) => Ok(Taken { standing: self.standing(plan, now), from: From::Share, at: now }),
            Err(retry) => Err(Standing::new(plan.quota(), now + plan.missing(retry), now)),
        }
    }

    /// How this process's own share stands.
    #[must_use]
    pub fn share_reading(&self, plan: &Plan, now: u64) -> Reading {
        self.cold().share.reading(plan, now.min(NOW_MAX))
    }

    /// The same of a key that has no cell.
    #[must_use]
    pub fn fresh_share(plan: &Plan, now: u64) -> Reading {
        Share::default().reading(plan, now.min(NOW_MAX))
    }

    /// Admits a request that nobody has a token for.
    pub(super) fn open(&self, plan: &Plan, now: u64) -> Taken {
        self.cold().share.spend(plan, now);
        Taken { standing: self.standing(plan, now), from: From::Share, at: now }
    }

    /// A request was admitted whose answer may come until then.
    pub(super) fn doubt(&self, until: u64) {
        self.cold().share.doubt(until);
    }

    /// The store has granted what the share has decided already.
    pub(super) fn forgive(&self) {
        self.cold().share.forgive();
    }

    /// Gives back a token because a later limit has refused the request; true: the store has to be told.
    pub(super) fn refund(&self, taken: Taken, now: u64) -> bool {
        let Taken { from, at: taken_at, .. } = taken;
        match from {
            // the store counts it as outstanding only until the next report, and until the lease is over
            From::Lease(tag) if now.saturating_sub(taken_at) <= REFUND => {
                self.give_back(tag, now);
                false
            }
            From::Lease(_) => false,
            From::Share => {
                self.forgive();
                false
            }
            From::Direct(at) => {
                self.credit(at);
                true
            }
        }
    }

    /// Puts a token back into the lease that it came from; false: that has been reported on, and the token is lost.
    fn give_back(&self, tag: u64, now: u64) -> bool {
        let back = |seen| Word(seen).give_back(tag, now).map(|word| word.0);
        self.word.fetch_update(Relaxed, Relaxed, back).is_ok()
    }

    /// A direct token that nobody has spent.
    pub(super) fn credit(&self, granted_at: u64) {
        let mut cold = self.cold();
        cold.credit_at = if cold.credit == 0 { granted_at } else { granted_at.min(cold.credit_at) };
        cold.credit = cold.credit.saturating_add(1);
        // it may be had again as soon as the store has it
        self.denied.store(0, Relaxed);
    }

    /// True: nobody looked after it yet.
    pub(super) fn list(&self) -> bool {
        // whoever finds it listed has changed it before, and who unlists it looks at it after
        !self.listed.swap(true, AcqRel)
    }

    pub(super) fn unlist(&self) -> bool {
        self.listed.swap(false, AcqRel)
    }

    #[cfg(test)]
    pub(super) fn listed(&self) -> bool {
        self.listed.load(Relaxed)
    }

    pub(super) fn has_lease(&self, now: u64) -> bool {
        Word(self.word.load(Relaxed)).tokens(now) > 0
    }

    /// Whether it is as good as a new one: unused for `idle` nanoseconds, with no lease, no refusal, and owing nothing.
    pub(super) fn is_over(&self, idle: u64, now: u64) -> bool {
        now.saturating_sub(self.used.load(Relaxed)) > idle
            && !self.listed.load(Relaxed)
            && !self.claimed.load(Relaxed)
            && self.denied.load(Relaxed) <= now
            && self.care(now) == Care::Gone
    }
}
