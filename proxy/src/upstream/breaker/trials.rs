//! Who tries a half-open upstream: different tenants, as far as there are any, so that no single one decides.
//!
//! Invariant: a tenant that is alone is never refused for long, and one tenant's failing answers never keep the
//! upstream closed to others.

use super::quorum::TenantSet;

/// A place that no new tenant has asked for in so long goes to whoever asks, in milliseconds.
const PATIENCE_MS: u64 = 1_000;

/// The tenants of one half-open time.
#[derive(Debug, Default)]
pub(super) struct Trials {
    /// Tenants that were active when the upstream's breaker opened.
    expected: u32,
    tried: TenantSet,
    failed: Option<u64>,
    /// When the last place was taken, or when the first one is there to be taken.
    since: u64,
}

impl Trials {
    /// A new round, from `at` on.
    pub(super) fn begin(&mut self, expected: u32, at: u64) {
        *self = Self { expected, since: at, ..Self::default() };
    }

    /// Another round after a trial failed, from `at` on, among the same tenants.
    pub(super) fn begin_again(&mut self, at: u64) {
        self.begin(self.expected, at);
    }

    /// Whether the tenant may have a free place.
    pub(super) fn welcomes(&self, tenant: u64, own_is_closed: bool, now: u64) -> bool {
        let is_new = own_is_closed && !self.tried.may_hold(tenant);
        // where tenants have no breaker of their own, nothing else keeps one from spending every trial
        let is_other = self.failed != Some(tenant) && self.tried.estimate() >= self.expected;
        is_new || is_other || now.saturating_sub(self.since) >= PATIENCE_MS
    }

    /// The tenant has taken a place.
    pub(super) fn note(&mut self, tenant: u64, now: u64) {
        self.tried = self.tried.union(TenantSet::of(tenant));
        self.since = now;
    }

    /// The tenant's answer failed. Whether another tenant's had failed before.
    pub(super) fn fail(&mut self, tenant: u64) -> bool {
        *self.failed.get_or_insert(tenant) != tenant
    }
}
