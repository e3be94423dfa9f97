//! After closing, slots come back one after another: from 10 % to all over the recovery, in the ramps' order.
//!
//! Local to this process. Invariant: the share only rises, so a slot that has come back stays.

use super::Limits;
use crate::upstream::sync::{AtomicU64, Ordering::Relaxed};

/// The share that comes back at once, in per mille.
const FIRST_PER_MILLE: u64 = 100;

/// When the breaker closed last, for readers without the lock.
#[derive(Debug)]
pub(super) struct Recovery {
    /// Milliseconds plus one; 0 is: not recovering.
    closed_at: AtomicU64,
}

impl Recovery {
    pub(super) fn new() -> Self {
        Self { closed_at: AtomicU64::new(0) }
    }

    pub(super) fn begin(&self, now: u64) {
        self.closed_at.store(now.saturating_add(1), Relaxed);
    }

    /// Whether it has closed after an outage at any time since it last opened.
    pub(super) fn was_begun(&self) -> bool {
        self.closed_at.load(Relaxed) != 0
    }

    pub(super) fn end(&self) {
        self.closed_at.store(0, Relaxed);
    }

    /// The share of slots that are back, as an exact fraction.
    pub(super) fn share(&self, limits: &Limits, now: u64) -> Share {
        let Some(closed_at) = self.closed_at.load(Relaxed).checked_sub(1) else { return Share::ALL };
        let elapsed = now.saturating_sub(closed_at);
        if elapsed >= limits.recovery_ms {
            return Share::ALL;
        }
        let whole = u128::from(limits.recovery_ms) * 1_000;
        let risen = u128::from(1_000 - FIRST_PER_MILLE) * u128::from(elapsed);
        Share { back: u128::from(FIRST_PER_MILLE) * u128::from(limits.recovery_ms) + risen, whole }
    }
}

/// A fraction of the slots.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    back: u128,
    whole: u128,
}

impl Share {
    const ALL: Self = Self { back: 1, whole: 1 };

    /// Rounded down.
    pub(super) fn per_mille(self) -> u32 {
        (1_000 * self.back / self.whole) as u32
    }

    /// Whether the slot at position `rank` of 65,536 is back.
    pub(super) fn holds(self, rank: u16) -> bool {
        u128::from(rank) * self.whole < self.back << 16
    }
}
