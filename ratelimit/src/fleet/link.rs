//! A worker's own connection to the limits store, for requests that wait for a token, the first ones also for the connection.
//!
//! Invariant: a request waits at most the deadline, whatever the store or the network does; one whose token does not come in
//! time is decided by this process alone, and the store hears of it later.
//!
//! What comes is sent at once; what comes while a call is on its way goes with the next one, all requests of a key as one.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicU8,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

use redis::aio::MultiplexedConnection;
use tokio::{
    sync::{Notify, oneshot},
    time::{sleep, timeout},
};

use super::{
    cell::{Cell, Take, Taken},
    counts::add,
    plan::Plan,
    script::KEYS_MAX,
    store::{IDLE_MAX, Store, ping},
    verdict::{By, OnStoreFailure, Verdict},
    wire::{self, Entry},
};
use crate::decision::Standing;

#[cfg(test)]
mod tests;

/// Requests that wait at a time; more are decided at once.
const WAITING_MAX: usize = 4_096;
/// So long a late answer is waited for, then the connection is given up.
const LATE_MAX: Duration = Duration::from_millis(500);
/// When to come again, in nanoseconds, after a refusal while the store is only late.
const SOON: u64 = 1_000_000_000;
/// Between two tries to connect, and as much again by chance.
const PAUSE: Duration = Duration::from_millis(50);

/// One for each worker thread: made inside its runtime, which then drives the connection. Clones share it.
#[derive(Clone)]
pub struct Link {
    store: Arc<Store>,
    queue: Arc<Queue>,
    /// Ends the driver with the last clone.
    _open: Arc<Open>,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<VecDeque<Waiter>>,
    came: Notify,
    connected: AtomicBool,
    /// The last try to connect has failed: it is no use to wait for the next one.
    failed: AtomicBool,
    closed: AtomicBool,
}

struct Open(Arc<Queue>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.closed.store(true, Relaxed);
        self.0.came.notify_one();
    }
}

/// Where a waiting request is: it waits, its answer is there, or it has been decided without one.
const WAITS: u8 = 0;
const ANSWERED: u8 = 1;
const DECIDES: u8 = 2;
const ADMITTED: u8 = 3;
const REFUSED: u8 = 4;

struct Waiter {
    cell: Arc<Cell>,
    plan: Arc<Plan>,
    state: Arc<AtomicU8>,
    answer: oneshot::Sender<Answer>,
}

enum Answer {
    /// Granted at this microsecond of the store's clock, asked for at this nanosecond of ours.
    Direct {
        granted_at: u64,
        sent: u64,
    },
    Lease(Taken),
    Denied(Standing),
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Waiter>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who waits for this connection need not wait longer.
    fn give_up(&self) {
        self.waiting().clear();
    }
}

impl Link {
    /// Connects in the background of this runtime.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[must_use]
    pub fn start(store: Arc<Store>) -> Self {
        let queue = Arc::<Queue>::default();
        tokio::spawn(drive(Arc::clone(&store), Arc::clone(&queue)));
        let open = Arc::new(Open(Arc::clone(&queue)));
        Self { store, queue, _open: open }
    }

    /// Whether it has a connection.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.queue.connected.load(Relaxed)
    }

    /// A token for a request whose cell has none ([`Take::Empty`]), within the store's deadline less what it has `waited`
    /// already.
    ///
    /// A caller that goes away meanwhile gives its token back.
    pub async fn take(
        &self,
        cell: &Arc<Cell>,
        plan: &Arc<Plan>,
        on_failure: OnStoreFailure,
        waited: Duration,
    ) -> Verdict {
        let patience = self.store.patience().saturating_sub(waited);
        if self.store.presence.is_gone() || self.queue.failed.load(Relaxed) || patience.is_zero() {
            return self.alone(cell, plan, on_failure);
        }
        let (answer, mut answered) = oneshot::channel();
        let state = Arc::new(AtomicU8::new(WAITS));
        {
            let mut waiting = self.queue.waiting();
            if waiting.len() >= WAITING_MAX {
                drop(waiting);
                return self.alone(cell, plan, on_failure);
            }
            let (cell, plan, state) = (Arc::clone(cell), Arc::clone(plan), Arc::clone(&state));
            waiting.push_back(Waiter { cell, plan, state, answer });
        }
        self.queue.came.notify_one();
        add(&self.store.counts().waits, 1);
        let answer = match timeout(patience, &mut answered).await {
            Ok(Ok(answer)) => answer,
            // the call has failed
            Ok(Err(_)) => return self.alone(cell, plan, on_failure),
            Err(_) => {
                self.store.timed_out();
                match state.compare_exchange(WAITS, DECIDES, AcqRel, Acquire) {
                    Ok(_) => {
                        let verdict = self.alone(cell, plan, on_failure);
                        cell.doubt(verdict.at.saturating_add(LATE_MAX.as_nanos() as u64));
                        state.store(if verdict.taken.is_ok() { ADMITTED } else { REFUSED }, Release);
                        return verdict;
                    }
                    // it has come at the last moment
                    Err(_) => match answered.try_recv() {
                        Ok(answer) => answer,
                        Err(_) => return self.alone(cell, plan, on_failure),
                    },
                }
            }
        };
        let at = self.store.now();
        let taken = match answer {
            Answer::Direct { granted_at, sent } if u128::from(at.saturating_sub(sent)) > plan.slack().as_nanos() => {
                // so old a token is not what the window has room for
                cell.credit(granted_at);
                self.store.watch(cell);
                return self.alone(cell, plan, on_failure);
            }
            Answer::Direct { granted_at, .. } => Ok(cell.direct(plan, granted_at, at)),
            Answer::Lease(taken) => Ok(taken),
            Answer::Denied(standing) => {
                add(&self.store.counts().denied, 1);
                Err(standing)
            }
        };
        Verdict { taken, by: By::Store, at }
    }

    /// A store that is only late may have a token at once.
    fn soon(&self, plan: &Plan, standing: Standing, at: u64) -> Standing {
        if self.store.presence.is_gone() || standing.retry() <= SOON {
            return standing;
        }
        Standing::new(plan.quota(), at + plan.missing(SOON), at)
    }

    fn alone(&self, cell: &Arc<Cell>, plan: &Plan, on_failure: OnStoreFailure) -> Verdict {
        add(&self.store.counts().alone, 1);
        let at = self.store.now();
        let taken = match on_failure {
            OnStoreFailure::Share => cell.share(plan, at).map_err(|standing| self.soon(plan, standing, at)),
            OnStoreFailure::Open => Ok(cell.open(plan, at)),
            OnStoreFailure::Closed => Err(Standing::new(plan.quota(), at + plan.missing(1_000_000_000), at)),
        };
        if taken.is_ok() {
            self.store.watch(cell);
        }
        Verdict { taken, by: By::Alone, at }
    }
}

/// What is asked about one cell, and who waits for it.
struct Group {
    entry: Entry,
    waiters: Vec<Waiter>,
}

impl AsRef<Entry> for Group {
    fn as_ref(&self) -> &Entry {
        &self.entry
    }
}

async fn drive(store: Arc<Store>, queue: Arc<Queue>) {
    while !queue.closed.load(Relaxed) {
        // the background of the process finds out when it is worth trying
        if store.presence.is_gone() {
            queue.give_up();
            let _ = timeout(PAUSE, store.presence.changed.notified()).await;
            continue;
        }
        queue.failed.store(false, Relaxed);
        let outages = store.outages();
        match store.connect().await {
            Ok(connection) => {
                queue.connected.store(true, Relaxed);
                serve(&store, &queue, connection, outages).await;
                queue.connected.store(false, Relaxed);
                queue.give_up();
            }
            Err(error) => {
                queue.failed.store(true, Relaxed);
                queue.give_up();
                if store.outages() == outages {
                    store.failed(&error);
                }
                sleep(PAUSE + store.by_chance(PAUSE)).await;
            }
        }
    }
}

/// Until the connection fails, or the store goes away for anybody in this process.
async fn serve(store: &Arc<Store>, queue: &Queue, mut connection: MultiplexedConnection, outages: u64) {
    while !queue.closed.load(Relaxed) {
        let changed = store.presence.changed.notified();
        if store.outages() != outages {
            return;
        }
        let mut groups = groups(queue, store.now());
        if groups.is_empty() {
            tokio::select! {
                () = queue.came.notified() => {}
                () = changed => {}
                () = sleep(IDLE_MAX) => if !ping(connection.clone()).await {
                    return;
                }
            }
            continue;
        }
        store.count(&groups);
        add(&store.counts().direct_calls, 1);
        let sent = store.now();
        let call = wire::call(&mut connection, &store.sha, &store.holder, &groups);
        match timeout(LATE_MAX, call).await {
            Ok(Ok(answers)) => {
                let now = store.now();
                if u128::from(now - sent) <= store.patience().as_nanos() {
                    store.presence.in_time();
                }
                for (group, answer) in groups.iter_mut().zip(answers) {
                    group.entry.settle(answer, sent, now);
                    hand_out(store, group, answer.direct, answer.now, sent, now);
                    store.watch(&group.entry.cell);
                }
            }
            Ok(Err(error)) => {
                if store.outages() == outages {
                    store.failed(&error);
                }
                return;
            }
            // those who waited have been counted as a timeout
            Err(_) => {
                groups.iter_mut().for_each(|group| group.entry.forget_debit());
                return;
            }
        }
    }
}

/// The waiting requests by their cells, those of a tenant side by side.
fn groups(queue: &Queue, now: u64) -> Vec<Group> {
    let mut found: HashMap<*const Cell, Vec<Waiter>> = HashMap::new();
    {
        let mut waiting = queue.waiting();
        while let Some(waiter) = waiting.pop_front() {
            // who has been decided by now owes instead
            if waiter.state.load(Acquire) != WAITS || waiter.answer.is_closed() {
                continue;
            }
            if found.len() >= KEYS_MAX && !found.contains_key(&Arc::as_ptr(&waiter.cell)) {
                waiting.push_front(waiter);
                break;
            }
            found.entry(Arc::as_ptr(&waiter.cell)).or_default().push(waiter);
        }
    }
    let group = |waiters: Vec<Waiter>| {
        let last = waiters.last()?;
        let count = u32::try_from(waiters.len()).unwrap_or(u32::MAX);
        let entry = Entry::direct(Arc::clone(&last.cell), Arc::clone(&last.plan), count, now);
        Some(Group { entry, waiters })
    };
    let mut groups: Vec<Group> = found.into_values().filter_map(group).collect();
    groups.sort_unstable_by_key(|group| group.entry.cell.tenant());
    groups
}

/// Direct tokens to those who came first, then what the lease has.
fn hand_out(store: &Store, group: &mut Group, direct: u32, granted_at: u64, sent: u64, now: u64) {
    let cell = &group.entry.cell;
    let mut direct = direct;
    for Waiter { plan, state, answer, .. } in group.waiters.drain(..) {
        let granted = direct > 0;
        direct -= u32::from(granted);
        let waited = state.compare_exchange(WAITS, ANSWERED, AcqRel, Acquire);
        let found = match waited {
            Err(ADMITTED) if granted => {
                cell.forgive();
                continue;
            }
            Err(_) if granted => {
                cell.credit(granted_at);
                continue;
            }
            Err(_) => continue,
            Ok(_) if granted => Answer::Direct { granted_at, sent },
            Ok(_) => match cell.take(&plan, now) {
                Take::Taken(taken) => Answer::Lease(taken),
                Take::Denied(standing) => Answer::Denied(standing),
                Take::Empty => Answer::Denied(cell.peek_refused(&plan, now)),
            },
        };
        match answer.send(found) {
            Err(Answer::Direct { granted_at, .. }) => cell.credit(granted_at),
            Err(Answer::Lease(taken)) => store.refund(cell, taken),
            Err(Answer::Denied(_)) | Ok(()) => {}
        }
    }
}
