//! The limits store as a process sees it: the leases that are looked after in the background, and the looks for it.
//!
//! Invariant: at most two calls of the background are on their way, each of at most 256 keys and 100 ms; nobody who handles a
//! request waits for anything here.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError, aio::MultiplexedConnection};
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    cell::{Care, Cell, Taken},
    counts::{Counts, add},
    gathering,
    plan::Plan,
    presence::{Backoff, Presence},
    script::{self, Ask},
    wire::{self, Entry},
};
use crate::quota::Quota;

#[cfg(test)]
mod tests;

/// Whether somebody answers on a connection that was not used for a while.
pub(super) async fn ping(mut connection: MultiplexedConnection) -> bool {
    timeout(CALL_MAX, redis::cmd("PING").query_async::<String>(&mut connection)).await.is_ok_and(|pong| pong.is_ok())
}

/// What comes later is of no use.
async fn in_time<T>(patience: Duration, call: impl Future<Output = Result<T, RedisError>>) -> Result<T, RedisError> {
    let late = |_| RedisError::from((ErrorKind::Io, "no answer in time"));
    timeout(patience, call).await.map_err(late)?
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
/// Answers in time, one after the other, by which it is there.
const PROBES: usize = 2;
/// By so much, by chance, processes use a store that is back one after the other.
const APART: Duration = Duration::from_millis(50);
/// By so much timers are late: tokio's wheel and the kernel's poll each round a wait up to whole milliseconds.
const LATENESS: Duration = Duration::from_millis(2);
/// A shorter wait would hardly be one.
const PATIENCE_MIN: Duration = Duration::from_millis(1);
/// How often a connection is used at least: who closes idle ones closes it when nobody needs it, or not at all.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(30);
/// The same of the background's, so that a process without requests knows how the store is.
const LOOK: Duration = Duration::from_secs(1);

/// Nanoseconds since a start, never going back.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// One limits store, for the whole process.
pub struct Store {
    client: Client,
    clock: Clock,
    deadline: Duration,
    pub(super) holder: String,
    pub(super) sha: String,
    pub(super) presence: Presence,
    /// What looks count, and its number.
    probe: (String, Plan),
    probes: AtomicU64,
    /// By which processes come back together.
    gathering: String,
    chance: AtomicU64,
    entering: Mutex<Vec<Arc<Cell>>>,
    /// It is to end.
    ending: Notify,
    stopping: AtomicBool,
    stopped: Notify,
    /// Something could not be given back at the end.
    lost: AtomicBool,
    counts: Counts,
}

impl Store {
    /// Not there until [`run`](Self::run) has reached it. `deadline` is the longest that a request waits for it, 5 ms say; a token
    /// that takes longer than the slack of its [`Plan`], which is never less than 20 ms, is of no use.
    ///
    /// Whether it counts is seen by a key below `key_prefix` that belongs to nobody.
    #[must_use]
    pub fn new(client: Client, key_prefix: &str, deadline: Duration, clock: Clock) -> Arc<Self> {
        let random = RandomState::new();
        Arc::new(Self {
            client,
            clock,
            deadline,
            holder: format!("{:016x}", random.hash_one("holder")),
            sha: redis::Script::new(script::SOURCE).get_hash().to_owned(),
            presence: Presence::default(),
            probe: (script::shared_key(key_prefix, "", ""), Plan::new(&Quota::SMALLEST, 1)),
            probes: AtomicU64::new(0),
            gathering: gathering::key(key_prefix),
            chance: AtomicU64::new(random.hash_one("chance")),
            entering: Mutex::default(),
            ending: Notify::new(),
            stopping: AtomicBool::new(false),
            stopped: Notify::new(),
            lost: AtomicBool::new(false),
            counts: Counts::default(),
        })
    }

    /// Whether it is not there: this process decides by its own share, at once or, before the first connection, as soon as
    /// that takes too long.
    #[must_use]
    pub fn is_away(&self) -> bool {
        !self.presence.is_here()
    }

    /// What it or the network said last, while it is away: at most 200 characters, and no credentials.
    #[must_use]
    pub fn trouble(&self) -> Option<Box<str>> {
        self.presence.trouble()
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

    /// A request, or a call of the background, had no answer in time.
    pub(super) fn timed_out(&self) {
        add(&self.counts.timeouts, 1);
        if self.presence.timed_out(self.now(), self.patience()) {
            self.presence.note_text("no answer in time");
            self.leave();
        }
    }

    /// A call was refused, or lost with its connection.
    pub(super) fn failed(&self, error: &RedisError) {
        add(&self.counts.failures, 1);
        self.presence.note(error);
        self.leave();
    }

    /// How often it went away: a connection from before is not used after.
    pub(super) fn outages(&self) -> u64 {
        self.counts.outages.load(Relaxed)
    }

    fn leave(&self) {
        if self.presence.leave() {
            add(&self.counts.outages, 1);
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
    pub(super) async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        // the waits are ours: the whole handshake counts, not each of its parts
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let open = async {
            let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
            let () = redis::cmd("SCRIPT").arg("LOAD").arg(script::SOURCE).query_async(&mut connection).await?;
            Ok(connection)
        };
        let late = |_| RedisError::from((ErrorKind::Io, "no connection in time"));
        timeout(CONNECT_MAX, open).await.map_err(late)?
    }

    /// Looks after the cells until [`shutdown`](Self::shutdown): to be spawned once, on a runtime with a timer.
    pub async fn run(self: Arc<Self>) {
        let mut backoff = Backoff::default();
        while !self.stopping.load(Relaxed) {
            let Some(connection) = self.reach(&mut backoff).await else { break };
            self.presence.arrive();
            let came = self.now();
            self.keep(&connection).await;
            let stayed = Duration::from_nanos(self.now().saturating_sub(came));
            if self.is_away()
                && let Some(pause) = backoff.left(stayed)
            {
                self.pause(pause).await;
            }
        }
        self.stopped.notify_one();
    }

    /// Waits until the store counts, in time, and for the others that have missed it; None: it is to end.
    async fn reach(&self, backoff: &mut Backoff) -> Option<MultiplexedConnection> {
        let mut look = Duration::ZERO;
        loop {
            if self.stopping.load(Relaxed) {
                return None;
            }
            let began = self.now();
            let reached = self.try_reach().await;
            if reached.is_err() {
                look = Duration::from_nanos(self.now().saturating_sub(began));
            }
            let outcome = match reached {
                Ok(connection) => self.gather(connection, gathering::within(backoff.next(), look)).await,
                failed => failed,
            };
            match outcome {
                Ok(connection) => return Some(connection),
                Err(error) => {
                    self.presence.note(&error);
                    self.leave();
                }
            }
            self.pause(backoff.missed()).await;
        }
    }

    /// Waits for the others, if this process was away or has just begun.
    async fn gather(
        &self,
        mut connection: MultiplexedConnection,
        within: Duration,
    ) -> Result<MultiplexedConnection, RedisError> {
        if self.presence.is_here() {
            return Ok(connection);
        }
        let within = self.presence.is_gone().then_some(within);
        let left = in_time(self.patience(), gathering::left(&mut connection, &self.gathering, within)).await?;
        if left.is_zero() {
            return Ok(connection);
        }
        self.presence.note_text("it is there, and other processes are waited for");
        self.leave();
        let _ = timeout(left + self.by_chance(APART), self.ending.notified()).await;
        in_time(self.patience(), self.look(&mut connection)).await?;
        Ok(connection)
    }

    async fn try_reach(&self) -> Result<MultiplexedConnection, RedisError> {
        let mut connection = self.connect().await?;
        for _ in 0..PROBES {
            in_time(self.patience(), self.look(&mut connection)).await?;
        }
        Ok(connection)
    }

    /// Has the store count. One that answers and cannot write, for want of memory, of replicas or of being a master, is of no
    /// use, and says so here before requests depend on it.
    async fn look(&self, connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
        let (key, plan) = &self.probe;
        // a report with a number above that of the last one is always written
        let seq = 1 + self.probes.fetch_add(1, Relaxed);
        let ask = Ask { seq, ..Ask::default() };
        let call = script::call(&self.sha, &self.holder, [(key.as_str(), plan, ask)].into_iter());
        script::answers(call.query_async(connection).await?, 1).map(drop)
    }

    /// Half of it, and as much again by chance; less if it is to end.
    async fn pause(&self, pause: Duration) {
        let _ = timeout(pause / 2 + self.by_chance(pause), self.ending.notified()).await;
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
            if u128::from(self.now().saturating_sub(used)) > LOOK.as_nanos() {
                used = self.now();
                match timeout(CALL_MAX, self.look(&mut connection.clone())).await {
                    Ok(Ok(())) if u128::from(self.now() - used) <= self.patience().as_nanos() => {
                        self.presence.in_time()
                    }
                    Ok(Ok(())) => self.timed_out(),
                    // it may be this connection only: another one will tell
                    Ok(Err(_)) | Err(_) => break,
                }
            }
            let pause = TICK + self.by_chance(TICK);
            tokio::select! {
                () = sleep(pause) => {}
                () = self.presence.changed.notified() => {}
                () = self.ending.notified() => {}
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
                    self.presence.in_time();
                }
                return true;
            }
            Ok(Err(error)) => self.failed(&error),
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
        self.ending.notify_one();
        let ended = timeout(within, self.stopped.notified()).await.is_ok();
        ended && !self.is_away() && !self.lost.load(Relaxed)
    }
}
