//! Purges of this process that the stream has not got yet.
//!
//! Invariant: from the mark until its id is known nothing of the target is valid, also what is fetched in between: no id says
//! yet which of it is newer. A target that is marked again while its purge is on its way gets another one.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
};

use tokio::sync::Notify;

use super::{
    Purge, Scope,
    map::Map,
    marks::{Awaited, name},
};

/// Tenants that wait as a whole; beyond it everybody does.
const TENANTS_MAX: usize = 1_024;
/// What a target takes besides its text.
const OVERHEAD: usize = 256;

pub(super) struct Local {
    bytes_max: usize,
    /// Of targets in the queue and on their way.
    bytes: AtomicUsize,
    /// Tenants in the queue and on their way.
    tenants: AtomicUsize,
    all: Mutex<Awaited>,
    is_all_awaited: AtomicBool,
    queue: Mutex<VecDeque<Scope>>,
    /// There is something to take.
    pub(super) came: Notify,
}

impl Local {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            bytes: AtomicUsize::new(0),
            tenants: AtomicUsize::new(0),
            all: Mutex::default(),
            is_all_awaited: AtomicBool::new(false),
            queue: Mutex::default(),
            came: Notify::new(),
        }
    }

    pub(super) fn is_all_awaited(&self) -> bool {
        self.is_all_awaited.load(Acquire)
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.bytes() > 0 || self.tenants.load(Relaxed) > 0 || self.is_all_awaited()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// Marks a key, a tag or a tenant, or what there is room for.
    pub(super) fn mark(&self, map: &Map, scope: Scope) {
        let scope = self.fit(scope);
        if change(self, map, &scope, |awaited| !std::mem::replace(&mut awaited.waits, true)) {
            self.queue().push_back(scope);
            self.came.notify_one();
        } else {
            self.release(&scope);
        }
    }

    /// The oldest targets, at most this many, which are on their way from now on.
    pub(super) fn take(&self, map: &Map, most: usize) -> Vec<Scope> {
        let taken: Vec<Scope> = {
            let mut queue = self.queue();
            let count = most.min(queue.len());
            queue.drain(..count).collect()
        };
        for scope in &taken {
            change(self, map, scope, |awaited| *awaited = Awaited { waits: false, sent: true });
        }
        taken
    }

    /// The stream has it, and its id has taken effect.
    pub(super) fn arrived(&self, map: &Map, scope: &Scope) {
        change(self, map, scope, |awaited| awaited.sent = false);
        self.release(scope);
    }

    /// Whether the stream has it is not known: it is sent again.
    pub(super) fn put_back(&self, map: &Map, scope: Scope) {
        let again = change(self, map, &scope, |awaited| {
            awaited.sent = false;
            !std::mem::replace(&mut awaited.waits, true)
        });
        if again {
            self.queue().push_back(scope);
        } else {
            self.release(&scope);
        }
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Scope>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes room for it; where there is none, or no reader would take it: for its tenant, then for everything.
    fn fit(&self, scope: Scope) -> Scope {
        let Some(tenant) = scope.tenant().copied() else { return Scope::All };
        let scope = Purge::hard(scope);
        let is_sound = scope.values().is_ok() && !matches!(scope.scope, Scope::Tenant(_));
        let cost = cost(&scope.scope);
        if is_sound && self.bytes.fetch_add(cost, Relaxed) + cost <= self.bytes_max {
            return scope.scope;
        }
        if is_sound {
            self.bytes.fetch_sub(cost, Relaxed);
        }
        if self.tenants.fetch_add(1, Relaxed) < TENANTS_MAX {
            return Scope::Tenant(tenant);
        }
        self.tenants.fetch_sub(1, Relaxed);
        Scope::All
    }

    fn release(&self, scope: &Scope) {
        match scope {
            Scope::All => {}
            Scope::Tenant(_) => {
                self.tenants.fetch_sub(1, Relaxed);
            }
            _ => {
                self.bytes.fetch_sub(cost(scope), Relaxed);
            }
        }
    }
}

fn cost(scope: &Scope) -> usize {
    match scope {
        Scope::Key { authority, path, .. } => OVERHEAD + authority.len() + path.len(),
        _ => OVERHEAD,
    }
}

/// Changes what is awaited of a target.
fn change<T>(local: &Local, map: &Map, scope: &Scope, change: impl FnOnce(&mut Awaited) -> T) -> T {
    let Some(tenant) = scope.tenant() else {
        let mut all = local.all.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut all);
        local.is_all_awaited.store(all.is_any(), Release);
        return result;
    };
    map.with(tenant, |marks| {
        let Some(name) = name(scope) else { return change(&mut marks.awaited_whole) };
        let awaited = marks.awaited.entry(name).or_default();
        let result = change(awaited);
        if !awaited.is_any() {
            marks.awaited.remove(&name);
        }
        result
    })
}
