//! Promises of the breaker, each over its public calls.

mod half_open;
mod simulation;
mod tenants;
mod threads;
mod upstream;
mod window;

use std::sync::Arc;

use super::{Breaker, Changes, Limits, Outcome, Pass, Refusal, Scope, State};

use Outcome::{AnswerFailure, Success, TransportFailure};

/// A breaker at an instant of its own, which begins a tenth of every preset's window; without jitter.
struct Rig {
    breaker: Arc<Breaker>,
    limits: Limits,
    now: u64,
}

impl Rig {
    fn new(limits: Limits) -> Self {
        Self { breaker: Arc::default(), limits, now: 3_000_000 }
    }

    fn admit(&self, tenant: u64) -> Result<Pass, Refusal> {
        self.breaker.admit(&self.limits, tenant, self.now)
    }

    fn record(&self, pass: Pass, outcome: Outcome) -> Changes {
        self.breaker.record(&self.limits, pass, outcome, self.now, 0)
    }

    /// One request that is let through.
    fn pass(&self, tenant: u64, outcome: Outcome) -> Changes {
        let pass = self.admit(tenant).unwrap();
        self.record(pass, outcome)
    }

    fn refused_by(&self, tenant: u64) -> Option<Scope> {
        self.admit(tenant).err().map(|refusal| refusal.scope)
    }

    fn state(&self) -> State {
        self.breaker.state(self.now)
    }

    /// Opened by as many refused connections as it takes.
    fn opened(limits: Limits) -> Self {
        let rig = Self::new(limits);
        for _ in 0..limits.failures {
            rig.pass(tenant(0), TransportFailure);
        }
        assert!(rig.state().is_open());
        rig
    }

    /// Opened, and its time is up.
    fn half_open(limits: Limits) -> Self {
        let mut rig = Self::opened(limits);
        rig.now += limits.open_ms;
        rig
    }

    /// Opened, and closed by as many trials as it takes.
    fn closed_again(limits: Limits) -> Self {
        let rig = Self::half_open(limits);
        for trial in 0..u64::from(limits.trials) {
            rig.pass(tenant(trial), Success);
        }
        assert_eq!(rig.state(), State::Closed);
        rig
    }
}

/// Tenants below 64 never share a bit, neither among the tenants of a window nor among the suspects.
fn tenant(number: u64) -> u64 {
    number << 58 | number
}

const LIMITS: Limits = Limits::DEFAULT;

#[test]
fn it_opens_at_its_count_and_closes_after_its_trials() {
    for (failures, trials) in [(5, 3), (10, 5), (3, 1), (1, 1)] {
        let limits = Limits { failures, trials, ..LIMITS };
        let rig = Rig::new(limits);
        for _ in 1..limits.failures {
            rig.pass(tenant(0), TransportFailure);
        }
        assert_eq!(rig.state(), State::Closed, "{failures} failures");
        Rig::closed_again(limits);
    }
}
