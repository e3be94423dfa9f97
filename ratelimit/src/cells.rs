//! Where buckets are kept: a cell for each key that has taken a token lately.
//!
//! Invariant: no cell is the same as a full bucket, so a cell goes only when its bucket is full, and never to make room.
//! What finds no room shares a cell: all such keys of one limit and tenant, or of one limit where even those are too many.
//!
//! Many small shards, each under its own lock. A key that has a cell takes its shard's lock to read, for one look-up and one
//! compare-and-swap; the lock is held to write while a cell is made, and while a shard is swept.

pub(crate) mod census;
pub(crate) mod locked;
pub(crate) mod table;

#[cfg(test)]
mod tests;

use std::{
    array,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use self::{census::Census, locked::Locked, table::Table};
use crate::{
    bucket::{self, NOW_MAX, Shape},
    key::{Key, Keys},
};

/// At 1,000,000 keys some thousand cells in each: swept, or moved to a larger table, in 30 to 80 µs.
const SHARDS: usize = 1 << 9;

/// How many cells there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Cells of all tenants. A sixteenth of them is kept for those that are shared by the keys of a tenant.
    pub keys_max: usize,
    /// Cells of one tenant, in all limits. Limits that do not tell tenants apart together have half of `keys_max`.
    pub tenant_keys_max: u32,
}

impl Default for Caps {
    fn default() -> Self {
        Self { keys_max: 1_000_000, tenant_keys_max: 20_000 }
    }
}

/// What the cells hold, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Cells.
    pub keys: usize,
    /// Decisions by a shared cell because their key found no room for its own, since the start.
    pub shared: u64,
}

/// Whose cell was charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charged {
    /// The key's own.
    Own,
    /// The one of the tenant's keys that have no own.
    Tenant,
    /// The limiter's, for the keys of tenants that do not even have a shared one.
    Limiter,
}

/// The bucket that a limiter wants for a key.
pub(crate) struct Wanted<'a> {
    pub(crate) keys: &'a Keys,
    pub(crate) shape: Shape,
    /// TAT of a key that has no cell.
    pub(crate) fresh: u64,
}

impl Wanted<'_> {
    fn cell(&self, charged: Charged) -> Cell {
        let Shape { interval, burst } = self.shape;
        Cell { tat: AtomicU64::new(self.fresh), interval, burst, charged }
    }
}

/// The cells of all local limits of a process. Instants are nanoseconds of one clock of the process.
pub struct Cells {
    shards: Box<[Locked<Shard>; SHARDS]>,
    census: Census,
    shared: AtomicU64,
    swept: AtomicUsize,
}

#[derive(Default)]
struct Shard {
    /// When it was swept. For its keys it is never earlier: a decision with an older instant would find a bucket full that
    /// was not full at that instant.
    floor: u64,
    cells: Table<Cell>,
}

/// 24 bytes beside a key of 16. The shape is of two fields here, or padding would make it 32.
struct Cell {
    tat: AtomicU64,
    interval: u64,
    burst: u32,
    charged: Charged,
}

impl Cell {
    fn shape(&self) -> Shape {
        Shape { interval: self.interval, burst: self.burst }
    }

    fn carry(&mut self, shape: Shape, now: u64) {
        let old = self.shape();
        if old != shape {
            let tat = self.tat.get_mut();
            *tat = shape.carry(old, *tat, now);
            (self.interval, self.burst) = (shape.interval, shape.burst);
        }
    }
}

impl Shard {
    fn instant(&self, now: u64) -> u64 {
        now.max(self.floor)
    }
}

impl Cells {
    /// None yet.
    #[must_use]
    pub fn new(caps: Caps) -> Self {
        Self {
            shards: Box::new(array::from_fn(|_| Locked::default())),
            census: Census::new(caps),
            shared: AtomicU64::new(0),
            swept: AtomicUsize::new(0),
        }
    }

    /// Runs `decide` with the TAT of this key's cell, or of the one that it shares, and with the instant that counts there.
    ///
    /// None: there is room for neither.
    pub(crate) fn charge<T>(
        &self,
        key: Key,
        wanted: &Wanted<'_>,
        now: u64,
        decide: impl Fn(&AtomicU64, u64) -> T,
    ) -> Option<(T, Charged)> {
        // the common case first, and alone: what follows need not be inlined
        if let Some(Some(done)) = self.decide(key, wanted.shape, now, &decide) {
            return Some((done, Charged::Own));
        }
        if let Some(done) = self.enter(key, Charged::Own, wanted, now, &decide) {
            return Some((done, Charged::Own));
        }
        self.shared.fetch_add(1, Relaxed);
        let key = wanted.keys.shared(key.tenant);
        let done = match self.decide(key, wanted.shape, now, &decide) {
            Some(Some(done)) => Some(done),
            _ => self.enter(key, Charged::Tenant, wanted, now, &decide),
        };
        done.map(|done| (done, Charged::Tenant))
    }

    /// `Some(None)`: the cell has another shape.
    #[inline]
    fn decide<T>(&self, key: Key, shape: Shape, now: u64, decide: impl Fn(&AtomicU64, u64) -> T) -> Option<Option<T>> {
        let shard = self.shard(key).read();
        let cell = shard.cells.get(key)?;
        Some((cell.shape() == shape).then(|| decide(&cell.tat, shard.instant(now))))
    }

    /// Makes the cell if there is room for it; one that is there gets the wanted shape.
    #[cold]
    fn enter<T>(
        &self,
        key: Key,
        charged: Charged,
        wanted: &Wanted<'_>,
        now: u64,
        decide: impl Fn(&AtomicU64, u64) -> T,
    ) -> Option<T> {
        // asked before the lock, so that a flood of keys without room does not hold up those that have cells
        if !self.census.has_room(key.tenant, charged) && self.standing(key, now).is_none() {
            return None;
        }
        let mut shard = self.shard(key).write();
        let now = shard.instant(now);
        if let Some(cell) = shard.cells.get_mut(key) {
            cell.carry(wanted.shape, now);
            return Some(decide(&cell.tat, now));
        }
        if !self.census.enter(key.tenant, charged) {
            return None;
        }
        let cell = wanted.cell(charged);
        let done = decide(&cell.tat, now);
        shard.cells.insert(key, cell);
        Some(done)
    }

    /// Gives back `amount(instant)` nanoseconds of what was taken from a cell of this shape.
    pub(crate) fn give_back(&self, key: Key, shape: Shape, now: u64, amount: impl Fn(u64) -> u64) {
        self.decide(key, shape, now, |tat, now| bucket::give_back(tat, amount(now)));
    }

    /// Shape and TAT of a key's own cell, and the instant that counts there.
    pub(crate) fn standing(&self, key: Key, now: u64) -> Option<(Shape, u64, u64)> {
        let shard = self.shard(key).read();
        let cell = shard.cells.get(key)?;
        Some((cell.shape(), cell.tat.load(Relaxed), shard.instant(now)))
    }

    /// Drops the cells of the next `shards` of [`SHARDS`](Self::SHARDS) shards whose buckets are full at `now`.
    ///
    /// To be called by a timer, so often that all shards have their turn within some seconds: until then a key that finds
    /// no room shares a cell.
    pub fn sweep(&self, shards: usize, now: u64) {
        for _ in 0..shards.min(SHARDS) {
            let at = self.swept.fetch_add(1, Relaxed) % SHARDS;
            let mut shard = self.shards[at].write();
            let floor = shard.instant(now.min(NOW_MAX));
            shard.floor = floor;
            shard.cells.retain(|key, cell| {
                let kept = *cell.tat.get_mut() > floor;
                if !kept {
                    self.census.leave(key.tenant, cell.charged);
                }
                kept
            });
        }
    }

    /// What they hold.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts { keys: self.census.keys(), shared: self.shared.load(Relaxed) }
    }

    /// How many shards [`sweep`](Self::sweep) goes through before it comes back to the first.
    pub const SHARDS: usize = SHARDS;

    /// The lower bits choose the place in a shard.
    fn shard(&self, key: Key) -> &Locked<Shard> {
        &self.shards[(key.cell >> 40) as usize % SHARDS]
    }
}
