//! Where the table is kept: Redis for a fleet, a folder for the demo, memory for one process.
//!
//! An enum, not a trait: there are three and they must behave the same. What may be published is decided by one rule,
//! `rule`; the Lua script of the Redis store says the same thing where it must be said atomically.

use std::path::PathBuf;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    ack::Ack,
    bundle::{Bundle, Head},
    failover::{Notice, Page, Place},
    id::StampId,
    table::Millis,
    version::Version,
};

mod file;
mod hints;
mod memory;
mod redis;
mod rule;
#[cfg(test)]
pub(crate) mod tests;

pub use hints::{Hint, Hints};

/// How many past tables are kept.
pub const EPOCHS_KEPT: u64 = 32;

/// How many log entries are kept.
pub const LOG_MAX: usize = 1_000;

/// Longest `who`, `what` and `why` of the history, in bytes; longer ones are clipped.
pub const LOG_TEXT_MAX: usize = 1_024;

/// A store. Cloning shares it.
#[derive(Clone, Debug)]
pub enum Store {
    /// `redis://` and `rediss://`.
    Redis(redis::Redis),
    /// `file:FOLDER`.
    File(file::Folder),
    /// `memory:`.
    Memory(memory::Memory),
}

/// Why a store cannot be used. Credentials never appear.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL names no store.
    #[error("the routing store's URL is not understood: {0}; use redis://, rediss://, file:FOLDER or memory:")]
    Url(String),
    /// The prefix of the keys is none that a proxy could be told to read.
    #[error("a key prefix is 1 to 32 of a-z 0-9 -")]
    KeyPrefix,
    /// No answer, or an error of the server.
    #[error("the routing store {at} failed: {why}")]
    Away {
        /// Which store.
        at: String,
        /// What it or the network said.
        why: String,
    },
    /// What is stored is not what should be there.
    #[error("the routing store {at} holds something else: {why}")]
    Content {
        /// Which store.
        at: String,
        /// What was found.
        why: String,
    },
}

/// Whether keys may begin with this: it stands inside the braces that keep a fleet's keys in one hash slot.
#[must_use]
pub fn is_key_prefix(text: &str) -> bool {
    let allowed = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    allowed && (1..=32).contains(&text.len())
}

/// What one look at a store shows.
#[derive(Clone, Debug)]
pub struct Glance {
    /// The head's exact bytes; `None` in an empty store.
    pub head: Option<Bytes>,
    /// The newest version that any proxy has applied.
    pub acked: Version,
    /// The store's clock, in milliseconds since the Unix epoch.
    pub now: Option<Millis>,
}

/// How a table is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Over the head that was read, confirmed by a live proxy.
    Ordinary,
    /// The same without asking for a confirmation.
    NoProxies,
    /// The first table of an empty store.
    Init,
    /// Over the head that was read, even if it says nothing sensible or less than proxies have applied: a new term.
    Recover,
}

/// A line of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// When, in milliseconds since the Unix epoch.
    pub at: Millis,
    /// Who.
    pub who: String,
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
    /// The version that it made.
    pub version: Version,
}

/// A publication that succeeded.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// What the operator should know all the same.
    pub warning: Option<String>,
}

/// A publication that did not happen. The store is as it was.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Somebody else published first.
    #[error("somebody else has published in the meantime; look at the table again and repeat")]
    Lost,
    /// The store went back in time.
    #[error("the store has lost tables: proxies have applied {acked}, it shows {head}; run `stampctl recover`")]
    Behind {
        /// What the store shows.
        head: Version,
        /// What proxies have applied.
        acked: Version,
    },
    /// No live proxy confirms what the store shows.
    #[error("no live proxy has applied {head}, which the store shows; wait for one, or repeat with --no-proxies")]
    Unconfirmed {
        /// What the store shows.
        head: Version,
    },
    /// The store is empty.
    #[error("the store is empty; --init begins a new fleet, `stampctl recover` or `import` brings one back")]
    NeedsInit,
    /// A live proxy cannot read this table.
    #[error("proxy {proxy} reads documents up to format {reads}, this table needs {needs}; upgrade it first")]
    NeedsNewer {
        /// Which proxy.
        proxy: String,
        /// What it reads.
        reads: u32,
        /// What the table needs.
        needs: u32,
    },
    /// The version does not rise as it must.
    #[error("version {offered} does not follow {over}")]
    Version {
        /// What was offered.
        offered: Version,
        /// What stands.
        over: Version,
    },
    /// The bundle's head is not sound.
    #[error("the table to publish is not sound: {0}")]
    Unsound(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// A store by URL. Fails only on the URL: a store that is away fails when it is used.
    ///
    /// # Errors
    /// [`StoreError::Url`], [`StoreError::KeyPrefix`].
    pub fn open(url: &str, key_prefix: &str) -> Result<Self, StoreError> {
        if !is_key_prefix(key_prefix) {
            return Err(StoreError::KeyPrefix);
        }
        if url == "memory:" {
            return Ok(Self::Memory(memory::Memory::default()));
        }
        if let Some(path) = url.strip_prefix("file:").filter(|path| !path.is_empty()) {
            return Ok(Self::File(file::Folder::new(PathBuf::from(path))));
        }
        if url.starts_with("redis://") || url.starts_with("rediss://") {
            return redis::Redis::new(url, key_prefix).map(Self::Redis);
        }
        let scheme = url.split(':').next().unwrap_or_default();
        let harmless = scheme.len() < url.len() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
        Err(StoreError::Url(if harmless { format!("scheme {scheme}") } else { "no scheme".into() }))
    }

    /// Head, acked and clock in one round trip.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn glance(&self) -> Result<Glance, StoreError> {
        match self {
            Self::Redis(redis) => redis.glance().await,
            Self::File(folder) => folder.glance().await,
            Self::Memory(memory) => Ok(memory.glance()),
        }
    }

    /// The documents that a head names. `known`: tenants (hash, bytes) that need not be fetched again.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is verified beyond sizes, that is [`Bundle::decode`]'s work.
    pub async fn fetch(&self, head: &Head, bytes: &Bytes, known: Option<(&str, &Bytes)>) -> Result<Bundle, StoreError> {
        let known = known.filter(|(hash, _)| *hash == head.tenants_hash).map(|(_, bytes)| bytes.clone());
        let (table, tenants) = match self {
            Self::Redis(redis) => redis.documents(head.epoch, &head.tenants_hash, known).await?,
            Self::File(folder) => folder.documents(head.epoch, &head.tenants_hash, known).await?,
            Self::Memory(memory) => memory.documents(head.epoch, &head.tenants_hash, known)?,
        };
        Ok(Bundle { head: bytes.clone(), table, tenants })
    }

    /// Publishes, if the rule allows it; all or nothing.
    ///
    /// # Errors
    /// [`PublishError`]. A lost reply is recognised: a head that is already ours counts as published.
    pub async fn publish(
        &self,
        expected: Option<&Bytes>,
        bundle: &Bundle,
        entry: &LogEntry,
        mode: Mode,
    ) -> Result<Published, PublishError> {
        let offer = rule::Offer::new(expected, bundle, entry, mode)?;
        match self {
            Self::Redis(redis) => redis.publish(&offer).await,
            Self::File(folder) => folder.publish(offer).await,
            Self::Memory(memory) => memory.publish(&offer),
        }
    }

    /// A past table, if it is among the last [`EPOCHS_KEPT`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn at_epoch(&self, epoch: u64) -> Result<Option<Bundle>, StoreError> {
        match self {
            Self::Redis(redis) => redis.at_epoch(epoch).await,
            Self::File(folder) => folder.at_epoch(epoch).await,
            Self::Memory(memory) => memory.at_epoch(epoch),
        }
    }

    /// The newest log entries, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn history(&self, count: usize) -> Result<Vec<LogEntry>, StoreError> {
        match self {
            Self::Redis(redis) => redis.history(count.min(LOG_MAX)).await,
            Self::File(folder) => folder.history(count).await,
            Self::Memory(memory) => Ok(memory.history(count)),
        }
    }

    /// Writes a proxy's ack and raises acked.
    ///
    /// # Errors
    /// [`StoreError`]; its `Content` also when [`crate::ack::ACKS_MAX`] live proxies are there before this one.
    pub async fn ack(&self, ack: &Ack) -> Result<(), StoreError> {
        match self {
            Self::Redis(redis) => redis.ack(ack).await,
            Self::File(folder) => folder.ack(ack).await,
            Self::Memory(memory) => memory.ack(ack),
        }
    }

    /// All acks, dead ones included.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn acks(&self) -> Result<Vec<Ack>, StoreError> {
        match self {
            Self::Redis(redis) => redis.acks().await,
            Self::File(folder) => folder.acks().await,
            Self::Memory(memory) => Ok(memory.acks()),
        }
    }

    /// Tells stamps that tenants of theirs were written to elsewhere. After an error they may have been told all the same.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn notify(&self, notices: &[Notice]) -> Result<(), StoreError> {
        match self {
            Self::Redis(redis) => redis.notify(notices).await,
            Self::File(folder) => folder.notify(notices).await,
            Self::Memory(memory) => {
                memory.notify(notices);
                Ok(())
            }
        }
    }

    /// What a stamp was told after a place, at most [`crate::failover::PAGE_MAX`] entries of all stamps; without a place, or
    /// where entries after it may be missing, the end as a place with a gap before it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn notices(&self, stamp: &StampId, after: Option<&Place>) -> Result<Page, StoreError> {
        match self {
            Self::Redis(redis) => redis.notices(stamp, after).await,
            Self::File(folder) => folder.notices(stamp, after).await,
            Self::Memory(memory) => Ok(memory.notices(stamp, after)),
        }
    }

    /// Word of notices for a stamp, as a hint.
    #[must_use]
    pub fn notice_hints(&self, stamp: &StampId) -> Hints {
        match self {
            Self::Redis(redis) => redis.notice_hints(stamp),
            Self::File(folder) => Hints::file(folder.noticed_path()),
            Self::Memory(memory) => Hints::memory(memory.noticed()),
        }
    }

    /// Word of changes, as a hint: whoever polls as well misses nothing.
    #[must_use]
    pub fn hints(&self) -> Hints {
        match self {
            Self::Redis(redis) => redis.hints(),
            Self::File(folder) => Hints::file(folder.head_path()),
            Self::Memory(memory) => Hints::memory(memory.changes()),
        }
    }
}
