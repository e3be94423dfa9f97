//! Whether a tenant may have a breaker of its own here, asked on the way of every request without a lock.
//!
//! A Bloom filter with one hash. Invariant: no tenant that is kept is ever missing; one that is not kept is found with
//! probability (kept / 4,096) at most, and then only asks the lock in vain.

use crate::upstream::sync::{AtomicU64, Ordering::Relaxed};

const WORDS: usize = 64;

/// The filter.
#[derive(Debug)]
pub(super) struct Suspects {
    words: [AtomicU64; WORDS],
}

impl Suspects {
    pub(super) fn new() -> Self {
        Self { words: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// Whether the tenant may be kept.
    pub(super) fn may_hold(&self, tenant: u64) -> bool {
        let (word, bit) = position(tenant);
        self.words[word].load(Relaxed) & bit != 0
    }

    /// Replaces what it holds. Called under the ledger's lock; each word changes at once, so that nobody who stays is
    /// missing in between.
    pub(super) fn publish(&self, tenants: impl Iterator<Item = u64>) {
        let mut words = [0; WORDS];
        for tenant in tenants {
            let (word, bit) = position(tenant);
            words[word] |= bit;
        }
        for (shared, word) in self.words.iter().zip(words) {
            shared.store(word, Relaxed);
        }
    }
}

/// By the lower twelve bits of the hash; the upper ones choose the bit in a set of tenants.
fn position(tenant: u64) -> (usize, u64) {
    ((tenant >> 6) as usize % WORDS, 1 << (tenant % 64))
}
