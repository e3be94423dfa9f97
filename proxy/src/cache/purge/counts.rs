//! What purges did, for people and metrics.
//!
//! Invariant: each number only grows.

use std::sync::atomic::AtomicU64;

/// Sums since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// Purges of the stream that took effect.
    pub applied: AtomicU64,
    /// Of those the ones that were not understood: the tenant was purged, or everything.
    pub not_understood: AtomicU64,
    /// Resources and tags that this process took out of use itself.
    pub marks: AtomicU64,
    /// Purges that it has written to the stream.
    pub appended: AtomicU64,
    /// Tries to write that failed; they are repeated.
    pub append_failures: AtomicU64,
    /// Tenants that were purged as a whole because there was no room for more.
    pub tenants_widened: AtomicU64,
    /// Times that everything old was purged because there was no room for more tenants or classes.
    pub overflows: AtomicU64,
    /// Times that a part of the stream was missing: everything from before was purged.
    pub gaps: AtomicU64,
    /// Times that the store was another one, or had forgotten: everything was purged, in all processes.
    pub restarts: AtomicU64,
    /// Connections for reading that were opened.
    pub connections: AtomicU64,
    /// Messages of the channel `invalidation` that purged something.
    pub messages: AtomicU64,
    /// Those that were dropped because they are not `{tenant, object}`.
    pub messages_refused: AtomicU64,
}
