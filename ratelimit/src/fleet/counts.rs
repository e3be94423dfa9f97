//! What the limits store was used for, for people and metrics.
//!
//! Invariant: each number only grows.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Sums since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// Pipelines that were sent.
    pub calls: AtomicU64,
    /// Of those the ones for requests that waited.
    pub direct_calls: AtomicU64,
    /// Keys that they asked about.
    pub key_operations: AtomicU64,
    /// Reports on leases that were answered.
    pub refills: AtomicU64,
    /// Requests, or pipelines of the background, that had no answer in time.
    pub timeouts: AtomicU64,
    /// Pipelines that were refused or lost with their connection.
    pub failures: AtomicU64,
    /// Times that the store went away.
    pub outages: AtomicU64,
    /// Requests that waited for the store.
    pub waits: AtomicU64,
    /// Of those the ones that it refused.
    pub denied: AtomicU64,
    /// Requests that were decided without the store because it did not answer.
    pub alone: AtomicU64,
}

pub(super) fn add(count: &AtomicU64, more: usize) {
    count.fetch_add(more as u64, Relaxed);
}
