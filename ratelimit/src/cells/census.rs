//! How many cells there are, and how many of each tenant.
//!
//! Invariant: a tenant is counted exactly while it has cells of its own, so there are no more counts than cells.

use std::{
    array,
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasherDefault, Hasher},
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use super::{Caps, Charged};
use crate::key::Tenant;

const SHARDS: usize = 64;

type Counts = HashMap<u64, u32, BuildHasherDefault<Mixed>>;

pub(crate) struct Census {
    caps: Caps,
    keys: AtomicUsize,
    tenants: [RwLock<Counts>; SHARDS],
}

impl Census {
    pub(crate) fn new(caps: Caps) -> Self {
        Self { caps, keys: AtomicUsize::new(0), tenants: array::from_fn(|_| RwLock::default()) }
    }

    pub(crate) fn keys(&self) -> usize {
        self.keys.load(Relaxed)
    }

    fn keys_max(&self, charged: Charged) -> usize {
        match charged {
            Charged::Own => self.caps.keys_max - self.caps.keys_max / 16,
            Charged::Tenant | Charged::Limiter => self.caps.keys_max,
        }
    }

    /// Of nobody, so many that half of all are left to tenants.
    fn own_max(&self, tenant: u64) -> usize {
        if tenant == Tenant::NOBODY.0 { self.caps.keys_max / 2 } else { self.caps.tenant_keys_max as usize }
    }

    fn tenants(&self, tenant: u64) -> &RwLock<Counts> {
        &self.tenants[(tenant >> 40) as usize % SHARDS]
    }

    /// Whether [`enter`](Self::enter) would let one in.
    pub(crate) fn has_room(&self, tenant: u64, charged: Charged) -> bool {
        if self.keys() >= self.keys_max(charged) {
            return false;
        }
        if charged != Charged::Own {
            return true;
        }
        let counts = self.tenants(tenant).read().unwrap_or_else(PoisonError::into_inner);
        counts.get(&tenant).is_none_or(|&count| (count as usize) < self.own_max(tenant))
    }

    /// Counts a cell, if there is room for it.
    pub(crate) fn enter(&self, tenant: u64, charged: Charged) -> bool {
        let max = self.keys_max(charged);
        if self.keys.fetch_update(Relaxed, Relaxed, |keys| (keys < max).then_some(keys + 1)).is_err() {
            return false;
        }
        if charged != Charged::Own {
            return true;
        }
        let mut counts = self.tenants(tenant).write().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(tenant).or_default();
        if (*count as usize) < self.own_max(tenant) {
            *count += 1;
            return true;
        }
        self.keys.fetch_sub(1, Relaxed);
        false
    }

    /// A counted cell is gone.
    pub(crate) fn leave(&self, tenant: u64, charged: Charged) {
        self.keys.fetch_sub(1, Relaxed);
        if charged != Charged::Own {
            return;
        }
        let mut counts = self.tenants(tenant).write().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = counts.entry(tenant) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// Hands on what is mixed already.
#[derive(Default)]
struct Mixed(u64);

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
