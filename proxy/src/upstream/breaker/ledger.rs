//! The truth about one upstream: its circuit, its failures and its tenants; every decision is taken here.
//!
//! Pure, and under one lock in the [`Breaker`](super::Breaker). Invariant: whatever changes a state goes through
//! [`Ledger::admit`] or [`Ledger::judge`], one at a time, so each change is reported once.

use super::{
    Changes, Limits, Outcome, Refusal, Scope, State,
    circuit::{Circuit, Standing},
    quorum::{Evidence, Failures, TenantSet},
    tenants::Tenants,
    traffic::Traffic,
    trials::Trials,
    window::Window,
};

/// What is behind the lock.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) circuit: Circuit,
    pub(super) tenants: Tenants,
    trials: Trials,
    failures: Window<Failures>,
}

/// For whom a request is a trial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TrialOf {
    pub(super) upstream: bool,
    pub(super) tenant: bool,
}

impl TrialOf {
    pub(super) fn anybody(self) -> bool {
        self.upstream || self.tenant
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report {
    pub(super) tenant: u64,
    pub(super) trial: TrialOf,
    pub(super) outcome: Outcome,
    pub(super) now: u64,
    pub(super) chance: u32,
}

impl Ledger {
    /// Lets a request through or refuses it; takes the places of its trials.
    ///
    /// # Errors
    /// Who refuses it, and for how long.
    pub(super) fn admit(&mut self, limits: &Limits, tenant: u64, now: u64) -> Result<(TrialOf, Changes), Refusal> {
        let own = self.tenants.standing(tenant, now);
        if let Standing::Refuses(retry_after_ms) = own {
            return Err(Refusal { retry_after_ms, scope: Scope::Tenant });
        }
        let upstream = match self.circuit.standing(limits.trials.max(1), now) {
            Standing::Tries if !self.trials.welcomes(tenant, own == Standing::Flows, now) => Standing::FULL,
            standing => standing,
        };
        if let Standing::Refuses(retry_after_ms) = upstream {
            return Err(Refusal { retry_after_ms, scope: Scope::Upstream });
        }
        // nobody refuses: only now are places taken
        let trial = TrialOf { upstream: upstream == Standing::Tries, tenant: own == Standing::Tries };
        let mut changes = Changes::default();
        if trial.upstream {
            changes.upstream = self.circuit.begin_trial().then_some(State::HalfOpen);
            self.trials.note(tenant, now);
        }
        if trial.tenant {
            changes.tenant = self.tenants.begin_trial(tenant).then_some(State::HalfOpen);
        }
        Ok((trial, changes))
    }

    /// Gives back the places of a request that said nothing, or that was admitted in an `episode` that is over.
    pub(super) fn give_back(&mut self, trial: TrialOf, tenant: u64, episode: u64) {
        if trial.upstream && episode == self.circuit.episode() {
            self.circuit.give_back();
        }
        if trial.tenant {
            self.tenants.give_back(tenant);
        }
    }

    /// Draws the conclusions of a request that was admitted in this episode.
    pub(super) fn judge(&mut self, limits: &Limits, report: &Report, traffic: &Traffic) -> Changes {
        let upstream = self.judge_upstream(limits, report, traffic);
        let tenant = self.judge_tenant(limits, report, upstream.is_some_and(State::is_open));
        Changes { upstream, tenant }
    }

    fn judge_upstream(&mut self, limits: &Limits, report: &Report, traffic: &Traffic) -> Option<State> {
        let &Report { tenant, trial, outcome, now, chance } = report;
        let opens = match (trial.upstream, outcome) {
            (false, Outcome::Success) => false,
            (false, Outcome::AnswerFailure | Outcome::TransportFailure) => {
                self.count_failure(limits, tenant, outcome, now);
                self.evidence(limits, traffic, now).condemns_upstream(limits)
            }
            (true, Outcome::Success) => {
                let closes = self.circuit.succeed(limits.trials.max(1), now);
                return closes.then(|| self.begin_anew());
            }
            (true, Outcome::TransportFailure) => true,
            (true, Outcome::AnswerFailure) => {
                let is_second = self.trials.fail(tenant);
                if !is_second {
                    self.circuit.give_back();
                }
                is_second
            }
        };
        opens.then(|| self.open(limits, traffic, now, chance))
    }

    fn judge_tenant(&mut self, limits: &Limits, report: &Report, upstream_opened: bool) -> Option<State> {
        let &Report { tenant, trial, outcome, now, chance } = report;
        match (trial.tenant, outcome) {
            (true, Outcome::Success) => self.tenants.succeed_trial(tenant, now),
            (true, Outcome::AnswerFailure) => self.tenants.fail_trial(limits, tenant, now, chance),
            (true, Outcome::TransportFailure) => {
                // not the tenant's doing
                self.tenants.give_back(tenant);
                None
            }
            (false, Outcome::Success) => {
                self.tenants.succeed(limits, tenant, now);
                None
            }
            (false, Outcome::AnswerFailure) if !upstream_opened && limits.tenants_max > 0 => {
                let is_failing = self.tenants.fail(limits, tenant, now);
                // a trial of the upstream is too precious to be spent twice on a tenant whose answers fail
                if is_failing || trial.upstream { self.tenants.open(limits, tenant, now, chance) } else { None }
            }
            (false, Outcome::AnswerFailure | Outcome::TransportFailure) => None,
        }
    }

    fn open(&mut self, limits: &Limits, traffic: &Traffic, now: u64, chance: u32) -> State {
        let was_closed = self.circuit.is_closed();
        let until = self.circuit.open(limits, now, chance);
        if was_closed {
            self.trials.begin(traffic.sum(limits.window_ms, now).1.estimate(), until);
        } else {
            self.trials.begin_again(until);
        }
        self.tenants.acquit(limits, now);
        State::Open { until }
    }

    /// Closed again: what failed before proves nothing any more.
    fn begin_anew(&mut self) -> State {
        self.failures.clear();
        State::Closed
    }

    fn count_failure(&mut self, limits: &Limits, tenant: u64, outcome: Outcome, now: u64) {
        let failure = if outcome == Outcome::TransportFailure {
            Failures { transport: 1, ..Failures::default() }
        } else {
            Failures { answers: 1, failing: TenantSet::of(tenant), ..Failures::default() }
        };
        let bucket = self.failures.at(limits.window_ms, now);
        *bucket = bucket.plus(failure);
    }

    /// What the window holds.
    pub(super) fn evidence(&self, limits: &Limits, traffic: &Traffic, now: u64) -> Evidence {
        let (requests, active) = traffic.sum(limits.window_ms, now);
        let failures = self.failures.fold(limits.window_ms, now, Failures::plus);
        Evidence { requests, active, failures }
    }
}
