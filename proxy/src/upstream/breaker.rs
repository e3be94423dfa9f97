//! The circuit breaker of one upstream: of the app, of a peer stamp, or of a dependency.
//!
//! Closed lets traffic through, open refuses, half-open lets trials through. Read `circuit` for its states, `quorum`
//! for whose fault a failure is, `ledger` for what follows from one request.
//!
//! One breaker serves all workers. Invariant: its state changes only under one lock, so no change is lost and each is
//! reported to exactly one caller; what a healthy request needs is mirrored in atomics, so it takes no lock.

mod circuit;
mod ledger;
mod limits;
mod pass;
mod quorum;
mod recovery;
mod suspects;
mod tenants;
mod traffic;
mod trials;
mod window;

#[cfg(test)]
mod tests;

use std::sync::{Arc, PoisonError};

use self::{
    ledger::{Ledger, Report},
    recovery::Recovery,
    suspects::Suspects,
    traffic::Traffic,
};
pub use self::{limits::Limits, pass::Pass, quorum::RATIO_REQUESTS_MIN};
use crate::upstream::sync::{AtomicU64, Mutex, MutexGuard, Ordering::Relaxed};

/// A breaker. `now` is in milliseconds of one clock of the process that does not go back; a step back of it does no
/// more harm than a wrong count.
#[derive(Debug)]
pub struct Breaker {
    gate: AtomicU64,
    suspects: Suspects,
    traffic: Traffic,
    recovery: Recovery,
    ledger: Mutex<Ledger>,
}

/// What a request tells about its upstream.
///
/// Only what the upstream answered or failed to answer. A request that says nothing (its client went away) is not
/// recorded: its [`Pass`] is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer that does not count as a failure, 4xx among them.
    Success,
    /// A request that the upstream took and failed: 502, 503, 504, a timeout before the head, a reset after the
    /// request was sent. What one tenant sends can cause it, so it needs a quorum of tenants.
    AnswerFailure,
    /// What no request can cause: refused, no route, TLS, a missed PING. Needs no quorum. Also every failure of a
    /// dependency that knows no tenants.
    TransportFailure,
}

/// State of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Lets traffic through.
    Closed,
    /// Refuses.
    Open {
        /// When it lets its first trial through.
        until: u64,
    },
    /// Lets trials through.
    HalfOpen,
}

impl State {
    /// Whether it refuses everything.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Open { .. })
    }
}

/// The states that one call has changed, each told to one caller only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The upstream's new state.
    pub upstream: Option<State>,
    /// The new state of the tenant's own breaker for this upstream.
    pub tenant: Option<State>,
}

/// Whose breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The upstream's: nobody passes.
    Upstream,
    /// The tenant's own for this upstream: others pass.
    Tenant,
}

/// Not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Milliseconds until asking again may help.
    pub retry_after_ms: u64,
    /// Who refuses.
    pub scope: Scope,
}

/// What a breaker has counted, for people. The first five are of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Requests that were recorded.
    pub requests: u64,
    /// Those whose answers failed.
    pub answer_failures: u64,
    /// Those that found no working connection.
    pub transport_failures: u64,
    /// Tenants that sent requests, estimated.
    pub active_tenants: u32,
    /// Tenants whose answers failed, estimated.
    pub failing_tenants: u32,
    /// Tenants that are kept count of because an answer failed.
    pub tenants_kept: usize,
    /// Tenants whose own breaker is open.
    pub tenants_open: usize,
    /// Tenants forgotten early because `tenants_max` was reached, since the start.
    pub tenants_evicted: u64,
    /// Trials of the upstream that run.
    pub trials_running: u32,
    /// How often in a row the upstream's breaker has opened again.
    pub relapses: u32,
}

/// What readers without the lock know of the upstream's circuit, in one word.
enum Gate {
    Closed {
        episode: u64,
    },
    /// Open; from `until` on half-open.
    NotClosed {
        until: u64,
    },
}

impl Gate {
    const NOT_CLOSED: u64 = 1 << 63;

    fn of(word: u64) -> Self {
        let value = word & !Self::NOT_CLOSED;
        if value == word { Self::Closed { episode: value } } else { Self::NotClosed { until: value } }
    }

    fn word(&self) -> u64 {
        match *self {
            Self::Closed { episode } => episode,
            // three hundred million years
            Self::NotClosed { until } => until.min(!Self::NOT_CLOSED) | Self::NOT_CLOSED,
        }
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self::new()
    }
}

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub fn new() -> Self {
        Self {
            gate: AtomicU64::new(Gate::Closed { episode: 0 }.word()),
            suspects: Suspects::new(),
            traffic: Traffic::new(),
            recovery: Recovery::new(),
            ledger: Mutex::new(Ledger::default()),
        }
    }

    /// Asks for leave to send one request of a tenant, given as a well mixed hash (any constant where there are none).
    ///
    /// # Errors
    /// [`Refusal`]: who refuses it, and when asking again may help.
    pub fn admit(self: &Arc<Self>, limits: &Limits, tenant: u64, now: u64) -> Result<Pass, Refusal> {
        match Gate::of(self.gate.load(Relaxed)) {
            Gate::Closed { episode } if !self.suspects.may_hold(tenant) => Ok(Pass::normal(tenant, episode)),
            Gate::NotClosed { until } if now < until => {
                Err(Refusal { retry_after_ms: until - now, scope: Scope::Upstream })
            }
            Gate::Closed { .. } | Gate::NotClosed { .. } => self.ask_ledger(limits, tenant, now),
        }
    }

    fn ask_ledger(self: &Arc<Self>, limits: &Limits, tenant: u64, now: u64) -> Result<Pass, Refusal> {
        let mut ledger = self.lock();
        let (trial, changes) = ledger.admit(limits, tenant, now)?;
        let episode = ledger.circuit.episode();
        Ok(if trial.anybody() {
            Pass::of_trial(Arc::clone(self), tenant, episode, trial, changes)
        } else {
            Pass::normal(tenant, episode)
        })
    }

    /// Takes note of what became of a request. `chance` is uniform over `u32`; it spreads the end of an open time.
    ///
    /// What was let through before the breaker opened tells nothing about what the upstream is now, and is ignored.
    pub fn record(&self, limits: &Limits, mut pass: Pass, outcome: Outcome, now: u64, chance: u32) -> Changes {
        let tenant = pass.tenant;
        self.traffic.count(limits.window_ms, tenant, now);
        if outcome == Outcome::Success && !pass.is_trial() && !self.suspects.may_hold(tenant) {
            return Changes::default();
        }
        let mut ledger = self.lock();
        if pass.episode != ledger.circuit.episode() {
            // the pass takes the lock itself to give back its places
            drop(ledger);
            return Changes::default();
        }
        let report = Report { tenant, trial: pass.settle(), outcome, now, chance };
        let changes = ledger.judge(limits, &report, &self.traffic);
        self.mirror(&mut ledger, changes.upstream, now);
        changes
    }

    /// Tells the readers without the lock what has changed, before the lock is let go.
    fn mirror(&self, ledger: &mut Ledger, upstream: Option<State>, now: u64) {
        match upstream {
            Some(State::Open { until }) => {
                self.gate.store(Gate::NotClosed { until }.word(), Relaxed);
                self.recovery.end();
            }
            Some(State::Closed) => {
                self.recovery.begin(now);
                self.gate.store(Gate::Closed { episode: ledger.circuit.episode() }.word(), Relaxed);
            }
            Some(State::HalfOpen) | None => {}
        }
        ledger.tenants.publish(&self.suspects);
    }

    /// State of the upstream's breaker. An open one counts as half-open once its time is up.
    #[must_use]
    pub fn state(&self, now: u64) -> State {
        match Gate::of(self.gate.load(Relaxed)) {
            Gate::Closed { .. } => State::Closed,
            Gate::NotClosed { until } if now < until => State::Open { until },
            Gate::NotClosed { .. } => State::HalfOpen,
        }
    }

    /// Whether it is closed and was never otherwise. One relaxed load each of two words.
    #[must_use]
    pub fn is_untroubled(&self) -> bool {
        matches!(Gate::of(self.gate.load(Relaxed)), Gate::Closed { .. }) && !self.recovery.was_begun()
    }

    /// State of a tenant's own breaker for this upstream. Takes the lock.
    #[must_use]
    pub fn tenant_state(&self, tenant: u64, now: u64) -> State {
        self.lock().tenants.state(tenant, now)
    }

    /// Whether the slot at position `rank` of the ramps' order is back after an outage: always, unless the breaker has
    /// closed less than `recovery_ms` ago. Asked before [`Breaker::admit`]; open and half-open are that one's business.
    #[must_use]
    pub fn holds(&self, limits: &Limits, rank: u16, now: u64) -> bool {
        self.recovery.share(limits, now).holds(rank)
    }

    /// The share of slots that [`Breaker::holds`], in per mille, rounded down.
    #[must_use]
    pub fn share(&self, limits: &Limits, now: u64) -> u32 {
        self.recovery.share(limits, now).per_mille()
    }

    /// What it has counted. Takes the lock and walks the tenants: for status pages.
    #[must_use]
    pub fn counts(&self, limits: &Limits, now: u64) -> Counts {
        let ledger = self.lock();
        let evidence = ledger.evidence(limits, &self.traffic, now);
        Counts {
            requests: evidence.requests,
            answer_failures: evidence.failures.answers,
            transport_failures: evidence.failures.transport,
            active_tenants: evidence.active.estimate(),
            failing_tenants: evidence.failures.failing.estimate(),
            tenants_kept: ledger.tenants.len(),
            tenants_open: ledger.tenants.open_count(now),
            tenants_evicted: ledger.tenants.evicted(),
            trials_running: ledger.circuit.running(),
            relapses: ledger.circuit.relapses(),
        }
    }

    /// A panic under the lock leaves whole numbers behind, so whoever comes next goes on with them.
    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
