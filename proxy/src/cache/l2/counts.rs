//! What the second level was used for, for people and metrics.
//!
//! Invariant: each number only grows.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::codec::DecodeError;

/// Sums since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// Reads that were sent.
    pub reads: AtomicU64,
    /// Records that were found and good.
    pub found: AtomicU64,
    /// Reads without an answer in time.
    pub late: AtomicU64,
    /// Reads that were not sent because too many were on their way.
    pub busy: AtomicU64,
    /// Calls that were refused or lost with their connection.
    pub failures: AtomicU64,
    /// Times that the store went away.
    pub outages: AtomicU64,
    /// Values that were written.
    pub written: AtomicU64,
    /// Those that the server refused, for want of memory say.
    pub refused: AtomicU64,
    /// Those that were dropped: no room in the queue, or no store.
    pub dropped: AtomicU64,
    /// Those that were larger than a value may be.
    pub too_large: AtomicU64,
    unreadable: [AtomicU64; DecodeError::ALL.len()],
}

impl DecodeError {
    /// Every error.
    pub const ALL: [Self; 8] = [
        Self::TooLarge,
        Self::Truncated,
        Self::Magic,
        Self::Version,
        Self::Checksum,
        Self::Mac,
        Self::WrongKey,
        Self::Unsound,
    ];

    /// As a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Truncated => "truncated",
            Self::Magic => "magic",
            Self::Version => "version",
            Self::Checksum => "checksum",
            Self::Mac => "mac",
            Self::WrongKey => "wrong_key",
            Self::Unsound => "unsound",
        }
    }
}

impl Counts {
    /// Records that were found and could not be used for this reason.
    #[must_use]
    pub fn unreadable(&self, why: DecodeError) -> u64 {
        self.unreadable[why as usize].load(Relaxed)
    }

    pub(super) fn count_unreadable(&self, why: DecodeError) {
        self.unreadable[why as usize].fetch_add(1, Relaxed);
    }
}
