//! Which tenants make the most requests, in fixed memory however many tenants there are.
//!
//! Space-Saving (Metwally, Agrawal and El Abbadi, "Efficient Computation of Frequent and Top-k Elements in Data Streams",
//! 2005): [`COUNTERS`] counters; a tenant without one takes over the smallest and what stands in it. Invariant: of `n`
//! requests a tenant's count is never too high, and too low by no more than `n / COUNTERS`; who makes more than that share
//! of the requests always has a counter.

mod exposition;
mod merge;
#[cfg(test)]
mod tests;

use synaxis_routing::id::TenantId;

pub use exposition::exposition;
pub use merge::{Minute, ROWS_MAX, Row};

/// Counters of one worker: some 11 KiB.
pub const COUNTERS: usize = 64;
/// Counters that are compared together: four registers of 128 bits, which every machine has.
const LANES: usize = 8;

/// Counts the requests of one worker, which alone writes it.
pub struct Sketch {
    /// Fingerprints; 0 where `counts` is 0, and nowhere else but for a chance of one in 2^64.
    keys: [u64; COUNTERS],
    /// Most that the tenant can have made.
    counts: [u64; COUNTERS],
    /// What stood in the counter when the tenant took it over.
    inherited: [u64; COUNTERS],
    /// Requests of the tenant that were refused since then.
    refused: [u64; COUNTERS],
    tenants: Box<[Option<TenantId>; COUNTERS]>,
    total: u64,
    total_refused: u64,
}

impl Default for Sketch {
    fn default() -> Self {
        Self {
            keys: [0; COUNTERS],
            counts: [0; COUNTERS],
            inherited: [0; COUNTERS],
            refused: [0; COUNTERS],
            tenants: Box::new([None; COUNTERS]),
            total: 0,
            total_refused: 0,
        }
    }
}

/// One tenant in a [`Sketch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Who.
    pub tenant: TenantId,
    /// Requests that it has made at least.
    pub requests: u64,
    /// By how much that may be too low.
    pub error: u64,
    /// How many of them were refused at least.
    pub refused: u64,
}

impl Sketch {
    /// Counts one request. `key` is 64 well-mixed bits of the tenant that no tenant can compute.
    #[inline]
    pub fn count(&mut self, key: u64, tenant: &TenantId, refused: bool) {
        self.total += 1;
        self.total_refused += u64::from(refused);
        let at = self.find(key).unwrap_or_else(|| self.take_over(key, tenant));
        self.counts[at] += 1;
        self.refused[at] += u64::from(refused);
    }

    #[inline]
    fn find(&self, key: u64) -> Option<usize> {
        let (groups, _) = self.keys.as_chunks::<LANES>();
        // without an early end inside a group, so that its lanes are compared together
        let group = groups.iter().position(|lanes| lanes.iter().fold(false, |found, lane| found | (*lane == key)))?;
        let lane = groups[group].iter().position(|lane| *lane == key)?;
        Some(group * LANES + lane).filter(|at| self.counts[*at] > 0)
    }

    /// The smallest counter becomes this tenant's.
    fn take_over(&mut self, key: u64, tenant: &TenantId) -> usize {
        let least = self.least();
        let at = self.counts.iter().position(|count| *count == least).unwrap_or(0);
        self.keys[at] = key;
        self.inherited[at] = least;
        self.refused[at] = 0;
        self.tenants[at] = Some(*tenant);
        at
    }

    /// What a tenant without a counter can have made at most.
    #[must_use]
    pub fn least(&self) -> u64 {
        self.counts.iter().fold(u64::MAX, |least, count| least.min(*count))
    }

    /// All requests, and how many of them were refused.
    #[must_use]
    pub fn totals(&self) -> (u64, u64) {
        (self.total, self.total_refused)
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// The tenants that have a counter, in no order.
    pub fn counted(&self) -> impl Iterator<Item = Counted> {
        self.tenants.iter().enumerate().filter_map(|(at, tenant)| {
            let error = self.inherited[at];
            Some(Counted { tenant: (*tenant)?, requests: self.counts[at] - error, error, refused: self.refused[at] })
        })
    }
}
