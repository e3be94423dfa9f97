//! What the workers counted in the same time, as one.
//!
//! Invariant: no row says more than the tenant has made, and the rows together no more than all have.

use std::{cmp::Reverse, collections::HashMap, time::Duration};

use synaxis_routing::id::TenantId;

use super::Sketch;

/// Most tenants that are kept of a minute.
pub const ROWS_MAX: usize = 50;

/// Who made requests in a time that is over. About a minute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Minute {
    /// How long it was; 0 before the first one is over.
    pub window: Duration,
    /// Requests of all tenants.
    pub total: u64,
    /// How many of them were refused.
    pub refused: u64,
    /// The tenants with the most, most first, at most [`ROWS_MAX`].
    pub rows: Vec<Row>,
    /// Most requests that a tenant can have made that has no row.
    pub unlisted_max: u64,
}

/// One tenant's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Who.
    pub tenant: TenantId,
    /// Requests, at least.
    pub requests: u64,
    /// By how much that may be too low.
    pub error: u64,
    /// How many of them were refused, at least.
    pub refused: u64,
}

impl Minute {
    /// From what each worker counted.
    #[must_use]
    pub fn merge(sketches: &[Sketch], window: Duration) -> Self {
        let leasts: Vec<u64> = sketches.iter().map(Sketch::least).collect();
        let unknown: u64 = leasts.iter().sum();
        let (mut total, mut refused) = (0, 0);
        let mut rows: HashMap<TenantId, Row> = HashMap::new();
        for (sketch, least) in sketches.iter().zip(leasts) {
            let totals = sketch.totals();
            total += totals.0;
            refused += totals.1;
            for counted in sketch.counted() {
                let tenant = counted.tenant;
                // of whom a worker keeps no counter it may have seen as many as its smallest holds
                let row = rows.entry(tenant).or_insert(Row { tenant, requests: 0, error: unknown, refused: 0 });
                row.requests += counted.requests;
                row.refused += counted.refused;
                row.error = row.error + counted.error - least;
            }
        }
        let mut rows: Vec<Row> = rows.into_values().collect();
        rows.sort_unstable_by_key(|row| (Reverse(row.requests), row.tenant));
        let cut = rows.iter().skip(ROWS_MAX).map(|row| row.requests + row.error).max();
        rows.truncate(ROWS_MAX);
        Self { window, total, refused, rows, unlisted_max: unknown.max(cut.unwrap_or(0)) }
    }

    /// Requests and refused ones of all but the first `count` rows.
    #[must_use]
    pub fn others(&self, count: usize) -> (u64, u64) {
        let sum = |(requests, refused): (u64, u64), row: &Row| (requests + row.requests, refused + row.refused);
        let (requests, refused) = self.rows.iter().take(count).fold((0, 0), sum);
        (self.total.saturating_sub(requests), self.refused.saturating_sub(refused))
    }
}
