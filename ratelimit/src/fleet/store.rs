//! The limits store as a process sees it: the leases that are looked after in the background, and whether it is there.
//!
//! Invariant: at most two calls of the background are on their way, each of at most 256 keys and 100 ms; nobody who handles a
//! request waits for anything here.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use redis::{AsyncConnectionConfig, Client, aio::MultiplexedConnection};
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    cell::{Care, Cell, Taken},
    counts::{Counts, add},
    plan::TIMEOUTS_MAX,
    script,
    wire::{self, Entry},
};

#[cfg(test)]
mod tests;

/// Whether somebody answers on a connection that was not used for a while.
pub(super) async fn ping(mut connection: MultiplexedConnection) -> bool {
    timeout(CALL_MAX, redis::cmd("PING").query_async::<String>(&mut connection)).await.is_ok_and(|pong| pong.is_ok())
}

/// Most keys of a pipeline.
const KEYS_MAX: usize = 256;
/// Pipelines of the background at a time.
const CALLS_MAX: usize = 2;
/// Longest that one of them may take.
const CALL_MAX: Duration = Duration::from_millis(100);
/// Longest that opening a connection may take, the name of the server included.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// Between two pipelines, and as much again by chance.
const TICK: Duration = Duration::from_millis(10);
/// Between two looks whether the store is back: doubled each time, half of it by chance.
const PROBE_MIN: Duration = Duration::from_millis(50);
const PROBE_MAX: Duration = Duration::from_secs(1);
/// Answers in time, one after the other, by which it is back.
const PROBES: usize = 2;
/// Longest that a process waits, by chance, before it uses a store that is back: they do not all come at once.
const RETURN_MAX: Duration = Duration::from_millis(300);

/// By so much timers are late: tokio's wheel and the kernel's poll each round a wait up to whole milliseconds.
const LATENESS: Duration = Duration::from_millis(2);
/// A shorter wait would hardly be one.
const PATIENCE_MIN: Duration = Duration::from_millis(1);
/// How often a connection is used at least: who closes idle ones closes it when nobody needs it, or not at all.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(30);

/// Nanoseconds since a start, never going back.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// One limits store, for the whole process.
pub struct Store {
    client: Client,
    clock: Clock,
    deadline: Duration,
    pub(super) holder: String,
    pub(super) sha: String,
    away: AtomicBool,
    /// In a row.
    timeouts: AtomicU32,
    /// When the last one was counted, in nanoseconds of the clock.
    last_timeout: AtomicU64,
    chance: AtomicU64,
    entering: Mutex<Vec<Arc<Cell>>>,
    /// It went away, came back, or is to end.
    pub(super) changed: Notify,
    stopping: AtomicBool,
    stopped: Notify,
    /// Something could not be given back at the end.
    lost: AtomicBool,
    counts: Counts,
}

impl Store {
    /// Away until [`run`](Self::run) has reached it. `deadline` is the longest that a request waits for it, 5 ms say; a token that
    /// takes longer than the slack of its [`Plan`](super::plan::Plan), which is never less than 20 ms, is of no use.
    #[must_use]
    pub fn new(client: Client, deadline: Duration, clock: Clock) -> Arc<Self> {
        let random = RandomState::new();
        Arc::new(Self {
            client,
            clock,
            deadline,
            holder: format!("{:016x}", random.hash_one("holder")),
            sha: redis::Script::new(script::SOURCE).get_hash().to_owned(),
            away: AtomicBool::new(true),
            timeouts: AtomicU32::new(0),
            last_timeout: AtomicU64::new(0),
            chance: AtomicU64::new(random.hash_one("chance")),
            entering: Mutex::default(),
            changed: Notify::new(),
            stopping: AtomicBool::new(false),
            stopped: Notify::new(),
            lost: AtomicBool::new(false),
            counts: Counts::default(),
        })
    }

    /// Whether each process decides by its own share.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.away.load(Relaxed)
    }

    /// What it was used for.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How long a request waits: what comes within it is in time, for every purpose. Less than the deadline by what timers are
    /// late.
    pub(super) fn patience(&self) -> Duration {
        self.deadline.saturating_sub(LATENESS).max(PATIENCE_MIN)
    }

    /// Gives back a token because a later limit has refused the request.
    pub fn refund(&self, cell: &Arc<Cell>, taken: Taken) {
        if cell.refund(taken, self.now()) {
            self.watch(cell);
        }
    }

    pub(super) fn now(&self) -> u64 {
        (self.clock)()
    }

    /// Looks after a cell from now on.
    pub(super) fn watch(&self, cell: &Arc<Cell>) {
        if cell.list() {
            self.entering.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(cell));
        }
    }

    pub(super) fn in_time(&self) {
        self.timeouts.store(0, Relaxed);
    }

    /// Counts towards its being away at most once in the time that a request waits: many who wait for one answer are one
    /// sign, not many.
    pub(super) fn timed_out(&self) {
        add(&self.counts.timeouts, 1);
        let (now, wait) = (self.now(), self.patience().as_nanos() as u64);
        let before = self.last_timeout.load(Relaxed);
        if before > 0 && now.saturating_sub(before) < wait {
            return;
        }
        self.last_timeout.store(now, Relaxed);
        if self.timeouts.fetch_add(1, Relaxed) + 1 >= TIMEOUTS_MAX {
            self.leave();
        }
    }

    pub(super) fn failed(&self) {
        add(&self.counts.failures, 1);
        self.leave();
    }

    /// How often it went away: a connection from before is not used after.
    pub(super) fn outages(&self) -> u64 {
        self.counts.outages.load(Relaxed)
    }

    fn leave(&self) {
        if !self.away.swap(true, Relaxed) {
            add(&self.counts.outages, 1);
            self.changed.notify_waiters();
            self.changed.notify_one();
        }
    }

    /// A time of at most this, by chance.
    pub(super) fn by_chance(&self, most: Duration) -> Duration {
        // the Weyl sequence of SplitMix64; spreading is all that is wanted
        let state = self.chance.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        most.mul_f64((mixed >> 11) as f64 / (1_u64 << 53) as f64)
    }

    /// A connection with the script loaded.
    pub(super) async fn connect(&self) -> Option<MultiplexedConnection> {
        // the waits are ours: the whole handshake counts, not each of its parts
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let open = async {
            let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
            let () = redis::cmd("SCRIPT").arg("LOAD").arg(script::SOURCE).query_async(&mut connection).await?;
            Ok::<_, redis::RedisError>(connection)
        };
        timeout(CONNECT_MAX, open).await.ok()?.ok()
    }

    /// Looks after the cells until [`shutdown`](Self::shutdown): to be spawned once, on a runtime with a timer.
    pub async fn run(self: Arc<Self>) {
        let mut first = true;
        while !self.stopping.load(Relaxed) {
            let Some(connection) = self.reach().await else { break };
            if !first {
                sleep(self.by_chance(RETURN_MAX)).await;
            }
            first = false;
            self.timeouts.store(0, Relaxed);
            self.away.store(false, Relaxed);
            self.changed.notify_waiters();
            self.keep(&connection).await;
        }
        self.stopped.notify_one();
    }

    /// Waits until the store answers in time; None: it is to end.
    async fn reach(&self) -> Option<MultiplexedConnection> {
        let mut pause = PROBE_MIN;
        loop {
            if let Some(mut connection) = self.connect().await {
                let probe = async {
                    for _ in 0..PROBES {
                        let ping = redis::cmd("PING");
                        let pong = timeout(self.patience(), ping.query_async::<String>(&mut connection));
                        pong.await.ok()?.ok()?;
                    }
                    Some(())
                };
                if probe.await.is_some() {
                    return Some(connection);
                }
            }
            sleep(pause / 2 + self.by_chance(pause)).await;
            pause = (pause * 2).min(PROBE_MAX);
            if self.stopping.load(Relaxed) {
                return None;
            }
        }
    }

    /// Looks after the cells while the store is there.
    async fn keep(self: &Arc<Self>, connection: &MultiplexedConnection) {
        let mut listed = VecDeque::new();
        let mut calls = JoinSet::new();
        let mut used = self.now();
        while !self.is_away() && !self.stopping.load(Relaxed) {
            while calls.try_join_next().is_some() {}
            for _ in calls.len()..CALLS_MAX {
                let entries = self.collect(&mut listed, false);
                if entries.is_empty() {
                    break;
                }
                used = self.now();
                calls.spawn(Arc::clone(self).send(connection.clone(), entries));
            }
            if u128::from(self.now().saturating_sub(used)) > IDLE_MAX.as_nanos() {
                used = self.now();
                // another connection then; requests do not notice
                if !ping(connection.clone()).await {
                    break;
                }
            }
            let pause = TICK + self.by_chance(TICK);
            tokio::select! {
                () = sleep(pause) => {}
                () = self.changed.notified() => {}
            }
        }
        while self.stopping.load(Relaxed) && !self.is_away() {
            while calls.join_next().await.is_some() {}
            let entries = self.collect(&mut listed, true);
            if entries.is_empty() {
                break;
            }
            if !Arc::clone(self).send(connection.clone(), entries).await {
                self.lost.store(true, Relaxed);
            }
        }
        // those that are still listed are looked after when it is back
        self.entering.lock().unwrap_or_else(PoisonError::into_inner).extend(listed);
    }

    /// The next cells that need something; `all`: whatever they have goes back.
    fn collect(&self, listed: &mut VecDeque<Arc<Cell>>, all: bool) -> Vec<Entry> {
        listed.extend(std::mem::take(&mut *self.entering.lock().unwrap_or_else(PoisonError::into_inner)));
        let (now, mut entries) = (self.now(), Vec::new());
        for _ in 0..listed.len() {
            if entries.len() >= KEYS_MAX {
                break;
            }
            let Some(cell) = listed.pop_front() else { break };
            let care = match cell.care(now) {
                _ if all && cell.has_lease(now) => Care::HandBack,
                Care::Refill if all => Care::HandBack,
                care => care,
            };
            match care {
                Care::Gone => {
                    // what came in between would find it listed
                    if cell.unlist() && cell.care(now) != Care::Gone && cell.list() {
                        listed.push_back(cell);
                    }
                    continue;
                }
                Care::Later => {}
                _ => entries.extend(Entry::care(&cell, care, now)),
            }
            listed.push_back(cell);
        }
        entries.sort_unstable_by_key(|entry| entry.cell.tenant());
        entries
    }

    async fn send(self: Arc<Self>, mut connection: MultiplexedConnection, mut entries: Vec<Entry>) -> bool {
        let sent = self.now();
        self.count(&entries);
        match timeout(CALL_MAX, wire::call(&mut connection, &self.sha, &self.holder, &entries)).await {
            Ok(Ok(answers)) => {
                let now = self.now();
                for (entry, answer) in entries.iter_mut().zip(answers) {
                    entry.settle(answer, sent, now);
                }
                if u128::from(now - sent) <= self.patience().as_nanos() {
                    self.in_time();
                }
                return true;
            }
            Ok(Err(_)) => self.failed(),
            Err(_) => {
                entries.iter_mut().for_each(Entry::forget_debit);
                self.timed_out();
            }
        }
        false
    }

    pub(super) fn count(&self, entries: &[impl AsRef<Entry>]) {
        add(&self.counts.calls, 1);
        add(&self.counts.key_operations, entries.len());
        add(&self.counts.refills, entries.iter().filter(|entry| entry.as_ref().is_report()).count());
    }

    /// Gives back what is left of all leases and tells all debts, for at most `within`; then nothing is looked after any
    /// more.
    ///
    /// False: there was no time for it, or no store. What is not given back is lost when its lease is over.
    pub async fn shutdown(&self, within: Duration) -> bool {
        self.stopping.store(true, Relaxed);
        self.changed.notify_one();
        let ended = timeout(within, self.stopped.notified()).await.is_ok();
        ended && !self.is_away() && !self.lost.load(Relaxed)
    }
}
