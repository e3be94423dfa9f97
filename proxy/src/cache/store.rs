//! The answers that this process keeps in memory (L1).
//!
//! Invariant: what all of them take is bounded, and so is what each tenant and each class has; a tenant that has its share
//! loses nothing to others and takes nothing from them. What is found has the key that was asked for.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hasher},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicU64, AtomicUsize,
            Ordering::{AcqRel, Relaxed},
        },
    },
    time::{Duration, Instant},
};

use moka::{Expiry, notification::RemovalCause, sync::Cache};
use synaxis_routing::id::TenantId;

use super::{
    entry::Entry,
    freshness::{Millis, Names},
    key::Key,
};

const SHARDS: usize = 16;
/// Bytes that a note without a body takes.
const NOTE: usize = 400;

/// What is known of a key.
#[derive(Clone, Debug)]
pub enum Known {
    /// An answer.
    Kept(Arc<Entry>),
    /// The answers of this URL depend on fields of the request.
    Varies(Arc<Varies>),
    /// The last answer was not to be kept.
    Passes(Arc<Passes>),
}

/// A URL whose answers depend on fields of the request.
#[derive(Debug)]
pub struct Varies {
    /// Of the URL.
    pub key: Key,
    /// Which fields.
    pub names: Names,
    tenant: TenantId,
    life: Duration,
}

/// A URL whose answers are not kept.
#[derive(Debug)]
pub struct Passes {
    /// Of the URL.
    pub key: Key,
    /// Until when nobody waits for one.
    pub until: Millis,
    tenant: TenantId,
    life: Duration,
}

/// One thing in the store, with what it takes there.
#[derive(Clone, Debug)]
struct Slot {
    known: Known,
    bytes: u32,
    life: Duration,
}

/// What bounds a store.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Bytes that one tenant may have.
    pub tenant_bytes: u64,
    /// Answers that the class may have.
    pub entries_max: Option<usize>,
}

/// Why an answer did not come into the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// Its tenant has its share.
    Tenant,
    /// Its class has as many as it may have.
    Class,
}

/// The store.
pub struct Store {
    slots: Cache<u128, Slot, Placed>,
    held: Arc<Held>,
}

/// What is in it, by tenant and by class.
#[derive(Default)]
struct Held {
    tenants: [Mutex<HashMap<TenantId, u64>>; SHARDS],
    classes: Mutex<HashMap<Arc<str>, Arc<AtomicUsize>>>,
    bytes: AtomicU64,
    evicted: AtomicU64,
    expired: AtomicU64,
}

/// How much is in a store, and what has left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Things in it.
    pub entries: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Those that left to make room.
    pub evicted: u64,
    /// Those that left because nobody could use them any more.
    pub expired: u64,
}

impl Store {
    /// An empty one of so many bytes.
    #[must_use]
    pub fn new(memory: u64) -> Self {
        let held = Arc::new(Held::default());
        let leaving = Arc::clone(&held);
        let slots = Cache::builder()
            .max_capacity(memory)
            .weigher(|_, slot: &Slot| slot.bytes)
            .expire_after(Life)
            .eviction_listener(move |_, slot, cause| leaving.leave(&slot, cause))
            .build_with_hasher(Placed);
        Self { slots, held }
    }

    /// What is known of a key, which has this place. A reading that finds another key at its place has found nothing.
    #[must_use]
    pub fn get(&self, place: u128, key: &Key) -> Option<Known> {
        let known = self.slots.get(&place)?.known;
        let same = match &known {
            Known::Kept(entry) => entry.meta.key == *key,
            Known::Varies(varies) => varies.key == *key,
            Known::Passes(passes) => passes.key == *key,
        };
        same.then_some(known)
    }

    /// Keeps an answer for `life`, in place of what was known of its key.
    ///
    /// # Errors
    /// [`Full`]; what was known of the key is gone then as well.
    pub fn keep(&self, place: u128, entry: Arc<Entry>, life: Duration, room: &Room) -> Result<(), Full> {
        let bytes = u32::try_from(entry.bytes()).unwrap_or(u32::MAX);
        // what is replaced leaves first, so that it does not count beside its successor
        self.slots.invalidate(&place);
        let class = self.held.class(&entry.meta.class);
        if room.entries_max.is_some_and(|most| class.load(Relaxed) >= most) {
            return Err(Full::Class);
        }
        if !self.held.enter(&entry.meta.tenant, u64::from(bytes), room.tenant_bytes) {
            return Err(Full::Tenant);
        }
        class.fetch_add(1, AcqRel);
        self.slots.insert(place, Slot { known: Known::Kept(entry), bytes, life });
        Ok(())
    }

    /// Remembers for `life` which fields the answers of a URL depend on.
    pub fn vary(&self, place: u128, (key, tenant): (Key, TenantId), names: Names, life: Duration, room: &Room) {
        let bytes = NOTE + key.as_bytes().len();
        self.note(place, Known::Varies(Arc::new(Varies { key, names, tenant, life })), bytes, room);
    }

    /// Remembers until then, which is in `life`, that the answers of a URL are not kept.
    pub fn pass(&self, place: u128, (key, tenant): (Key, TenantId), until: Millis, life: Duration, room: &Room) {
        let bytes = NOTE + key.as_bytes().len();
        self.note(place, Known::Passes(Arc::new(Passes { key, until, tenant, life })), bytes, room);
    }

    /// Forgets what was known of a key.
    pub fn forget(&self, place: u128) {
        self.slots.invalidate(&place);
    }

    fn note(&self, place: u128, known: Known, bytes: usize, room: &Room) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let (tenant, life) = match &known {
            Known::Varies(varies) => (varies.tenant, varies.life),
            Known::Passes(passes) => (passes.tenant, passes.life),
            Known::Kept(_) => return,
        };
        self.slots.invalidate(&place);
        if self.held.enter(&tenant, u64::from(bytes), room.tenant_bytes) {
            self.slots.insert(place, Slot { known, bytes, life });
        }
    }

    /// Makes room, and forgets what nobody can use any more. To be called some ten times a second.
    pub fn tidy(&self) {
        self.slots.run_pending_tasks();
    }

    /// How much is in it.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            entries: self.slots.entry_count(),
            bytes: self.held.bytes.load(Relaxed),
            evicted: self.held.evicted.load(Relaxed),
            expired: self.held.expired.load(Relaxed),
        }
    }

    /// Bytes that a tenant has in it.
    #[must_use]
    pub fn bytes_of(&self, tenant: &TenantId) -> u64 {
        self.held.tenant(tenant).get(tenant).copied().unwrap_or_default()
    }
}

impl Held {
    fn tenant(&self, tenant: &TenantId) -> MutexGuard<'_, HashMap<TenantId, u64>> {
        let sum =
            tenant.as_bytes().iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
        self.tenants[sum % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of answers of a class; there are as few as the settings have ever had.
    fn class(&self, name: &Arc<str>) -> Arc<AtomicUsize> {
        let mut classes = self.classes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(classes.entry(Arc::clone(name)).or_default())
    }

    /// False: the tenant has its share.
    fn enter(&self, tenant: &TenantId, bytes: u64, most: u64) -> bool {
        let mut tenants = self.tenant(tenant);
        let held = tenants.get(tenant).copied().unwrap_or_default();
        if held + bytes > most {
            return false;
        }
        tenants.insert(*tenant, held + bytes);
        self.bytes.fetch_add(bytes, Relaxed);
        true
    }

    fn leave(&self, slot: &Slot, cause: RemovalCause) {
        let tenant = match &slot.known {
            Known::Kept(entry) => {
                self.class(&entry.meta.class).fetch_sub(1, AcqRel);
                &entry.meta.tenant
            }
            Known::Varies(varies) => &varies.tenant,
            Known::Passes(passes) => &passes.tenant,
        };
        let bytes = u64::from(slot.bytes);
        let mut tenants = self.tenant(tenant);
        if let Some(held) = tenants.get_mut(tenant) {
            *held = held.saturating_sub(bytes);
            if *held == 0 {
                tenants.remove(tenant);
            }
        }
        drop(tenants);
        self.bytes.fetch_sub(bytes, Relaxed);
        match cause {
            RemovalCause::Size => _ = self.evicted.fetch_add(1, Relaxed),
            RemovalCause::Expired => _ = self.expired.fetch_add(1, Relaxed),
            RemovalCause::Explicit | RemovalCause::Replaced => {}
        }
    }
}

/// Nothing stays longer than anybody may use it.
struct Life;

impl Expiry<u128, Slot> for Life {
    fn expire_after_create(&self, _: &u128, slot: &Slot, _: Instant) -> Option<Duration> {
        Some(slot.life)
    }

    fn expire_after_update(&self, _: &u128, slot: &Slot, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(slot.life)
    }
}

/// Places are hashes already.
#[derive(Clone, Copy, Default)]
struct Placed;

impl BuildHasher for Placed {
    type Hasher = Half;

    fn build_hasher(&self) -> Half {
        Half(0)
    }
}

/// One half of a place.
struct Half(u64);

impl Hasher for Half {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // nothing but places is hashed here, and they come whole
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, place: u128) {
        self.0 = place as u64;
    }
}

#[cfg(test)]
mod tests;
