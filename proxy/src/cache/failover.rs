//! What is known of requests that another stamp than the owner has served.
//!
//! A stamp that serves for another one tells it, by way of the routing store, whose kept answers may be old ([`Outbox`]); an
//! entry that has sent a tenant's requests elsewhere has the owner look and keep nothing for it for a while ([`Absences`]).
//!
//! Invariant: both are bounded, and what there is no room for widens to all tenants; nothing is forgotten that is not counted.

mod absences;
mod outbox;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::telemetry::cache::FailoverMetrics;

pub use absences::{Absence, Absences, BYPASS};
pub use outbox::Outbox;

/// Both, and what happened.
#[derive(Default)]
pub struct Failover {
    /// What other stamps are to be told.
    pub outbox: Outbox,
    /// Tenants whose requests have gone elsewhere than to their owner.
    pub absences: Absences,
    /// Sums since the start.
    pub counts: Counts,
}

impl Failover {
    /// Shows how it stands.
    pub(super) fn show(&self, metrics: &FailoverMetrics) {
        let (counts, of) = (&self.counts, |count: &AtomicU64| count.load(Relaxed));
        let (absent, crowded) = self.absences.held();
        let (widened, dropped) = self.outbox.overflows();
        metrics.waiting.set(self.outbox.waiting() as f64);
        metrics.absent.set(absent as f64);
        metrics.told.absolute(of(&counts.told));
        metrics.tell_failures.absolute(of(&counts.tell_failures));
        metrics.widened.absolute(widened + crowded);
        metrics.lost.absolute(of(&counts.lost) + dropped);
        metrics.heard.absolute(of(&counts.heard));
        metrics.not_understood.absolute(of(&counts.not_understood));
        metrics.gaps.absolute(of(&counts.gaps));
        metrics.read_failures.absolute(of(&counts.read_failures));
    }
}

/// Sums since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// Notices that the routing store has taken.
    pub told: AtomicU64,
    /// Tries to tell that failed; they are repeated.
    pub tell_failures: AtomicU64,
    /// Notices that were left when the process ended, or for which there was no room at all.
    pub lost: AtomicU64,
    /// Tenants that this stamp was told of.
    pub heard: AtomicU64,
    /// Entries of the routing store that were not understood.
    pub not_understood: AtomicU64,
    /// Times that everything from before was taken out of use, because notices may have been missed.
    pub gaps: AtomicU64,
    /// Tries to read that failed.
    pub read_failures: AtomicU64,
}
