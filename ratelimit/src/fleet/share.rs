//! A process's own part of a quota, for requests that the store does not answer in time.
//!
//! Invariant: parts of all live processes add up to no more than the quota's rate while they are at most the plan's
//! `processes_max` and the store has told them their parts at one time; each starts with a single token.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::plan::{LEASE_LIFE, Plan};
use crate::{
    bucket::{self, NOW_MAX, Shape},
    decision::Reading,
};

const WHOLE: u32 = 1_000_000;

/// The part of one key.
#[derive(Debug, Default)]
pub(super) struct Share {
    /// What the store said of this process's part of what was spent lately (millionths), and when.
    recent: u32,
    at: u64,
    /// None while the store is all that is needed: before the first request that it does not answer, and again once what was
    /// spent alone is told and has come back.
    alone: Option<Box<Alone>>,
}

/// The bucket for the time without the store.
#[derive(Debug)]
struct Alone {
    shape: Shape,
    tat: u64,
    /// Tokens that the store has not heard of.
    spent: u32,
    /// Whether the store has answered since the bucket began.
    answered: bool,
    /// Until then an answer may come late to a request that was decided without it: the debt waits.
    doubt: u64,
}

impl Share {
    /// The store has answered.
    pub(super) fn answered(&mut self, recent: u32, now: u64) {
        (self.recent, self.at) = (recent, now);
        if let Some(alone) = &mut self.alone {
            alone.answered = true;
            if alone.spent == 0 && alone.tat <= now {
                self.alone = None;
            }
        }
    }

    /// 0.8 of this process's part of what was spent lately and 0.2 of an equal part; what the store said longer ago than a
    /// lease lives counts as nothing, as for a process that has just begun.
    fn part(&self, plan: &Plan, now: u64) -> u32 {
        let fresh = now.saturating_sub(self.at) <= LEASE_LIFE.as_nanos() as u64;
        let recent = if fresh { self.recent.min(WHOLE) } else { 0 };
        (recent / 5 * 4 + WHOLE / 5 / plan.processes_max()).max(1)
    }

    fn shape(&self, plan: &Plan, now: u64) -> Shape {
        let part = self.part(plan, now);
        let of_whole = |value: u64| u128::from(value) * u128::from(WHOLE) / u128::from(part);
        let interval = u64::try_from(of_whole(plan.interval())).unwrap_or(NOW_MAX).min(NOW_MAX / 4);
        let burst = u64::from(plan.quota().burst()) * u64::from(part) / u64::from(WHOLE);
        Shape { interval, burst: u32::try_from(burst.max(1)).unwrap_or(1) }
    }

    /// The bucket that goes on, and its TAT.
    fn going_on(&self, now: u64) -> Option<(Shape, u64)> {
        self.alone.as_ref().filter(|alone| !alone.answered || alone.tat > now).map(|alone| (alone.shape, alone.tat))
    }

    /// One that begins: with a single token.
    fn beginning(&self, plan: &Plan, now: u64) -> (Shape, u64) {
        let shape = self.shape(plan, now);
        (shape, now + shape.fill() - shape.interval)
    }

    /// How the bucket stands that decides.
    pub(super) fn reading(&self, plan: &Plan, now: u64) -> Reading {
        let (shape, tat) = self.going_on(now).unwrap_or_else(|| self.beginning(plan, now));
        Reading::new(shape, tat.saturating_sub(now))
    }

    /// Takes a token; otherwise says in how many nanoseconds there is one.
    pub(super) fn take(&mut self, plan: &Plan, now: u64) -> Result<(), u64> {
        let (shape, tat) = self.beginning(plan, now);
        let alone =
            self.alone.get_or_insert_with(|| Box::new(Alone { shape, tat, spent: 0, answered: false, doubt: 0 }));
        if alone.answered && alone.tat <= now {
            (alone.shape, alone.tat, alone.answered) = (shape, tat, false);
        }
        let shape = alone.shape;
        let word = AtomicU64::new(alone.tat);
        let taken = bucket::take(&word, shape.governor(), now);
        alone.tat = word.load(Relaxed);
        match taken {
            Ok(_) => {
                alone.spent = alone.spent.saturating_add(1);
                Ok(())
            }
            Err(tat) => Err(tat.saturating_sub(now + shape.fill() - shape.interval)),
        }
    }

    /// A request was admitted whatever the share says.
    pub(super) fn spend(&mut self, plan: &Plan, now: u64) {
        if self.take(plan, now).is_err() {
            self.unsettle(1);
        }
    }

    /// Gives back a token that was taken, or that the store has counted after all.
    pub(super) fn forgive(&mut self) {
        if let Some(alone) = &mut self.alone
            && let Some(spent) = alone.spent.checked_sub(1)
        {
            alone.spent = spent;
            alone.tat = alone.tat.saturating_sub(alone.shape.interval);
        }
    }

    /// What is owed may be granted yet, until then.
    pub(super) fn doubt(&mut self, until: u64) {
        if let Some(alone) = &mut self.alone {
            alone.doubt = until.max(alone.doubt);
        }
    }

    /// Whether the store has to hear of something.
    pub(super) fn owes(&self) -> bool {
        self.alone.as_ref().is_some_and(|alone| alone.spent > 0)
    }

    /// Whether it can hear of it now.
    pub(super) fn is_due(&self, now: u64) -> bool {
        self.alone.as_ref().is_some_and(|alone| alone.spent > 0 && now >= alone.doubt)
    }

    /// What the store has to take out of its bucket: what was spent and has not come back since. From here on it is the
    /// caller's to tell.
    pub(super) fn settle(&mut self, now: u64) -> u32 {
        let Some(alone) = &mut self.alone else { return 0 };
        let missing = alone.tat.saturating_sub(now).div_ceil(alone.shape.interval);
        let owed = alone.spent.min(u32::try_from(missing).unwrap_or(u32::MAX));
        alone.spent = 0;
        owed
    }

    /// What was settled did not arrive. If the bucket is gone, it has come back meanwhile.
    pub(super) fn unsettle(&mut self, owed: u32) {
        if let Some(alone) = &mut self.alone {
            alone.spent = alone.spent.saturating_add(owed);
        }
    }

    /// The quota has changed: what is missing stays missing.
    pub(super) fn carry(&mut self, plan: &Plan, now: u64) {
        let shape = self.shape(plan, now);
        if let Some(alone) = &mut self.alone {
            (alone.tat, alone.shape) = (shape.carry(alone.shape, alone.tat, now), shape);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::quota::Quota;

    const SECOND: u64 = 1_000_000_000;

    fn plan(requests: u32, seconds: u64, burst: u32) -> Plan {
        Plan::new(&Quota::new(requests, Duration::from_secs(seconds), Some(burst)).unwrap(), 8)
    }

    fn admitted(share: &mut Share, plan: &Plan, from: u64, seconds: u64) -> u32 {
        (0..seconds * 1_000).map(|tick| u32::from(share.take(plan, from + tick * 1_000_000).is_ok())).sum()
    }

    #[test]
    fn a_process_gets_what_it_lately_had_and_a_little_for_newcomers() {
        let (plan, now) = (plan(1_100, 10, 101), 100 * SECOND);
        for (recent, at, expected) in [
            (WHOLE, now, 825),
            (WHOLE / 2, now - SECOND, 425),
            (0, now, 25),
            // older than a lease lives
            (WHOLE, now - 2 * SECOND - 1, 25),
            // a store that lies
            (u32::MAX, now, 825),
        ] {
            let mut share = Share::default();
            share.answered(recent, at);
            let count = admitted(&mut share, &plan, now, 10);
            // 1,000 in ten seconds, 1 % for the slack, and one to begin with
            assert!((expected * 98 / 100..=expected + 2).contains(&count), "{recent} {count} {expected}");
        }
    }

    #[test]
    fn everybody_begins_with_one_token_and_with_no_more() {
        let (rare, mut share) = (plan(5, 60, 1), Share::default());
        assert_eq!(share.take(&rare, 7), Ok(()));
        let retry = share.take(&rare, 7).unwrap_err();
        assert_eq!(share.take(&rare, 6 + retry), Err(1));
        assert_eq!(share.take(&rare, 7 + retry), Ok(()));
        let (much, mut share) = (plan(10_000, 60, 5_000), Share::default());
        assert_eq!([share.take(&much, 7).is_ok(), share.take(&much, 7).is_ok()], [true, false]);
    }

    #[test]
    fn what_it_says_of_itself_is_what_it_does() {
        let (plan, now) = (plan(1_100, 10, 101), 100 * SECOND);
        for recent in [0, WHOLE / 2, WHOLE] {
            let mut share = Share::default();
            share.answered(recent, now);
            assert_eq!(share.reading(&plan, now).remaining, 1);
            for tick in 0..20_000 {
                let at = now + tick * 1_000_000;
                let Reading { remaining, retry_seconds, .. } = share.reading(&plan, at);
                assert_eq!(remaining > 0, retry_seconds == 0);
                assert_eq!(share.take(&plan, at).is_ok(), remaining > 0, "{tick}");
            }
        }
        // it fills up to its part of the burst
        let mut share = Share::default();
        assert!(share.take(&plan, now).is_ok());
        assert_eq!(
            share.reading(&plan, now + 3_600 * SECOND),
            Reading { remaining: 2, retry_seconds: 0, reset_seconds: 0 }
        );
    }

    #[test]
    fn what_came_back_is_not_owed() {
        let (plan, mut share) = (plan(1_100, 10, 101), Share::default());
        share.answered(WHOLE, 0);
        assert_eq!((share.owes(), share.settle(SECOND)), (false, 0));
        let count = admitted(&mut share, &plan, 0, 10);
        assert!(share.owes() && count > 800);
        // the bucket has been empty all the time: what it holds is missing, not what went through it
        let owed = share.settle(10 * SECOND);
        assert!((80..=84).contains(&owed), "{owed}");
        assert!(!share.owes());
        // a second later 80 more have come back
        share.unsettle(owed);
        assert!(share.settle(11 * SECOND) <= 5);
        share.forgive();
        assert!(!share.owes());
    }

    #[test]
    fn a_second_outage_begins_with_a_token_again_once_the_bucket_was_full() {
        let (plan, mut share) = (plan(5, 60, 1), Share::default());
        assert!(share.take(&plan, 0).is_ok());
        share.answered(WHOLE, SECOND);
        assert!(share.take(&plan, SECOND).is_err(), "an answer alone brings nothing");
        assert!(share.take(&plan, 3_600 * SECOND).is_ok());
        share.answered(WHOLE, 7_199 * SECOND);
        assert!(share.take(&plan, 7_200 * SECOND).is_ok());
        // now with the larger part
        assert!(share.take(&plan, 7_220 * SECOND).is_ok());
    }
}
