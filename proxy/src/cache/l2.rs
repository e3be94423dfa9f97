//! The second level: responses in the stamp's Redis, shared by its processes.
//!
//! A worker reads with its own [`Link`]; what is to be written waits in a bounded queue for [`L2::run`] on the store's thread.
//! While the store does not answer it is away: nobody waits for it, and nothing is kept for it.
//!
//! Invariant: nothing here is ever a reason to refuse a request: every trouble is a miss and a count. A reader waits at most
//! its deadline, and takes no more memory than the largest value, whatever the store holds.

use std::{
    collections::VecDeque,
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicU32, AtomicU64, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use redis::Client;
use sha2::{Digest, Sha256};
use synaxis_routing::store::is_key_prefix;
use tokio::sync::Notify;

pub mod base;
pub mod codec;
mod counts;
mod link;
#[cfg(test)]
mod tests;
mod writer;

pub use counts::Counts;
pub use link::{Link, ReadError};

use base::{BASE_BYTES_MAX, Base};
use codec::{Secret, TooLarge, Value};

/// Timeouts in a row, by which the store is away.
const TIMEOUTS_MAX: u32 = 5;
/// By so much timers are late: tokio's wheel and the kernel's poll each round a wait up to whole milliseconds.
const LATENESS: Duration = Duration::from_millis(2);
/// A shorter wait would hardly be one.
const PATIENCE_MIN: Duration = Duration::from_millis(1);
/// Longest that anything is kept there.
const LIFE_MAX: Duration = Duration::from_secs(30 * 86_400);

/// How much it may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest value in bytes, its key, head and body together.
    pub value_bytes_max: usize,
    /// Longest that a reader waits.
    pub deadline: Duration,
    /// Most values that wait to be written.
    pub queue_max: usize,
    /// Most bytes of them.
    pub queue_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            value_bytes_max: 1 << 20,
            deadline: Duration::from_millis(5),
            queue_max: 4_096,
            queue_bytes_max: 32 << 20,
        }
    }
}

/// The name of a record in the store: of a prefix, and of a hash of its key that nobody can find another key for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name {
    text: Box<str>,
    bytes_max: usize,
}

/// What became of something to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Put {
    /// It waits for the store.
    Queued,
    /// There is no room, or no store: dropped and counted.
    Dropped,
    /// No reader would take it.
    TooLarge,
}

struct Write {
    name: Name,
    bytes: Bytes,
    life: Duration,
}

#[derive(Default)]
struct Queue {
    writes: VecDeque<Write>,
    bytes: usize,
}

/// The store, for the whole process.
pub struct L2 {
    client: Client,
    prefix: String,
    secret: Option<Secret>,
    limits: Limits,
    started: Instant,
    chance: AtomicU64,
    away: AtomicBool,
    /// Readers that are connected.
    links: AtomicUsize,
    timeouts: AtomicU32,
    /// When the last one was counted, in nanoseconds since `started`.
    last_timeout: AtomicU64,
    /// It went away or came back.
    changed: Notify,
    queue: Mutex<Queue>,
    came: Notify,
    counts: Counts,
}

impl fmt::Debug for L2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("L2").field(&self.client.get_connection_info().addr().to_string()).finish()
    }
}

/// A prefix of keys that no store of ours has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key prefix is 1 to 32 of a-z 0-9 -")]
pub struct InvalidPrefix;

impl L2 {
    /// Away until [`run`](Self::run) has reached it; the client is one of `synaxis_routing::purge::client`. With a `secret`, only what is signed with it is read.
    ///
    /// # Errors
    /// [`InvalidPrefix`].
    pub fn new(
        client: Client,
        key_prefix: &str,
        secret: Option<Secret>,
        limits: Limits,
    ) -> Result<Arc<Self>, InvalidPrefix> {
        if !is_key_prefix(key_prefix) {
            return Err(InvalidPrefix);
        }
        Ok(Arc::new(Self {
            client,
            prefix: key_prefix.to_owned(),
            secret,
            limits,
            started: Instant::now(),
            chance: AtomicU64::new(RandomState::new().hash_one("chance")),
            away: AtomicBool::new(true),
            links: AtomicUsize::new(0),
            timeouts: AtomicU32::new(0),
            last_timeout: AtomicU64::new(0),
            changed: Notify::new(),
            queue: Mutex::default(),
            came: Notify::new(),
            counts: Counts::default(),
        }))
    }

    /// Whether nobody asks it at present.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.away.load(Relaxed)
    }

    /// Readers that are connected.
    #[must_use]
    pub fn links(&self) -> usize {
        self.links.load(Relaxed)
    }

    /// What it was used for.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Values that wait to be written, and their bytes.
    #[must_use]
    pub fn queued(&self) -> (usize, usize) {
        let queue = self.queue();
        (queue.writes.len(), queue.bytes)
    }

    fn name(&self, kind: &str, key: &[u8], bytes_max: usize) -> Name {
        let hash = Sha256::digest(key);
        let (half, _) = hash.split_at(16);
        let hash = u128::from_be_bytes(half.try_into().unwrap_or_default());
        Name { text: format!("{{{}:cache}}:{kind}:{hash:032x}", self.prefix).into(), bytes_max }
    }

    /// Where the value of a whole key is.
    #[must_use]
    pub fn value_name(&self, key: &[u8]) -> Name {
        self.name("value", key, self.limits.value_bytes_max)
    }

    /// Where it says what the responses to a key without its variant vary by.
    #[must_use]
    pub fn base_name(&self, key: &[u8]) -> Name {
        self.name("base", key, BASE_BYTES_MAX)
    }

    /// Writes a value, soon, to be kept for `life`.
    pub fn put(&self, value: &Value<'_>, life: Duration) -> Put {
        // the work of encoding is not done for nothing
        if self.is_away() {
            return self.drop_write();
        }
        let encoded = codec::encode(value, self.secret.as_ref(), self.limits.value_bytes_max);
        self.write(self.value_name(value.key), encoded, life)
    }

    /// Writes what the responses to `key` vary by, soon, to be kept for `life`.
    pub fn put_base(&self, key: &[u8], base: &Base, life: Duration) -> Put {
        if self.is_away() {
            return self.drop_write();
        }
        self.write(self.base_name(key), base.encode(key, self.secret.as_ref()), life)
    }

    fn drop_write(&self) -> Put {
        self.counts.dropped.fetch_add(1, Relaxed);
        Put::Dropped
    }

    fn write(&self, name: Name, encoded: Result<Bytes, TooLarge>, life: Duration) -> Put {
        let Ok(bytes) = encoded else {
            self.counts.too_large.fetch_add(1, Relaxed);
            return Put::TooLarge;
        };
        if life < Duration::from_millis(1) {
            return self.drop_write();
        }
        let mut queue = self.queue();
        if queue.writes.len() >= self.limits.queue_max || queue.bytes + bytes.len() > self.limits.queue_bytes_max {
            drop(queue);
            return self.drop_write();
        }
        queue.bytes += bytes.len();
        queue.writes.push_back(Write { name, bytes, life: life.min(LIFE_MAX) });
        drop(queue);
        self.came.notify_one();
        Put::Queued
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a reader waits: less than the deadline by what timers are late.
    fn patience(&self, within: Duration) -> Duration {
        within.min(self.limits.deadline).saturating_sub(LATENESS).max(PATIENCE_MIN)
    }

    fn in_time(&self) {
        if self.timeouts.load(Relaxed) > 0 {
            self.timeouts.store(0, Relaxed);
        }
    }

    /// Counts towards its being away at most once in the time that a reader waits: many who wait for one answer are one sign.
    fn timed_out(&self) {
        self.counts.late.fetch_add(1, Relaxed);
        let now = self.started.elapsed().as_nanos() as u64;
        let before = self.last_timeout.load(Relaxed);
        if before > 0 && u128::from(now.saturating_sub(before)) < self.patience(self.limits.deadline).as_nanos() {
            return;
        }
        self.last_timeout.store(now, Relaxed);
        if self.timeouts.fetch_add(1, Relaxed) + 1 >= TIMEOUTS_MAX {
            self.leave();
        }
    }

    fn failed(&self) {
        self.counts.failures.fetch_add(1, Relaxed);
        self.leave();
    }

    /// How often it went away: a connection from before is not used after.
    fn outages(&self) -> u64 {
        self.counts.outages.load(Acquire)
    }

    fn leave(&self) {
        if !self.away.swap(true, AcqRel) {
            self.counts.outages.fetch_add(1, AcqRel);
            self.empty();
            self.changed.notify_waiters();
        }
    }

    /// Drops what waits: it is not worth keeping until the store is back.
    fn empty(&self) {
        let queue = std::mem::take(&mut *self.queue());
        self.counts.dropped.fetch_add(queue.writes.len() as u64, Relaxed);
    }

    /// A time of at most this, by chance.
    fn by_chance(&self, most: Duration) -> Duration {
        // the Weyl sequence of SplitMix64; spreading is all that is wanted
        let state = self.chance.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        most.mul_f64((mixed >> 11) as f64 / (1_u64 << 53) as f64)
    }
}
