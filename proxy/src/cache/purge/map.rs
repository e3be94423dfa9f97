//! The purges of all tenants, of classes and of everything.
//!
//! Invariant: a lock is held for the look at one tenant, or for the change of one shard; and what replaces a mark can be seen
//! before the mark is gone, so that a reader who finds no mark finds what replaced it.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::{
        Mutex, PoisonError, RwLock,
        atomic::{
            AtomicU64, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
    time::Instant,
};

use arc_swap::ArcSwap;
use synaxis_routing::id::TenantId;

use super::{
    Counts, Kind, Limits, Purge, PurgeId, Scope, Subject, Verdict,
    marks::{Mark, Marks},
};

const SHARDS: usize = 64;
/// Classes that are purged by name; beyond it everything is.
const CLASSES_MAX: usize = 64;
/// Into so many parts the life of an entry is cut for forgetting.
const PARTS: u32 = 64;

type Tenants = HashMap<TenantId, Marks>;

#[derive(Default)]
struct Shard {
    tenants: RwLock<Tenants>,
    /// Without the lock.
    len: AtomicUsize,
}

pub(super) struct Map {
    limits: Limits,
    shards: Box<[Shard]>,
    hasher: RandomState,
    floor: AtomicU64,
    soft_floor: AtomicU64,
    classes: ArcSwap<Vec<(Box<str>, Mark)>>,
    marks: AtomicUsize,
    tenants: AtomicUsize,
    /// Until when which purges had taken effect, oldest first.
    past: Mutex<VecDeque<(Instant, PurgeId)>>,
}

impl Map {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            hasher: RandomState::new(),
            floor: AtomicU64::new(0),
            soft_floor: AtomicU64::new(0),
            classes: ArcSwap::default(),
            marks: AtomicUsize::new(0),
            tenants: AtomicUsize::new(0),
            past: Mutex::default(),
        }
    }

    pub(super) fn floor(&self) -> PurgeId {
        PurgeId::from_bits(self.floor.load(Acquire))
    }

    /// Marks and tenants.
    pub(super) fn held(&self) -> (usize, usize) {
        (self.marks.load(Relaxed), self.tenants.load(Relaxed))
    }

    fn shard(&self, tenant: &TenantId) -> &Shard {
        &self.shards[self.hasher.hash_one(tenant) as usize % SHARDS]
    }

    pub(super) fn verdict(&self, subject: &Subject<'_>, began: PurgeId) -> Verdict {
        let mut verdict = Verdict::Valid;
        let shard = self.shard(subject.tenant);
        if shard.len.load(Acquire) > 0 {
            let tenants = shard.tenants.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(marks) = tenants.get(subject.tenant) {
                verdict = marks.verdict(subject, began);
            }
        }
        let classes = self.classes.load();
        if let Some((_, mark)) = classes.iter().find(|(name, _)| **name == *subject.class) {
            verdict = verdict.max(mark.verdict(began));
        }
        // last: where a mark was taken away because the floor has risen above it, the floor says so now
        let soft = PurgeId::from_bits(self.soft_floor.load(Acquire));
        match began {
            began if began < self.floor() => Verdict::Hard,
            began if began < soft => verdict.max(Verdict::Soft),
            _ => verdict,
        }
    }

    /// Changes the marks of a tenant, which it has got from now on.
    pub(super) fn with<T>(&self, tenant: &TenantId, change: impl FnOnce(&mut Marks) -> T) -> T {
        let shard = self.shard(tenant);
        let mut tenants = shard.tenants.write().unwrap_or_else(PoisonError::into_inner);
        let known = tenants.len();
        let marks = tenants.entry(*tenant).or_default();
        let before = marks.len();
        let result = change(marks);
        let after = marks.len();
        if marks.is_void(self.floor()) {
            tenants.remove(tenant);
        }
        self.account(shard, known, before, &tenants, after);
        result
    }

    /// Keeps the sums after a change under the shard's lock: of `known` tenants, and of `before` marks that are `after` now.
    fn account(&self, shard: &Shard, known: usize, before: usize, tenants: &Tenants, after: usize) {
        shard.len.store(tenants.len(), Release);
        // wrapping: the sums of all threads come out right
        self.tenants.fetch_add(tenants.len().wrapping_sub(known), Relaxed);
        self.marks.fetch_add(after.wrapping_sub(before), Relaxed);
    }

    pub(super) fn apply(&self, id: PurgeId, purge: &Purge, counts: &Counts) {
        let mark = Mark::of(purge.kind, id);
        match &purge.scope {
            Scope::All if purge.kind == Kind::Hard => self.raise(id),
            Scope::All => {
                self.soft_floor.fetch_max(id.to_bits(), AcqRel);
            }
            Scope::Class(class) => self.apply_class(class, mark, counts),
            Scope::Key { tenant, .. }
            | Scope::Prefix { tenant, .. }
            | Scope::Tag { tenant, .. }
            | Scope::Tenant(tenant) => {
                if !self.with(tenant, |marks| marks.apply(&purge.scope, mark)) {
                    counts.tenants_widened.fetch_add(1, Relaxed);
                }
                self.make_room(counts);
            }
        }
    }

    fn apply_class(&self, class: &str, mark: Mark, counts: &Counts) {
        let mut is_full = false;
        self.classes.rcu(|known| {
            let mut classes = Vec::clone(known);
            let known = classes.iter().position(|(name, _)| **name == *class);
            is_full = known.is_none() && classes.len() >= CLASSES_MAX;
            match known {
                Some(index) => classes[index].1.join(mark),
                None if is_full => {}
                None => classes.push((class.into(), mark)),
            }
            classes
        });
        if is_full {
            counts.overflows.fetch_add(1, Relaxed);
            self.raise(mark.newest());
        }
    }

    /// Nothing from before `id` is valid any more: marks up to it are not needed.
    pub(super) fn raise(&self, id: PurgeId) {
        if self.floor.fetch_max(id.to_bits(), AcqRel) >= id.to_bits() {
            return;
        }
        for shard in self.shards.iter().filter(|shard| shard.len.load(Acquire) > 0) {
            let mut tenants = shard.tenants.write().unwrap_or_else(PoisonError::into_inner);
            let (known, before) = (tenants.len(), tenants.values().map(Marks::len).sum());
            tenants.retain(|_, marks| {
                marks.forget(id);
                !marks.is_void(id)
            });
            let after = tenants.values().map(Marks::len).sum();
            self.account(shard, known, before, &tenants, after);
        }
        if self.classes.load().iter().any(|(_, mark)| mark.newest() <= id) {
            self.classes.rcu(|known| known.iter().filter(|(_, mark)| mark.newest() > id).cloned().collect::<Vec<_>>());
        }
    }

    fn make_room(&self, counts: &Counts) {
        let (marks, tenants) = self.held();
        if marks > self.limits.marks_max {
            self.widen_the_largest(counts);
        }
        if tenants > self.limits.tenants_max {
            counts.overflows.fetch_add(1, Relaxed);
            self.forget_the_older_half();
        }
    }

    /// Those with the most are purged as a whole, until an eighth of the room is free: whoever fills the map pays for it.
    fn widen_the_largest(&self, counts: &Counts) {
        let mut sizes: Vec<(usize, TenantId)> = Vec::new();
        for shard in &self.shards {
            let tenants = shard.tenants.read().unwrap_or_else(PoisonError::into_inner);
            sizes.extend(tenants.iter().map(|(tenant, marks)| (marks.len(), *tenant)));
        }
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        for (_, tenant) in sizes {
            if self.held().0 <= self.limits.marks_max - self.limits.marks_max / 8 {
                break;
            }
            self.with(&tenant, Marks::widen);
            counts.tenants_widened.fetch_add(1, Relaxed);
        }
    }

    fn forget_the_older_half(&self) {
        let mut newest = Vec::new();
        for shard in &self.shards {
            let tenants = shard.tenants.read().unwrap_or_else(PoisonError::into_inner);
            newest.extend(tenants.values().map(Marks::newest));
        }
        let half = newest.len() / 2;
        if let Some((_, id, _)) = (half < newest.len()).then(|| newest.select_nth_unstable(half)) {
            let id = *id;
            self.raise(id);
        }
    }

    /// Forgets purges from before all entries that there can still be. True: there were such.
    pub(super) fn tick(&self, now: Instant, last: PurgeId) -> bool {
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = past.back().is_none_or(|(then, id)| {
            *id < last && now.saturating_duration_since(*then) >= self.limits.entry_life / PARTS
        });
        if is_due {
            past.push_back((now, last));
        }
        let mut over = None;
        while let Some((then, id)) = past.front().copied() {
            if now.saturating_duration_since(then) <= self.limits.entry_life {
                break;
            }
            // the latest look stays, so that there is one per part
            past.pop_front();
            over = Some(id);
        }
        let past = past.len();
        debug_assert!(past <= PARTS as usize + 2, "{past} looks");
        let Some(id) = over.filter(|id| *id > self.floor()) else { return false };
        self.raise(id);
        true
    }
}
