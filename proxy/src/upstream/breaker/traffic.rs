//! Requests and active tenants of the window, counted by every worker without a lock.
//!
//! The only thing that a healthy request writes: one addition, and a bit when its tenant has none in this bucket yet.
//! Invariant: a request is never lost from the count. A tenant's bit may be, in the instant in which its bucket turns;
//! the tenant's next request sets it again.

use super::{
    quorum::TenantSet,
    window::{BUCKETS, epoch, index, is_within},
};
use crate::upstream::sync::{AtomicU64, Ordering::Relaxed};

/// The window. Relaxed throughout: it guards nothing, and who judges by it takes what is there.
#[derive(Debug)]
pub(super) struct Traffic {
    buckets: [Bucket; BUCKETS],
}

/// A cache line of its own: what every worker writes must not take from the others what they only read.
#[derive(Debug)]
#[repr(align(64))]
struct Bucket {
    /// Epoch in the upper half, requests in the lower: one word, so that a count cannot end up in another epoch's sum.
    requests: AtomicU64,
    active: AtomicU64,
}

impl Traffic {
    pub(super) fn new() -> Self {
        let empty = || Bucket { requests: AtomicU64::new(0), active: AtomicU64::new(0) };
        Self { buckets: std::array::from_fn(|_| empty()) }
    }

    /// A request that has got an answer or should have got one.
    pub(super) fn count(&self, window_ms: u64, tenant: u64, now: u64) {
        let epoch = epoch(window_ms, now);
        let bucket = &self.buckets[index(epoch)];
        let tenant = TenantSet::of(tenant).bits();
        let before = bucket.requests.load(Relaxed);
        if upper(before) != epoch {
            let first = u64::from(epoch) << 32 | 1;
            if bucket.requests.compare_exchange(before, first, Relaxed, Relaxed).is_ok() {
                bucket.active.store(tenant, Relaxed);
                return;
            }
            // somebody else has turned the bucket
        }
        bucket.requests.fetch_add(1, Relaxed);
        if bucket.active.load(Relaxed) & tenant == 0 {
            bucket.active.fetch_or(tenant, Relaxed);
        }
    }

    /// Requests in the window, and their tenants.
    pub(super) fn sum(&self, window_ms: u64, now: u64) -> (u64, TenantSet) {
        let epoch = epoch(window_ms, now);
        let mut sum = (0, TenantSet::default());
        for bucket in &self.buckets {
            let requests = bucket.requests.load(Relaxed);
            if is_within(upper(requests), epoch) {
                sum.0 += u64::from(requests as u32);
                sum.1 = sum.1.union(TenantSet::from_bits(bucket.active.load(Relaxed)));
            }
        }
        sum
    }
}

fn upper(word: u64) -> u32 {
    (word >> 32) as u32
}
