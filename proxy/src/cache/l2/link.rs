//! A worker's own connection for reading.
//!
//! Invariant: a reader never waits for a connection, only for an answer, and at most its deadline. No more than
//! [`READS_MAX`] answers are on their way, each of at most the largest value.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use redis::{RedisError, RedisResult, aio::MultiplexedConnection};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use super::{
    L2, Name,
    base::Base,
    codec::{self, DecodeError, Stored},
    writer,
};

/// Reads of a worker that wait at a time; more are misses.
const READS_MAX: usize = 64;
/// Between two tries to connect, and as much again by chance.
const PAUSE: Duration = Duration::from_millis(50);
/// How often a connection is used at least: who closes idle ones closes it when nobody needs it, or not at all.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// Why nothing was read: a miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The store is away, or this worker is not connected yet.
    #[error("the cache store is away")]
    Away,
    /// Too many reads are on their way.
    #[error("too many reads of the cache store are on their way")]
    Busy,
    /// No answer in time.
    #[error("the cache store has not answered in time")]
    Late,
    /// The server has refused, or the connection is lost.
    #[error("the cache store has failed")]
    Failed,
}

/// One for each worker thread. Clones share it.
#[derive(Clone)]
pub struct Link {
    l2: Arc<L2>,
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    /// With the count of outages at which it was opened.
    connection: Mutex<Option<(u64, MultiplexedConnection)>>,
    lost: Notify,
    reads: AtomicUsize,
}

impl Inner {
    fn set(&self, l2: &L2, connection: Option<(u64, MultiplexedConnection)>) {
        let is_open = connection.is_some();
        let was_open = std::mem::replace(&mut *self.connection(), connection).is_some();
        match (was_open, is_open) {
            (false, true) => _ = l2.links.fetch_add(1, Relaxed),
            (true, false) => _ = l2.links.fetch_sub(1, Relaxed),
            _ => {}
        }
    }

    fn connection(&self) -> MutexGuard<'_, Option<(u64, MultiplexedConnection)>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One read on its way.
struct Place<'a>(&'a Inner);

impl<'a> Place<'a> {
    fn take(inner: &'a Inner) -> Option<Self> {
        let place = Self(inner);
        (inner.reads.fetch_add(1, Relaxed) < READS_MAX).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.reads.fetch_sub(1, Relaxed);
    }
}

impl Link {
    /// A link, and what keeps it connected: to be spawned on the worker's runtime; it ends with the last clone of the link.
    pub fn new(l2: Arc<L2>) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let link = Self { l2, inner: Arc::default() };
        let keeping = keep(Arc::clone(&link.l2), Arc::downgrade(&link.inner));
        (link, keeping)
    }

    /// Whether a read would be sent.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.open().is_some()
    }

    fn open(&self) -> Option<MultiplexedConnection> {
        if self.l2.is_away() {
            return None;
        }
        let held = self.inner.connection();
        let (outages, connection) = held.as_ref()?;
        (*outages == self.l2.outages()).then(|| connection.clone())
    }

    /// The value of a whole key, if there is a good one.
    ///
    /// # Errors
    /// [`ReadError`]; a miss as well.
    pub async fn value(&self, key: &[u8], within: Duration) -> Result<Option<Stored>, ReadError> {
        let found = self.read(&[self.l2.value_name(key)], within).await?;
        Ok(found.into_iter().next().flatten().and_then(|bytes| self.value_of(&bytes, key)))
    }

    /// What the responses to a key vary by, and the value of the same key for those that do not, on one trip.
    ///
    /// # Errors
    /// [`ReadError`]; a miss as well.
    pub async fn base(&self, key: &[u8], within: Duration) -> Result<(Option<Base>, Option<Stored>), ReadError> {
        let mut found = self.read(&[self.l2.base_name(key), self.l2.value_name(key)], within).await?.into_iter();
        let base = found.next().flatten().and_then(|bytes| self.base_of(&bytes, key));
        Ok((base, found.next().flatten().and_then(|bytes| self.value_of(&bytes, key))))
    }

    /// Longest that a reader waits.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.l2.limits.deadline
    }

    /// Counts one that was read whole and is none that this program writes.
    pub fn refuse(&self) {
        self.l2.counts.count_unreadable(DecodeError::Unsound);
    }

    fn value_of(&self, bytes: &Bytes, key: &[u8]) -> Option<Stored> {
        let L2 { secret, limits, .. } = &*self.l2;
        self.good(codec::decode(bytes, key, secret.as_ref(), limits.value_bytes_max))
    }

    fn base_of(&self, bytes: &Bytes, key: &[u8]) -> Option<Base> {
        self.good(Base::decode(bytes, key, self.l2.secret.as_ref()))
    }

    fn good<T>(&self, decoded: Result<T, DecodeError>) -> Option<T> {
        let counts = &self.l2.counts;
        match decoded {
            Ok(record) => {
                counts.found.fetch_add(1, Relaxed);
                Some(record)
            }
            Err(why) => {
                counts.count_unreadable(why);
                None
            }
        }
    }

    /// The bytes under these names, on one trip; `None` where there are none, or too many. At most the deadline is waited.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read(&self, names: &[Name], within: Duration) -> Result<Vec<Option<Bytes>>, ReadError> {
        let l2 = &*self.l2;
        let mut connection = self.open().ok_or(ReadError::Away)?;
        let Some(_place) = Place::take(&self.inner) else {
            l2.counts.busy.fetch_add(1, Relaxed);
            return Err(ReadError::Busy);
        };
        l2.counts.reads.fetch_add(1, Relaxed);
        let mut pipe = redis::pipe();
        pipe.ignore_errors();
        for name in names {
            // one byte more than it may have says that it has more
            pipe.cmd("GETRANGE").arg(&*name.text).arg(0).arg(name.bytes_max);
        }
        let asking = pipe.query_async::<Vec<RedisResult<Vec<u8>>>>(&mut connection);
        let answers = match timeout(l2.patience(within), asking).await {
            Ok(Ok(answers)) => answers,
            Ok(Err(_)) => return Err(self.fail()),
            Err(_) => {
                l2.timed_out();
                return Err(ReadError::Late);
            }
        };
        // what is under a name of ours and is no text is nobody's fault but its own
        if answers.iter().any(|answer| answer.as_ref().is_err_and(|error| !is_content(error))) {
            return Err(self.fail());
        }
        l2.in_time();
        let bytes = |(answer, name): (RedisResult<Vec<u8>>, &Name)| match answer {
            Ok(bytes) if bytes.is_empty() => None,
            Ok(bytes) if bytes.len() > name.bytes_max => {
                l2.counts.count_unreadable(DecodeError::TooLarge);
                None
            }
            Ok(bytes) => Some(Bytes::from(bytes)),
            Err(_) => {
                l2.counts.count_unreadable(DecodeError::Magic);
                None
            }
        };
        Ok(answers.into_iter().zip(names).map(bytes).collect())
    }

    fn fail(&self) -> ReadError {
        self.l2.failed();
        self.inner.lost.notify_one();
        ReadError::Failed
    }
}

fn is_content(error: &RedisError) -> bool {
    error.code() == Some("WRONGTYPE")
}

/// Opens a connection whenever the store is there, for as long as there is a link.
async fn keep(l2: Arc<L2>, inner: std::sync::Weak<Inner>) {
    loop {
        let changed = l2.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        let Some(alive) = inner.upgrade() else { return };
        let outages = l2.outages();
        if l2.is_away() {
            alive.set(&l2, None);
            drop(alive);
            let _ = timeout(IDLE_MAX, changed).await;
            continue;
        }
        let known = alive.connection().as_ref().filter(|(opened, _)| *opened == outages).map(|(_, open)| open.clone());
        let Some(connection) = known else {
            let opened = writer::connect(&l2.client).await;
            let is_open = opened.is_some();
            alive.set(&l2, opened.map(|connection| (outages, connection)));
            if !is_open {
                drop(alive);
                sleep(PAUSE + l2.by_chance(PAUSE)).await;
            }
            continue;
        };
        tokio::select! {
            () = changed => {}
            () = alive.lost.notified() => {}
            () = sleep(IDLE_MAX) => if !writer::ping(connection).await {
                alive.set(&l2, None);
            }
        }
    }
}
