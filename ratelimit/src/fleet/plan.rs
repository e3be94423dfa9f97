//! How a quota is counted by a fleet: by leases or token by token, and the bucket that makes it hold.
//!
//! Invariant: burst + most tokens in leases <= the quota's burst, and the bucket gets at most n - B + 1 tokens back in a
//! window that is longer by the slack; with what the script promises, that is at most n admitted in any window.

use std::{hash::BuildHasher, time::Duration};

use crate::{decision::Standing, quota::Quota};

/// How long a lease lives in the store.
pub const LEASE_LIFE: Duration = Duration::from_secs(2);
/// By so much a holder takes its lease for over before the store does.
pub const LEASE_MARGIN: Duration = Duration::from_millis(200);
/// Timeouts in a row after which the store counts as away.
pub const TIMEOUTS_MAX: u32 = 10;
/// Most tokens that one holder has of one key: they share a word with an instant.
pub const LEASE_MAX: u32 = (1 << 12) - 1;
/// Tokens in leases for each live process, at least; with fewer a lease is not worth its bookkeeping.
const LEASED_MIN: u32 = 4;

/// What follows from a quota and the size of the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    quota: Quota,
    processes_max: u32,
    interval: u64,
    burst: u32,
    leased_max: u32,
    slack: Duration,
    id: u64,
}

impl Plan {
    /// For at most `processes_max` processes at a time (at least 1); more of them share the same tokens and get smaller leases.
    ///
    /// Leases need 4 tokens for each process out of at most a quarter of the burst and at most 2 % of what a minute brings.
    /// The slack is the time that a token which was granted alone may take to be spent, or to come back: a hundredth of the
    /// window, 20 to 250 ms. The bucket fills slower by as much.
    #[must_use]
    pub fn new(quota: &Quota, processes_max: u32) -> Self {
        let processes_max = processes_max.max(1);
        let minute = quota.rate() * 60.0 + f64::from(quota.burst());
        // no quota brings 2^32 tokens in 50 minutes
        let leased = (quota.burst() / 4).min((minute / 50.0) as u32);
        let leased_max = if leased >= processes_max.saturating_mul(LEASED_MIN) { leased } else { 0 };
        let slack = (quota.window() / 100).clamp(Duration::from_millis(20), Duration::from_millis(250));
        let refill = u64::from(quota.requests() - quota.burst() + 1);
        // the script counts whole microseconds: one more at either end
        let window = u64::try_from((quota.window() + slack).as_nanos()).unwrap_or(u64::MAX).saturating_add(2_000);
        let interval = window.div_ceil(refill);
        let id = std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default().hash_one((quota, processes_max));
        Self { quota: *quota, processes_max, interval, burst: quota.burst() - leased_max, leased_max, slack, id }
    }

    /// The quota that it is for.
    #[must_use]
    pub fn quota(&self) -> Quota {
        self.quota
    }

    /// Most processes that get a fair part.
    #[must_use]
    pub fn processes_max(&self) -> u32 {
        self.processes_max
    }

    /// Whether processes hold leases; otherwise each request asks for its token.
    #[must_use]
    pub fn is_leased(&self) -> bool {
        self.leased_max > 0
    }

    /// Most tokens that all leases hold together (H of the argument).
    #[must_use]
    pub fn leased_max(&self) -> u32 {
        self.leased_max
    }

    /// Tokens of the full bucket in the store.
    #[must_use]
    pub fn burst(&self) -> u32 {
        self.burst
    }

    /// Nanoseconds until the bucket gets a token back.
    #[must_use]
    pub fn interval(&self) -> u64 {
        self.interval
    }

    /// Longest that a single token may take from being granted to being spent or given back.
    #[must_use]
    pub fn slack(&self) -> Duration {
        self.slack
    }

    /// Requests above the quota that a window may admit in which calls time out or the store goes away: what each process
    /// decides by its own share until the store counts as away. While calls are answered in time it is 0, whatever processes
    /// do.
    #[must_use]
    pub fn overshoot_bound(&self) -> u32 {
        self.processes_max.saturating_mul(TIMEOUTS_MAX.min(self.quota.burst()))
    }

    /// How a full bucket stands.
    #[must_use]
    pub fn full(&self, now: u64) -> Standing {
        Standing::new(self.quota, now, now)
    }

    /// How a bucket stands that has refused, and will for so many nanoseconds.
    #[must_use]
    pub fn refused_for(&self, retry: u64) -> Standing {
        Standing::new(self.quota, self.missing(retry), 0)
    }

    /// Differs between plans that differ.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Nanoseconds from empty to full.
    pub(crate) fn fill(&self) -> u64 {
        self.interval.saturating_mul(u64::from(self.burst))
    }

    /// How much a bucket of the quota's shape is missing whose next token comes after `retry` nanoseconds.
    pub(crate) fn missing(&self, retry: u64) -> u64 {
        let interval = self.quota.interval();
        retry.saturating_add(interval.saturating_mul(u64::from(self.quota.burst() - 1)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plan(requests: u32, seconds: u64, burst: Option<u32>) -> Plan {
        Plan::new(&Quota::new(requests, Duration::from_secs(seconds), burst).unwrap(), 8)
    }

    #[test]
    fn low_rates_are_counted_token_by_token() {
        for (plan, leased_max, burst) in [
            (plan(1, 60, None), 0, 1),
            (plan(5, 60, None), 0, 1),
            (plan(500, 60, None), 0, 50),
            // a burst for all, and yet not 32 in 2 % of a minute
            (plan(1_500, 60, Some(1_500)), 0, 1_500),
            (plan(10_000, 60, None), 200, 800),
            (plan(100_000, 60, None), 2_000, 8_000),
            (plan(1_000, 1, Some(100)), 0, 100),
            (plan(1_000, 1, Some(128)), 32, 96),
        ] {
            assert_eq!((plan.leased_max(), plan.burst()), (leased_max, burst), "{plan:?}");
            assert_eq!(plan.is_leased(), leased_max > 0);
        }
    }

    #[test]
    fn a_changed_quota_or_fleet_is_another_plan() {
        let ids: std::collections::HashSet<u64> =
            [plan(5, 60, None), plan(6, 60, None), plan(5, 61, None), plan(5, 60, Some(2))]
                .iter()
                .map(Plan::id)
                .collect();
        assert_eq!(ids.len(), 4);
        let quota = Quota::new(5, Duration::from_secs(60), None).unwrap();
        assert_ne!(Plan::new(&quota, 8).id(), Plan::new(&quota, 9).id());
        assert_eq!(Plan::new(&quota, 8).id(), plan(5, 60, None).id());
    }

    proptest! {
        /// Leases and bucket together are the quota's burst, and a window that is longer by the slack fills no more.
        #[test]
        fn the_parts_add_up_to_the_quota(
            n in 1..=10_000_000_u32, window in 1_000..=86_400_000_u64, part in 0.0..1.0_f64, processes in 1..100_u32
        ) {
            let burst = 1 + (f64::from(n - 1) * part) as u32;
            let quota = Quota::new(n, Duration::from_millis(window), Some(burst));
            prop_assume!(quota.is_ok());
            let plan = Plan::new(&quota.unwrap(), processes);
            prop_assert_eq!(plan.burst() + plan.leased_max(), burst);
            prop_assert!(plan.burst() >= burst.div_ceil(2));
            prop_assert!(plan.leased_max() == 0 || plan.leased_max() >= 4 * processes);
            let filled = (quota.unwrap().window() + plan.slack()).as_nanos() / u128::from(plan.interval());
            prop_assert!(filled <= u128::from(n - burst + 1));
            // and the slack costs at most 2 % of the rate, but for rounding
            prop_assert!(plan.interval() <= quota.unwrap().interval() / 100 * 102 + 3_000);
        }
    }
}
