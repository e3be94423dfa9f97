//! The stream of purges in a stamp's Redis, and who has read how far.
//!
//! Keys: `{PREFIX:cache}:purges`, the stream; `:readers`, a hash of process → `PASSED@MS` on the store's clock,
//! and of "" → when that list began; `:run`, the
//! server in which the stream was last known to be whole. Every call has a deadline; what is read is hostile.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::StreamExt;
use redis::{AsyncConnectionConfig, Client, RedisError, Script, aio::PubSubStream, io::tcp::TcpSettings};
use tokio::time::{Instant, sleep, timeout};

use super::{FIELDS, InvalidPurge, Purge, PurgeId};
use crate::{
    redis_client::{self, InvalidUrl},
    store::is_key_prefix,
};

mod link;
mod who;

pub use link::{Ends, Entry, Link, Passed, Run};
pub use who::{Missing, Waited};

/// Longest that opening a connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// Longest that one call may take.
const CALL_MAX: Duration = Duration::from_secs(1);
/// How long sent bytes may stay unacknowledged before the kernel gives the connection up.
const USER_TIMEOUT: Duration = Duration::from_secs(2);
/// Purges that the stream keeps, about.
pub const STREAM_MAX: u64 = 100_000;
/// Most processes that read one stream.
pub(super) const READERS_MAX: usize = 1_024;
/// Longest name of a process in bytes.
pub const PROCESS_BYTES_MAX: usize = 128;
/// A process that has said nothing for so long serves nothing from before: it is cut off after 3 s, and uses only entries that
/// are younger than 5 s from then on.
pub const SILENT_MAX: Duration = Duration::from_secs(10);
/// How long the last word of a process is kept.
const KEPT: Duration = Duration::from_secs(60);
/// Between two looks at who has passed.
const LOOK: Duration = Duration::from_millis(10);
/// The channel of `{tenant, object}`; every stamp has its own Redis.
const INVALIDATION: &str = "invalidation";

/// Why a purge was not written or read. Credentials never appear.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL names no store.
    #[error("the cache store's URL is not understood: {0}")]
    Url(#[from] InvalidUrl),
    /// The prefix of the keys is none that a proxy could be told to use.
    #[error("a key prefix is 1 to 32 of a-z 0-9 -")]
    KeyPrefix,
    /// The purge cannot be written down.
    #[error(transparent)]
    Purge(#[from] InvalidPurge),
    /// No answer, or an error of the server.
    #[error("the cache store {at} failed: {why}")]
    Away {
        /// Which store.
        at: String,
        /// What it or the network said.
        why: String,
    },
    /// The stream does not reach back to the purge: who has passed it cannot be told.
    #[error("the cache store has lost purge {0}: purge again")]
    Lost(PurgeId),
}

/// A client of the cache store at `url`, `redis://` or `rediss://`, with what a connection needs to notice that nobody answers.
///
/// # Errors
/// [`StoreError::Url`].
pub fn client(url: &str) -> Result<Client, StoreError> {
    let tcp = TcpSettings::default().set_nodelay(true).set_user_timeout(USER_TIMEOUT);
    Ok(redis_client::of(url, tcp)?)
}

/// The cache store of a stamp. Cheap to clone; connects to nobody by itself.
#[derive(Clone)]
pub struct PurgeStore(Arc<Inner>);

struct Inner {
    client: Client,
    /// Host and port, without credentials.
    at: String,
    stream: String,
    readers: String,
    run: String,
    stream_max: u64,
    check: Script,
    who: Script,
}

impl fmt::Debug for PurgeStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PurgeStore").field(&self.0.at).finish()
    }
}

impl PurgeStore {
    /// The store at `url` ([`client`]), with the stamp's `key_prefix`.
    ///
    /// # Errors
    /// [`StoreError::Url`], [`StoreError::KeyPrefix`].
    pub fn open(url: &str, key_prefix: &str) -> Result<Self, StoreError> {
        Self::new(client(url)?, key_prefix, STREAM_MAX)
    }

    /// The same of a client that is there already; the stream keeps about `stream_max` purges.
    ///
    /// # Errors
    /// [`StoreError::KeyPrefix`].
    pub fn new(client: Client, key_prefix: &str, stream_max: u64) -> Result<Self, StoreError> {
        if !is_key_prefix(key_prefix) {
            return Err(StoreError::KeyPrefix);
        }
        let key = |name: &str| format!("{{{key_prefix}:cache}}:{name}");
        Ok(Self(Arc::new(Inner {
            at: redis_client::address(&client),
            client,
            stream: key("purges"),
            readers: key("readers"),
            run: key("run"),
            stream_max: stream_max.max(1),
            check: Script::new(include_str!("check.lua")),
            who: Script::new(include_str!("readers.lua")),
        })))
    }

    /// Host and port, without credentials.
    #[must_use]
    pub fn at(&self) -> &str {
        &self.0.at
    }

    /// A connection of its own.
    ///
    /// # Errors
    /// [`StoreError::Away`].
    pub async fn connect(&self) -> Result<Link, StoreError> {
        // both waits are ours: the whole handshake counts, not each of its parts
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let opening = self.0.client.get_multiplexed_async_connection_with_config(&config);
        let connection = self.within(CONNECT_MAX, "no connection", opening).await?;
        Ok(Link { store: self.clone(), connection })
    }

    /// The messages of the channel `invalidation`.
    ///
    /// # Errors
    /// [`StoreError::Away`].
    pub async fn invalidations(&self) -> Result<Invalidations, StoreError> {
        let opening = async {
            let mut connection = self.0.client.get_async_pubsub().await?;
            connection.subscribe(INVALIDATION).await?;
            Ok(Invalidations(connection.into_on_message()))
        };
        self.within(CONNECT_MAX, "no subscription", opening).await
    }

    /// Writes one purge on a connection of its own.
    ///
    /// # Errors
    /// [`StoreError::Purge`]; [`StoreError::Away`], when it may have been written nevertheless.
    pub async fn purge(&self, purge: &Purge) -> Result<PurgeId, StoreError> {
        let mut link = self.connect().await?;
        let ids = link.append(std::slice::from_ref(purge)).await?;
        ids.first().copied().ok_or_else(|| self.away("no id".into()))
    }

    /// Waits until every process that reads the stream has passed `id`, at most for `within`: nothing that the purge covers is
    /// served any more ([`Waited::is_proven`]). Names the processes that have not.
    ///
    /// # Errors
    /// [`StoreError::Away`], [`StoreError::Lost`].
    pub async fn wait(&self, id: PurgeId, within: Duration) -> Result<Waited, StoreError> {
        let end = Instant::now() + within;
        let mut link = self.connect().await?;
        loop {
            let waited = link.who_passed(id).await?;
            if waited.is_proven() || Instant::now() >= end {
                return Ok(waited);
            }
            sleep(LOOK.min(end.saturating_duration_since(Instant::now()))).await;
        }
    }

    fn away(&self, why: String) -> StoreError {
        StoreError::Away { at: self.0.at.clone(), why }
    }

    async fn within<T>(
        &self,
        most: Duration,
        what: &str,
        run: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, StoreError> {
        match timeout(most, run).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(self.away(error.to_string())),
            Err(_) => Err(self.away(format!("{what} within {most:?}"))),
        }
    }
}

/// Messages of the channel `invalidation`, from the subscription on.
pub struct Invalidations(PubSubStream);

impl Invalidations {
    /// The next one's bytes, which may be anything; `None`: the subscription has ended.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        Some(self.0.next().await?.get_payload_bytes().to_vec())
    }
}

impl Inner {
    fn xadd(&self, id: &str, purge: &Purge) -> Result<redis::Cmd, StoreError> {
        let mut xadd = redis::cmd("XADD");
        xadd.arg(&self.stream).arg("MAXLEN").arg("~").arg(self.stream_max).arg(id);
        for (name, value) in FIELDS.iter().zip(purge.values()?) {
            xadd.arg(name).arg(value);
        }
        Ok(xadd)
    }
}
