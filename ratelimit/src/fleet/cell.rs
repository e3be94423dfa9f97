//! One key in this process: its lease, a refusal that is remembered, and what the store has yet to hear.
//!
//! Invariant: the tokens of an unexpired lease here are never more than the store counts for this process. So at most one
//! report on a lease is on its way, what it said is left can only get less until its answer is there, and an answer counts
//! only for the report that it belongs to.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{
        AtomicBool, AtomicU64,
        Ordering::{AcqRel, Relaxed},
    },
};

use super::{
    plan::{LEASE_LIFE, LEASE_MARGIN, LEASE_MAX, Plan},
    script::{Answer, Ask},
    share::Share,
    word::Word,
};
use crate::{bucket::NOW_MAX, decision::Standing};

#[cfg(test)]
mod tests;

const MILLI: u64 = 1_000_000;
/// A lease of which nothing was taken for so long goes back.
const IDLE: u64 = 500 * MILLI;
/// Before a lease is over by so much it is renewed or goes back.
const RENEWED: u64 = 400 * MILLI;
/// Shortest time between two direct asks of a key that makes it worth a lease: 2 requests a second.
const RARE: u64 = 500 * MILLI;
/// A refusal of a key in lease mode lasts at least so long, or each token would be asked for by itself.
const CALM: u64 = 10 * MILLI;
/// A lease that lasts shorter is too small, one that lasts longer than the second too large.
const SHORT: u64 = 250 * MILLI;
const LONG: u64 = 1_000 * MILLI;
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

/// The state of a key.
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
    seq: u64,
    target: u32,
    /// The last report, and the last direct ask.
    reported: u64,
    asked: u64,
    /// The last refill brought less than was wanted: none before then.
    calm: u64,
    share: Share,
    /// Until then an answer may come late to a request that was decided without it: its debt waits.
    doubt: u64,
    /// Direct tokens to give back, and when the first of them was granted by the store's clock.
    credit: (u32, u64),
}

impl Cold {
    fn owes(&self, now: u64) -> bool {
        self.share.owes() && now >= self.doubt
    }
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
    pub fn new(plan: &Arc<Plan>, key: String, tenant: u64, now: u64) -> Self {
        let cold = Cold {
            plan: Arc::clone(plan),
            seq: 0,
            target: TARGET_MIN,
            reported: 0,
            asked: 0,
            calm: 0,
            share: Share::default(),
            doubt: 0,
            credit: (0, 0),
        };
        Self {
            word: AtomicU64::new(0),
            used: AtomicU64::new(now),
            denied: AtomicU64::new(0),
            tat: AtomicU64::new(0),
            plan: AtomicU64::new(plan.id()),
            claimed: AtomicBool::new(false),
            listed: AtomicBool::new(false),
            cold: Mutex::new(cold),
            key: key.into_boxed_str(),
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
        cold.target = cold.target.min(plan.leased_max().max(TARGET_MIN));
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

    /// Admits a request that nobody has a token for.
    pub(super) fn open(&self, plan: &Plan, now: u64) -> Taken {
        self.cold().share.spend(plan, now);
        Taken { standing: self.standing(plan, now), from: From::Share, at: now }
    }

    /// A request was admitted whose answer may come until then.
    pub(super) fn doubt(&self, until: u64) {
        let doubt = &mut self.cold().doubt;
        *doubt = until.max(*doubt);
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
                let back = |seen| Word(seen).give_back(tag, now).map(|word| word.0);
                let _ = self.word.fetch_update(Relaxed, Relaxed, back);
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

    /// A direct token that nobody has spent.
    pub(super) fn credit(&self, granted_at: u64) {
        let (count, first) = &mut self.cold().credit;
        *first = if *count == 0 { granted_at } else { granted_at.min(*first) };
        *count = count.saturating_add(1);
        // it may be had again as soon as the store has it
        self.denied.store(0, Relaxed);
    }

    /// What to ask the store for `direct` tokens, with a report if none is on its way and a lease is worth it, and with all
    /// that it has yet to hear.
    pub(super) fn ask(&self, plan: &Plan, direct: u32, now: u64) -> (Ask, Option<Report>) {
        let mut cold = self.cold();
        let worth = plan.is_leased() && direct > 0 && (direct > 1 || now.saturating_sub(cold.asked) < RARE);
        cold.asked = now;
        let report = if worth { self.claim(&mut cold, plan, Care::Refill, now) } else { None };
        (self.fill(&mut cold, direct, report, now), report)
    }

    /// The same for what the store does by itself.
    pub(super) fn ask_care(&self, plan: &Plan, care: Care, now: u64) -> (Ask, Option<Report>) {
        let mut cold = self.cold();
        let report = self.claim(&mut cold, plan, care, now);
        (self.fill(&mut cold, 0, report, now), report)
    }

    fn fill(&self, cold: &mut Cold, direct: u32, report: Option<Report>, now: u64) -> Ask {
        let (credit, credit_at) = std::mem::take(&mut cold.credit);
        let Report { seq, remaining, target } = report.unwrap_or_default();
        let debit = if cold.owes(now) { cold.share.settle(now) } else { 0 };
        Ask { direct, debit, credit, credit_at, seq, remaining, target }
    }

    fn claim(&self, cold: &mut Cold, plan: &Plan, care: Care, now: u64) -> Option<Report> {
        if !matches!(care, Care::Refill | Care::HandBack) || self.claimed.swap(true, Relaxed) {
            return None;
        }
        // above that of any cell that this key had in this process before
        cold.seq = (cold.seq + 1).max(now / 1_000);
        let target_max = plan.leased_max().clamp(TARGET_MIN, LEASE_MAX);
        let lasted = now.saturating_sub(cold.reported);
        if lasted < SHORT {
            cold.target = cold.target.saturating_mul(2);
        } else if lasted > LONG {
            cold.target /= 2;
        }
        cold.target = cold.target.clamp(TARGET_MIN, target_max);
        cold.reported = now;
        let hands_back = care == Care::HandBack;
        let mut remaining = 0;
        let _ = self.word.fetch_update(Relaxed, Relaxed, |seen| {
            remaining = Word(seen).tokens(now);
            Some(Word(seen).retag(!hands_back).0)
        });
        Some(Report { seq: cold.seq, remaining, target: if hands_back { 0 } else { cold.target } })
    }

    /// The answer to what was asked at `sent`.
    pub(super) fn answered(&self, plan: &Plan, ask: Ask, report: Option<Report>, answer: Answer, sent: u64, now: u64) {
        let mut cold = self.cold();
        cold.share.answered(answer.recent, now);
        let full = self.tat_of(plan, answer.missing, now);
        self.tat.store(full, Relaxed);
        if let Some(report) = report {
            let lost = report.remaining.saturating_sub(answer.kept);
            let expires = sent.saturating_add((LEASE_LIFE - LEASE_MARGIN).as_nanos() as u64);
            let _ = self.word.fetch_update(Relaxed, Relaxed, |seen| {
                let tokens = Word(seen).tokens(now).saturating_sub(lost).saturating_add(answer.granted);
                Some(Word(seen).lease(tokens.min(LEASE_MAX), expires).0)
            });
            self.claimed.store(false, Relaxed);
            let wanted = report.target.saturating_sub(answer.kept);
            if answer.granted < wanted.min(TARGET_MIN) {
                cold.calm = now + 5 * CALM;
            }
        }
        if ask.direct > answer.direct && answer.granted == 0 {
            let retry = (answer.missing * 1_000 + plan.interval()).saturating_sub(plan.fill());
            // nothing is lost by coming later if the bucket holds what comes until then
            let holds = plan.is_leased() && plan.interval().saturating_mul(u64::from(plan.burst())) > 20 * CALM;
            let calm = if holds { CALM } else { 0 };
            self.denied.store(now + retry.max(calm), Relaxed);
        } else if answer.direct > 0 || answer.granted > 0 {
            self.denied.store(0, Relaxed);
        }
    }

    /// When a bucket of the quota's shape would be full, such that its next token comes when the store's does.
    fn tat_of(&self, plan: &Plan, missing: u64, now: u64) -> u64 {
        let empty = plan.fill() - plan.interval();
        (now + missing.saturating_mul(1_000) + plan.missing(0)).saturating_sub(empty)
    }

    /// What was asked has no answer: the lease is as it was, but for what it got that nobody knows of.
    pub(super) fn unanswered(&self, ask: Ask, report: Option<Report>) {
        let mut cold = self.cold();
        cold.share.unsettle(ask.debit);
        if report.is_some() {
            self.claimed.store(false, Relaxed);
        }
    }

    /// What it needs of the store by itself.
    pub(super) fn care(&self, now: u64) -> Care {
        let cold = self.cold();
        let word = Word(self.word.load(Relaxed));
        let (tokens, idle) = (word.tokens(now), now.saturating_sub(self.used.load(Relaxed)) > IDLE);
        let claimed = self.claimed.load(Relaxed);
        if tokens > 0 && !claimed {
            if idle {
                return Care::HandBack;
            }
            let over = word.expires().saturating_sub(now) < RENEWED;
            let low = tokens <= cold.target / 2 && now >= cold.calm;
            if cold.plan.is_leased() && (over || low) {
                return Care::Refill;
            }
        }
        if cold.owes(now) || cold.credit.0 > 0 {
            return Care::Settle;
        }
        if tokens == 0 && !claimed && !cold.share.owes() { Care::Gone } else { Care::Later }
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
