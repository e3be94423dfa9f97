//! The tenants whose answers failed lately, each with a breaker of its own for this upstream.
//!
//! Invariant: never more than `tenants_max` of them, and none leaves while its trial runs. When another one needs room,
//! those that have had a quiet window go; then the one that would be let through soonest, which has to fail N times
//! again: that a hostile crowd can cause, at the cost of N failures for each tenant, and it is counted.

use std::collections::BTreeMap;

use super::{
    Limits, State,
    circuit::{Circuit, Standing},
    quorum::is_failing,
    suspects::Suspects,
    window::Window,
};

/// What is kept, and what was let go.
#[derive(Debug, Default)]
pub(super) struct Tenants {
    own: BTreeMap<u64, Own>,
    evicted: u64,
    is_changed: bool,
}

#[derive(Debug, Default)]
struct Own {
    circuit: Circuit,
    tally: Window<Tally>,
    failed_at: u64,
}

/// Of one tenant, since its first failure in the window.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    requests: u64,
    failures: u64,
}

/// A tenant's breaker allows one trial, and one success closes it.
const TRIALS: u32 = 1;

impl Own {
    fn tally(&self, limits: &Limits, now: u64) -> Tally {
        let plus = |a: Tally, b: Tally| Tally { requests: a.requests + b.requests, failures: a.failures + b.failures };
        self.tally.fold(limits.window_ms, now, plus)
    }

    /// Whether it may be forgotten: it would change nothing, or nobody has asked for far longer than it was open.
    fn is_quiet(&self, limits: &Limits, now: u64) -> bool {
        let circuit = &self.circuit;
        let is_over = if circuit.is_closed() {
            !circuit.is_recovering(limits, now)
        } else {
            let long = limits.open_max_ms.max(limits.open_ms).saturating_mul(2);
            circuit.running() == 0 && now.saturating_sub(self.failed_at) >= long
        };
        is_over && self.tally(limits, now).failures == 0
    }

    /// When it is open no more; those that are not open come first, by their last failure.
    fn flows_at(&self, now: u64) -> (bool, u64) {
        self.open_until(now).map_or((false, self.failed_at), |until| (true, until))
    }

    fn open_until(&self, now: u64) -> Option<u64> {
        self.circuit.open_until().filter(|until| now < *until)
    }
}

impl Tenants {
    pub(super) fn standing(&self, tenant: u64, now: u64) -> Standing {
        self.own.get(&tenant).map_or(Standing::Flows, |own| own.circuit.standing(TRIALS, now))
    }

    /// Takes the tenant's one trial. Whether that made its breaker half-open.
    pub(super) fn begin_trial(&mut self, tenant: u64) -> bool {
        self.own.get_mut(&tenant).is_some_and(|own| own.circuit.begin_trial())
    }

    /// The tenant's trial said nothing.
    pub(super) fn give_back(&mut self, tenant: u64) {
        if let Some(own) = self.own.get_mut(&tenant) {
            own.circuit.give_back();
        }
    }

    /// The tenant's trial succeeded. Whether that closed its breaker.
    pub(super) fn succeed_trial(&mut self, tenant: u64, now: u64) -> Option<State> {
        let own = self.own.get_mut(&tenant)?;
        own.circuit.succeed(TRIALS, now).then(|| {
            own.tally.clear();
            State::Closed
        })
    }

    /// The tenant's trial failed.
    pub(super) fn fail_trial(&mut self, limits: &Limits, tenant: u64, now: u64, chance: u32) -> Option<State> {
        let own = self.own.get_mut(&tenant)?;
        own.failed_at = now;
        Some(State::Open { until: own.circuit.open(limits, now, chance) })
    }

    /// An answer for the tenant: counts if it has failed lately, and lets it go if it has not.
    pub(super) fn succeed(&mut self, limits: &Limits, tenant: u64, now: u64) {
        let Some(own) = self.own.get_mut(&tenant) else { return };
        if own.is_quiet(limits, now) {
            self.own.remove(&tenant);
            self.is_changed = true;
        } else {
            own.tally.at(limits.window_ms, now).requests += 1;
        }
    }

    /// An answer for the tenant failed. Whether that is too many, while its breaker is closed.
    pub(super) fn fail(&mut self, limits: &Limits, tenant: u64, now: u64) -> bool {
        let Some(own) = self.entry(limits, tenant, now) else { return false };
        let bucket = own.tally.at(limits.window_ms, now);
        bucket.requests += 1;
        bucket.failures += 1;
        own.failed_at = now;
        let Tally { requests, failures } = own.tally(limits, now);
        own.circuit.is_closed() && is_failing(limits, failures, requests)
    }

    /// Opens the tenant's breaker if it is closed.
    pub(super) fn open(&mut self, limits: &Limits, tenant: u64, now: u64, chance: u32) -> Option<State> {
        let own = self.own.get_mut(&tenant).filter(|own| own.circuit.is_closed())?;
        Some(State::Open { until: own.circuit.open(limits, now, chance) })
    }

    /// It was the upstream: what is counted so far is not held against any tenant.
    pub(super) fn acquit(&mut self, limits: &Limits, now: u64) {
        self.own.values_mut().for_each(|own| own.tally.clear());
        self.forget_quiet(limits, now);
    }

    /// State of one tenant's breaker.
    pub(super) fn state(&self, tenant: u64, now: u64) -> State {
        self.own.get(&tenant).map_or(State::Closed, |own| match own.open_until(now) {
            Some(until) => State::Open { until },
            None if own.circuit.is_closed() => State::Closed,
            _ => State::HalfOpen,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.own.len()
    }

    /// Tenants that are refused.
    pub(super) fn open_count(&self, now: u64) -> usize {
        self.own.values().filter(|own| own.open_until(now).is_some()).count()
    }

    /// Tenants that were let go, or never taken in, for want of room.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Tells the readers without the lock who is kept, if that has changed.
    pub(super) fn publish(&mut self, suspects: &Suspects) {
        if std::mem::take(&mut self.is_changed) {
            suspects.publish(self.own.keys().copied());
        }
    }

    fn entry(&mut self, limits: &Limits, tenant: u64, now: u64) -> Option<&mut Own> {
        if !self.own.contains_key(&tenant) {
            if self.own.len() >= limits.tenants_max {
                self.forget_quiet(limits, now);
            }
            while self.own.len() >= limits.tenants_max {
                self.evicted = self.evicted.saturating_add(1);
                self.evict(now)?;
            }
            self.is_changed = true;
        }
        Some(self.own.entry(tenant).or_default())
    }

    fn forget_quiet(&mut self, limits: &Limits, now: u64) {
        let before = self.own.len();
        self.own.retain(|_, own| !own.is_quiet(limits, now));
        self.is_changed |= self.own.len() != before;
    }

    /// Lets one go; `None` when the trials of all of them run.
    fn evict(&mut self, now: u64) -> Option<()> {
        let idle = self.own.iter().filter(|(_, own)| own.circuit.running() == 0);
        let (&tenant, _) = idle.min_by_key(|(_, own)| own.flows_at(now))?;
        self.own.remove(&tenant);
        self.is_changed = true;
        Some(())
    }
}
