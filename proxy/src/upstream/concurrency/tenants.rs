//! Requests in flight of each tenant, exact, in shards that lock apart from each other.
//!
//! Invariant: a tenant is in the map exactly while it has requests in flight, so the map has no more entries than
//! there are permits.

use std::{
    array,
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    fmt,
    hash::{BuildHasherDefault, Hash, Hasher},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Enough that the workers of one machine seldom meet; 4 KiB for each upstream.
const SHARDS: usize = 64;

/// A tenant's fingerprint of 128 well-mixed bits, taken for its identity.
///
/// Whoever makes it keys the hash with a secret of the process: tenants choose their names, and one that could compute
/// fingerprints could crowd a shard or share the count of another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TenantKey([u64; 2]);

impl TenantKey {
    /// From 128 bits of which all are well mixed, such as a keyed hash of 128 bits of the name.
    #[must_use]
    pub fn new(fingerprint: u128) -> Self {
        Self([fingerprint as u64, (fingerprint >> 64) as u64])
    }

    /// Half of it, for who needs no more to tell tenants apart.
    #[must_use]
    pub fn half(self) -> u64 {
        self.0[0]
    }

    /// The upper half chooses the shard, the lower one the place in it.
    fn shard(self) -> usize {
        self.0[1] as usize % SHARDS
    }
}

impl Hash for TenantKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0[0]);
    }
}

impl fmt::Debug for TenantKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.0[1], self.0[0])
    }
}

/// Hands on what is mixed already.
#[derive(Default)]
pub(super) struct Mixed(u64);

impl Hasher for Mixed {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, mixed: u64) {
        self.0 = mixed;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Requests in flight by tenant, of the tenants of one shard; never zero.
pub(super) type Counts = HashMap<TenantKey, u32, BuildHasherDefault<Mixed>>;

/// A cache line of its own, or neighbours would contend for it.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard(Mutex<Counts>);

/// All tenants with requests in flight.
#[derive(Debug)]
pub(super) struct Tenants([Shard; SHARDS]);

impl Default for Tenants {
    fn default() -> Self {
        Self(array::from_fn(|_| Shard::default()))
    }
}

impl Tenants {
    /// The locked counts of the shard in which `tenant` is, or would be.
    pub(super) fn counts_with(&self, tenant: TenantKey) -> MutexGuard<'_, Counts> {
        self.0[tenant.shard()].lock()
    }

    /// How many tenants have requests in flight.
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|shard| shard.lock().len()).sum()
    }

    /// The `n` tenants with the most, most first.
    pub(super) fn top(&self, n: usize) -> Vec<(TenantKey, u32)> {
        let mut top = BinaryHeap::with_capacity(n + 1);
        for shard in &self.0 {
            for (&tenant, &count) in shard.lock().iter() {
                top.push(Reverse((count, tenant)));
                if top.len() > n {
                    top.pop();
                }
            }
        }
        top.into_sorted_vec().into_iter().map(|Reverse((count, tenant))| (tenant, count)).collect()
    }
}

impl Shard {
    /// A panic elsewhere poisons nothing here: each change to the counts is a single step.
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
