//! How many requests the tenants of a stamp make, hour by hour: what proxies add up in the limits store, and what follows
//! from it.
//!
//! Invariant: an hour that nobody counted is unknown, which is not the same as an hour without requests.

use std::collections::BTreeMap;

use crate::{id::TenantId, table::Millis};

pub mod hot;
mod store;
#[cfg(test)]
mod tests;

pub use store::{FIELDS_MAX, KEPT_HOURS, Traffic, TrafficError};

/// Milliseconds of an hour.
pub const HOUR: Millis = 3_600_000;

/// The hour of an instant: hours since the Unix epoch.
#[must_use]
pub const fn hour_of(at: Millis) -> u64 {
    at / HOUR
}

/// What is known of one hour of one stamp.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hour {
    /// Requests of all tenants; never 0.
    pub total: u64,
    /// Requests of those that made the most, none more than `total`.
    pub tenants: BTreeMap<TenantId, u64>,
}

/// The hours of one stamp that are known, by [`hour_of`].
pub type Hours = BTreeMap<u64, Hour>;

/// Requests a second of an hour, on average.
#[must_use]
pub fn per_second(requests: u64) -> f64 {
    requests as f64 * 1_000.0 / HOUR as f64
}
