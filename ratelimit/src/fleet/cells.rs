//! Where the cells of fleet limits are kept: one for each key that was asked for lately.
//!
//! Invariant: a cell goes only when nobody has it and nothing would be forgotten with it: no lease, no refusal, no debt. What
//! finds no room shares a cell, as with local limits: all such keys of one limit and tenant, or of one limit where even those
//! are too many. So who makes up users gets neither memory nor tokens by it.

use std::{
    array,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use super::{cell::Cell, plan::Plan};
use crate::{
    cells::{Caps, Charged, Counts, census::Census, locked::Locked, table::Table},
    key::{Key, Keys, Tenant},
};

#[cfg(test)]
mod tests;

const SHARDS: usize = 1 << 9;
/// A cell that is not used for so long goes.
const IDLE: u64 = 10_000_000_000;

/// Whose cell is wanted, for who writes its key in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The key's own: [`script::key`](super::script::key).
    Own,
    /// That of the tenant's keys that have no own: [`script::shared_key`](super::script::shared_key).
    Tenant,
    /// That of the limit's keys that do not even have one of their tenant: the same, of the tenant `""`.
    Limit,
}

type Shard = Table<(Arc<Cell>, Charged)>;

/// The cells of all fleet limits of a process.
pub struct Cells {
    shards: Box<[Locked<Shard>; SHARDS]>,
    census: Census,
    shared: AtomicU64,
    swept: AtomicUsize,
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

    /// The cell of this key, or the one that it shares. `keys` are those of the limit; `text` writes the key in the store,
    /// when there is no cell yet.
    ///
    /// Does not allocate if there is a cell. One that was made for another plan goes on with this one.
    #[inline]
    pub fn get(&self, key: Key, keys: &Keys, plan: &Arc<Plan>, now: u64, text: impl Fn(Whose) -> String) -> Arc<Cell> {
        match self.find(key) {
            Some(cell) => {
                cell.follow(plan, now);
                cell
            }
            None => self.enter(key, keys, plan, now, text),
        }
    }

    /// The cell of this key, if it has one of its own.
    #[must_use]
    pub fn peek(&self, key: Key) -> Option<Arc<Cell>> {
        self.find(key)
    }

    fn find(&self, key: Key) -> Option<Arc<Cell>> {
        let shard = self.shard(key).read();
        shard.get(key).map(|(cell, _)| Arc::clone(cell))
    }

    #[cold]
    fn enter(&self, key: Key, keys: &Keys, plan: &Arc<Plan>, now: u64, text: impl Fn(Whose) -> String) -> Arc<Cell> {
        if let Some(cell) = self.insert(key, Charged::Own, plan, now, || text(Whose::Own)) {
            return cell;
        }
        self.shared.fetch_add(1, Relaxed);
        let shared = keys.shared(key.tenant);
        if let Some(cell) = self.find(shared) {
            cell.follow(plan, now);
            return cell;
        }
        if let Some(cell) = self.insert(shared, Charged::Tenant, plan, now, || text(Whose::Tenant)) {
            return cell;
        }
        let crowd = keys.shared(Tenant::NOBODY.0);
        let cell = self.find(crowd).or_else(|| self.insert(crowd, Charged::Limiter, plan, now, || text(Whose::Limit)));
        // it has room always, so this is never another one
        cell.unwrap_or_else(|| Arc::new(Cell::new(plan, &text(Whose::Limit), crowd.tenant, now)))
    }

    /// One for each limit has room always.
    fn insert(
        &self,
        key: Key,
        charged: Charged,
        plan: &Arc<Plan>,
        now: u64,
        text: impl FnOnce() -> String,
    ) -> Option<Arc<Cell>> {
        let counted = charged != Charged::Limiter;
        // asked before the lock, so that a flood of keys without room does not hold up those that have cells
        if counted && !self.census.has_room(key.tenant, charged) {
            return None;
        }
        let text = text();
        let mut shard = self.shard(key).write();
        if let Some((cell, _)) = shard.get(key) {
            cell.follow(plan, now);
            return Some(Arc::clone(cell));
        }
        if counted && !self.census.enter(key.tenant, charged) {
            return None;
        }
        let cell = Arc::new(Cell::new(plan, &text, key.tenant, now));
        shard.insert(key, (Arc::clone(&cell), charged));
        Some(cell)
    }

    /// Drops what is over in the next `shards` of [`SHARDS`](Self::SHARDS) shards: to be called by a timer, so often that all
    /// have their turn within some seconds.
    pub fn sweep(&self, shards: usize, now: u64) {
        for _ in 0..shards.min(SHARDS) {
            let at = self.swept.fetch_add(1, Relaxed) % SHARDS;
            let mut shard = self.shards[at].write();
            shard.retain(|key, (cell, charged)| {
                // under this lock nobody else can come to have it
                let kept = Arc::strong_count(cell) > 1 || !cell.is_over(IDLE, now);
                if !kept && *charged != Charged::Limiter {
                    self.census.leave(key.tenant, *charged);
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

    fn shard(&self, key: Key) -> &Locked<Shard> {
        &self.shards[(key.cell >> 40) as usize % SHARDS]
    }
}
