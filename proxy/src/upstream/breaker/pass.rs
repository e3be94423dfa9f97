//! The right to send one request, and the place of a trial that goes with it.
//!
//! Invariant: a trial's place comes back exactly once: with what the request tells, or, if it tells nothing (its client
//! went away, its task was cut or panicked), when the pass is dropped. No expiry is needed besides: a request has a
//! deadline, and what holds its pass ends with it.

use std::sync::Arc;

use super::{Breaker, Changes, ledger::TrialOf};

/// Let through. Hand it to [`Breaker::record`]; dropping it says nothing about the upstream.
#[derive(Debug)]
#[must_use = "dropping a pass says that nothing was learnt"]
pub struct Pass {
    pub(super) tenant: u64,
    pub(super) episode: u64,
    /// On the heap: nearly no pass has one.
    trial: Option<Box<Trial>>,
}

#[derive(Debug)]
struct Trial {
    breaker: Arc<Breaker>,
    of: TrialOf,
    changes: Changes,
}

impl Pass {
    /// Through a closed breaker.
    pub(super) fn normal(tenant: u64, episode: u64) -> Self {
        Self { tenant, episode, trial: None }
    }

    /// With the places that were taken for it.
    pub(super) fn of_trial(breaker: Arc<Breaker>, tenant: u64, episode: u64, of: TrialOf, changes: Changes) -> Self {
        Self { tenant, episode, trial: Some(Box::new(Trial { breaker, of, changes })) }
    }

    /// Whether it is a trial of a half-open breaker: such a request should not be retried elsewhere before it has told.
    #[must_use]
    pub fn is_trial(&self) -> bool {
        self.trial.is_some()
    }

    /// The breakers that became half-open with this pass.
    #[must_use]
    pub fn changes(&self) -> Changes {
        self.trial.as_ref().map_or(Changes::default(), |trial| trial.changes)
    }

    /// For whom it is a trial; from here on it no longer gives anything back by itself.
    pub(super) fn settle(&mut self) -> TrialOf {
        self.trial.take().map_or(TrialOf::default(), |trial| trial.of)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(trial) = self.trial.take() {
            trial.breaker.lock().give_back(trial.of, self.tenant, self.episode);
        }
    }
}
