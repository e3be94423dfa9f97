//! The hours in the limits store: `PREFIX:top:STAMP:HOUR`, a hash of tenant → requests.
//!
//! Invariant: an hour has at most [`FIELDS_MAX`] fields and a life of [`KEPT_HOURS`]; ids of tenants are values, never part of
//! a key or of a script. Whatever is read is hostile. A connection lives for one call: there is one call a minute.

use std::{fmt, ops::RangeInclusive, time::Duration};

use redis::{Client, RedisError, aio::MultiplexedConnection, io::tcp::TcpSettings};

use super::{Hour, Hours};
use crate::{
    id::{StampId, TENANT_BYTES_MAX, TenantId},
    redis_client::{self, InvalidUrl},
    store::is_key_prefix,
};

/// Most fields of an hour: the tenants with the most requests, and the total.
pub const FIELDS_MAX: usize = 500;
/// How long an hour is kept after it was last added to.
pub const KEPT_HOURS: u64 = 50;
/// Most tenants that are added at once.
const ADDED_MAX: usize = 64;
/// The field of all requests; no tenant can be called so.
const ALL: &str = "*";
/// Longest number, in digits: what it says is exact wherever it is read.
const DIGITS_MAX: usize = 15;
/// Longest that opening a connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// Longest that one call may take.
const CALL_MAX: Duration = Duration::from_secs(2);

/// The hours of all stamps that use the same limits store.
#[derive(Clone)]
pub struct Traffic {
    client: Client,
    /// Host and port, without credentials.
    at: String,
    prefix: String,
}

/// Why the hours cannot be written or read. Credentials never appear.
#[derive(Debug, thiserror::Error)]
pub enum TrafficError {
    /// The URL names no store.
    #[error("the limits store's URL is not understood: {0}")]
    Url(#[from] InvalidUrl),
    /// The prefix of the keys is none that a proxy could be told to use.
    #[error("a key prefix is 1 to 32 of a-z 0-9 -")]
    KeyPrefix,
    /// No answer, or an error of the server.
    #[error("the limits store {at} failed: {why}")]
    Away {
        /// Which store.
        at: String,
        /// What it or the network said.
        why: String,
    },
}

impl fmt::Debug for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Traffic").field(&self.at).finish()
    }
}

impl Traffic {
    /// The hours below `key_prefix` of the store at `url`, `redis://` or `rediss://`. Connects to nobody yet.
    ///
    /// # Errors
    /// [`TrafficError::Url`], [`TrafficError::KeyPrefix`].
    pub fn open(url: &str, key_prefix: &str) -> Result<Self, TrafficError> {
        Self::new(redis_client::of(url, TcpSettings::default())?, key_prefix)
    }

    /// The same of a client that is there already.
    ///
    /// # Errors
    /// [`TrafficError::KeyPrefix`].
    pub fn new(client: Client, key_prefix: &str) -> Result<Self, TrafficError> {
        if !is_key_prefix(key_prefix) {
            return Err(TrafficError::KeyPrefix);
        }
        let at = redis_client::address(&client);
        Ok(Self { client, at, prefix: key_prefix.to_owned() })
    }

    fn key(&self, stamp: &StampId, hour: u64) -> String {
        format!("{}:top:{stamp}:{hour}", self.prefix)
    }

    /// Adds requests to an hour of a stamp: of all tenants, and of the first 64 of those that made the most. Where there is
    /// no room for a tenant, the one with the fewest requests makes it, if it has fewer.
    ///
    /// # Errors
    /// [`TrafficError::Away`]. Nothing, all or, when the answer is what was lost, all was added.
    pub async fn add(
        &self,
        stamp: &StampId,
        hour: u64,
        total: u64,
        tenants: impl IntoIterator<Item = (TenantId, u64)>,
    ) -> Result<(), TrafficError> {
        let mut command = redis::cmd("EVAL");
        command.arg(include_str!("add.lua")).arg(1).arg(self.key(stamp, hour));
        command.arg(KEPT_HOURS * 3_600).arg(FIELDS_MAX).arg(ALL).arg(total);
        for (tenant, requests) in tenants.into_iter().take(ADDED_MAX).filter(|(_, requests)| *requests > 0) {
            command.arg(tenant.as_str()).arg(requests);
        }
        self.call(async |connection| command.query_async::<()>(connection).await).await
    }

    /// The hours of a stamp that are known; at most [`KEPT_HOURS`] are asked for, the last ones.
    ///
    /// # Errors
    /// [`TrafficError::Away`]. What is no hour of ours is unknown and no error.
    pub async fn hours(&self, stamp: &StampId, hours: RangeInclusive<u64>) -> Result<Hours, TrafficError> {
        let first = (*hours.start()).max(hours.end().saturating_sub(KEPT_HOURS - 1));
        let hours = first..=*hours.end();
        let mut pipe = redis::pipe();
        for hour in hours.clone() {
            let eval = pipe.cmd("EVAL").arg(include_str!("read.lua")).arg(1).arg(self.key(stamp, hour));
            eval.arg(FIELDS_MAX).arg(TENANT_BYTES_MAX).arg(DIGITS_MAX);
        }
        let found: Vec<Vec<Vec<u8>>> = self.call(async |connection| pipe.query_async(connection).await).await?;
        Ok(hours.zip(found).filter_map(|(hour, fields)| Some((hour, read(&fields)?))).collect())
    }

    /// One call within its time limits, on a connection of its own.
    async fn call<T>(
        &self,
        run: impl AsyncFnOnce(&mut MultiplexedConnection) -> Result<T, RedisError>,
    ) -> Result<T, TrafficError> {
        let away = |why: String| TrafficError::Away { at: self.at.clone(), why };
        let opened = tokio::time::timeout(CONNECT_MAX, redis_client::connect(&self.client)).await;
        let opened = opened.map_err(|_| away(format!("no connection within {CONNECT_MAX:?}")))?;
        let mut connection = opened.map_err(|error| away(error.to_string()))?;
        let answer = tokio::time::timeout(CALL_MAX, run(&mut connection)).await;
        let answer = answer.map_err(|_| away(format!("no answer within {CALL_MAX:?}")))?;
        answer.map_err(|error| away(error.to_string()))
    }
}

/// `None`: it does not say how many requests there were in all.
fn read(fields: &[Vec<u8>]) -> Option<Hour> {
    let number = |text: &[u8]| str::from_utf8(text).ok()?.parse::<u64>().ok();
    let (pairs, _) = fields.as_chunks::<2>();
    let total = pairs.iter().find(|[name, _]| name == ALL.as_bytes()).and_then(|[_, value]| number(value))?;
    let tenant = |[name, value]: &[Vec<u8>; 2]| {
        let requests = number(value).filter(|requests| *requests > 0)?;
        Some((TenantId::parse(name).ok()?, requests.min(total)))
    };
    (total > 0).then(|| Hour { total, tenants: pairs.iter().filter_map(tenant).collect() })
}
