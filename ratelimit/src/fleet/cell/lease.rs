//! What a cell asks the store, and what it makes of the answers.
//!
//! Invariant: a report says what is left of the lease at the instant that it is made, and what was taken before it does not come
//! back. There is one at a time, and it ends by its answer or by the loss of it.

use std::sync::atomic::Ordering::Relaxed;

use redis::{RedisError, Value};

use super::{Care, Cell, Cold, MILLI, Report, TARGET_MIN};
use crate::{
    bucket::NOW_MAX,
    fleet::{
        plan::{LEASE_LIFE, LEASE_MARGIN, LEASE_MAX, Plan},
        script::{self, Answer, Ask},
        word::Word,
    },
};

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
/// Longest that a refusal is remembered: the store may know better by then.
const REMEMBERED: u64 = 10_000 * MILLI;

impl Cell {
    /// What to ask the store for `direct` tokens, with a report if none is on its way and a lease is worth it, and with all
    /// that it has yet to hear.
    pub(in crate::fleet) fn ask(&self, plan: &Plan, direct: u32, now: u64) -> (Ask, Option<Report>) {
        let mut cold = self.cold();
        let worth = plan.is_leased() && direct > 0 && (direct > 1 || now.saturating_sub(cold.asked) < RARE);
        cold.asked = now;
        let report = if worth { self.claim(&mut cold, plan, Care::Refill, now) } else { None };
        (self.fill(&mut cold, direct, report, now), report)
    }

    /// The same for what the store does by itself.
    pub(in crate::fleet) fn ask_care(&self, plan: &Plan, care: Care, now: u64) -> (Ask, Option<Report>) {
        let mut cold = self.cold();
        let report = self.claim(&mut cold, plan, care, now);
        (self.fill(&mut cold, 0, report, now), report)
    }

    /// Asks for two tokens, and takes `reply` for what the script has just returned: [now, direct, kept, granted, missing,
    /// recent], with a lease of `granted` tokens or, if that is 0 as well as `direct`, a refusal.
    ///
    /// For who measures cells without a store. Where requests are admitted these would be tokens that nobody counts.
    ///
    /// # Errors
    /// The script returns no such thing.
    pub fn replay(&self, plan: &Plan, reply: &[u64], now: u64) -> Result<(), RedisError> {
        // it counts in integers that never are as large as 2^63
        let reply = reply.iter().map(|&number| Value::Int(i64::try_from(number).unwrap_or(i64::MAX))).collect();
        let answer = script::answers(Value::Array(reply), 1)?[0];
        let (ask, report) = self.ask(plan, 2, now);
        self.answered(plan, ask, report, answer, now, now);
        Ok(())
    }

    fn fill(&self, cold: &mut Cold, direct: u32, report: Option<Report>, now: u64) -> Ask {
        let (credit, credit_at) = (std::mem::take(&mut cold.credit), std::mem::take(&mut cold.credit_at));
        let Report { seq, remaining, target } = report.unwrap_or_default();
        let debit = if cold.share.is_due(now) { cold.share.settle(now) } else { 0 };
        Ask { direct, debit, credit, credit_at, seq, remaining, target }
    }

    fn claim(&self, cold: &mut Cold, plan: &Plan, care: Care, now: u64) -> Option<Report> {
        if !matches!(care, Care::Refill | Care::HandBack) || self.claimed.swap(true, Relaxed) {
            return None;
        }
        let lease = cold.lease.get_or_insert_with(Box::default);
        // above that of any cell that this key had in this process before
        lease.seq = (lease.seq + 1).max(now / 1_000);
        let target_max = plan.leased_max().clamp(TARGET_MIN, LEASE_MAX);
        let lasted = now.saturating_sub(lease.reported);
        if lasted < SHORT {
            lease.target = lease.target.saturating_mul(2);
        } else if lasted > LONG {
            lease.target /= 2;
        }
        lease.target = lease.target.clamp(TARGET_MIN, target_max);
        lease.reported = now;
        let hands_back = care == Care::HandBack;
        let mut remaining = 0;
        let _ = self.word.fetch_update(Relaxed, Relaxed, |seen| {
            remaining = Word(seen).tokens(now);
            Some(Word(seen).retag(!hands_back).0)
        });
        Some(Report { seq: lease.seq, remaining, target: if hands_back { 0 } else { lease.target } })
    }

    /// The answer to what was asked at `sent`.
    pub(in crate::fleet) fn answered(
        &self,
        plan: &Plan,
        ask: Ask,
        report: Option<Report>,
        answer: Answer,
        sent: u64,
        now: u64,
    ) {
        let mut cold = self.cold();
        cold.share.answered(answer.recent, now);
        // in nanoseconds, and never more than a bucket can miss
        let most = plan.fill().saturating_add(plan.quota().window().as_nanos() as u64);
        let missing = answer.missing.saturating_mul(1_000).min(most).min(NOW_MAX);
        let full = self.tat_of(plan, missing, now);
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
            if answer.granted < wanted.min(TARGET_MIN)
                && let Some(lease) = &mut cold.lease
            {
                lease.calm = now + 5 * CALM;
            }
        }
        if ask.direct > answer.direct && answer.granted == 0 {
            let retry = (missing + plan.interval()).saturating_sub(plan.fill());
            // nothing is lost by coming later if the bucket holds what comes until then
            let holds = plan.is_leased() && plan.interval().saturating_mul(u64::from(plan.burst())) > 20 * CALM;
            let calm = if holds { CALM } else { 0 };
            self.denied.store(now + retry.clamp(calm, REMEMBERED), Relaxed);
        } else if answer.direct > 0 || answer.granted > 0 {
            self.denied.store(0, Relaxed);
        }
    }

    /// When a bucket of the quota's shape would be full, such that its next token comes when the store's does.
    fn tat_of(&self, plan: &Plan, missing: u64, now: u64) -> u64 {
        let empty = plan.fill() - plan.interval();
        (now + missing + plan.missing(0)).saturating_sub(empty)
    }

    /// What was asked has no answer: the lease is as it was, but for what it got that nobody knows of.
    pub(in crate::fleet) fn unanswered(&self, ask: Ask, report: Option<Report>) {
        let mut cold = self.cold();
        cold.share.unsettle(ask.debit);
        if report.is_some() {
            self.claimed.store(false, Relaxed);
        }
    }

    /// What it needs of the store by itself.
    pub(in crate::fleet) fn care(&self, now: u64) -> Care {
        let cold = self.cold();
        let word = Word(self.word.load(Relaxed));
        let (tokens, idle) = (word.tokens(now), now.saturating_sub(self.used.load(Relaxed)) > IDLE);
        let claimed = self.claimed.load(Relaxed);
        if tokens > 0 && !claimed {
            if idle {
                return Care::HandBack;
            }
            let over = word.expires().saturating_sub(now) < RENEWED;
            let low = cold.lease.as_ref().is_none_or(|lease| tokens <= lease.target / 2 && now >= lease.calm);
            if cold.plan.is_leased() && (over || low) {
                return Care::Refill;
            }
        }
        if cold.share.is_due(now) || cold.credit > 0 {
            return Care::Settle;
        }
        if tokens == 0 && !claimed && !cold.share.owes() { Care::Gone } else { Care::Later }
    }
}
