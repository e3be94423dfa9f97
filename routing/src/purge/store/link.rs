//! One connection to the store of purges.
//!
//! Invariant: every call has a deadline, and what is not understood is an error.

use std::{sync::Arc, time::Duration};

use redis::{FromRedisValue, Value, aio::MultiplexedConnection};

use super::{CALL_MAX, KEPT, PROCESS_BYTES_MAX, PurgeStore, READERS_MAX, StoreError};
use crate::purge::{Purge, PurgeId, Reading, Scope};

/// A purge as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub id: PurgeId,
    /// What it purges.
    pub reading: Reading,
}

/// How the stream stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// The entry that was asked about is there: nothing after it is missing.
    pub is_anchored: bool,
    /// The oldest entry.
    pub first: Option<PurgeId>,
    /// The newest.
    pub newest: Option<PurgeId>,
}

/// Which server this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its `run_id`: another one after every start.
    pub server: String,
    /// The one in which the stream was last known to be whole; empty: none.
    pub stream: String,
}

/// What a process says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Passed<'a> {
    /// Its name: at most [`PROCESS_BYTES_MAX`] bytes, unique.
    pub process: &'a str,
    /// What took effect in it.
    pub id: PurgeId,
    /// Whether to forget processes that have long been silent; now and then one has to.
    pub prunes: bool,
}

/// One connection to the store, for one user at a time. After an error it is to be dropped.
pub struct Link {
    pub(super) store: PurgeStore,
    pub(super) connection: MultiplexedConnection,
}

impl Link {
    async fn call<T: FromRedisValue>(&mut self, most: Duration, command: &redis::Cmd) -> Result<T, StoreError> {
        self.store.within(most, "no answer", command.query_async(&mut self.connection)).await
    }

    /// Writes purges, all on one trip; their ids in the same order.
    ///
    /// # Errors
    /// [`StoreError::Purge`]: none was written. [`StoreError::Away`]: some may have been.
    pub async fn append(&mut self, purges: &[Purge]) -> Result<Vec<PurgeId>, StoreError> {
        let mut pipe = redis::pipe();
        for purge in purges {
            pipe.add_command(self.store.0.xadd("*", purge)?);
        }
        let ids: Vec<String> = self.store.within(CALL_MAX, "no answer", pipe.query_async(&mut self.connection)).await?;
        let ids: Vec<PurgeId> = ids.iter().map(|id| self.id(id)).collect::<Result<_, _>>()?;
        let is_whole = ids.len() == purges.len();
        is_whole.then_some(ids).ok_or_else(|| self.store.away("fewer ids than purges".into()))
    }

    fn id(&self, text: &str) -> Result<PurgeId, StoreError> {
        text.parse().map_err(|_| self.store.away(format!("{text:.48} is no id of a purge that can be counted on")))
    }

    pub(super) fn end(&self, text: &str) -> Result<Option<PurgeId>, StoreError> {
        if text.is_empty() { Ok(None) } else { self.id(text).map(Some) }
    }

    /// Purges everything, with an id above `above`, and says that the stream is whole in this run from there on.
    ///
    /// # Errors
    /// [`StoreError::Away`].
    pub async fn begin_anew(&mut self, above: PurgeId, server: &str) -> Result<PurgeId, StoreError> {
        let all = Purge::hard(Scope::All);
        let xadd = self.store.0.xadd("*", &all)?;
        let text: String = self.call(CALL_MAX, &xadd).await?;
        // an id that cannot be counted on is taken for one that is not above
        let mut id = text.parse().unwrap_or(PurgeId::ZERO);
        if id <= above {
            // the server's clock is behind the one that wrote `above`
            id = above.next();
            let xadd = self.store.0.xadd(&id.to_string(), &all)?;
            let _: String = self.call(CALL_MAX, &xadd).await?;
        }
        let _: () = self.call(CALL_MAX, redis::cmd("SET").arg(&self.store.0.run).arg(server)).await?;
        Ok(id)
    }

    /// Which server this is, and which one the stream is known to be whole in.
    ///
    /// # Errors
    /// [`StoreError::Away`].
    pub async fn run(&mut self) -> Result<Run, StoreError> {
        let info: String = self.call(CALL_MAX, redis::cmd("INFO").arg("server")).await?;
        let server = info.lines().find_map(|line| line.strip_prefix("run_id:")).map(str::trim).unwrap_or_default();
        let stream: Vec<u8> = self.call(CALL_MAX, redis::cmd("GETRANGE").arg(&self.store.0.run).arg(0).arg(63)).await?;
        Ok(Run { server: server.to_owned(), stream: String::from_utf8_lossy(&stream).into_owned() })
    }

    /// The purges after `after`, at most `most`; waits for the first one for at most `patience`, at least 1 ms.
    ///
    /// # Errors
    /// [`StoreError::Away`].
    pub async fn read(&mut self, after: PurgeId, most: usize, patience: Duration) -> Result<Vec<Entry>, StoreError> {
        let mut xread = redis::cmd("XREAD");
        // 0 would be for ever
        xread.arg("COUNT").arg(most).arg("BLOCK").arg(patience.as_millis().max(1) as u64);
        xread.arg("STREAMS").arg(&self.store.0.stream).arg(after.to_string());
        let value: Value = self.call(patience + CALL_MAX, &xread).await?;
        self.entries(value).ok_or_else(|| self.store.away("a stream that is not understood".into()))
    }

    fn entries(&self, value: Value) -> Option<Vec<Entry>> {
        let array = |value: Value| if let Value::Array(items) = value { Some(items) } else { None };
        let bytes = |value: Value| if let Value::BulkString(bytes) = value { Some(bytes) } else { None };
        if value == Value::Nil {
            return Some(Vec::new());
        }
        let stream = array(value)?.into_iter().next()?;
        let entry = |value: Value| {
            let [id, fields] = <[Value; 2]>::try_from(array(value)?).ok()?;
            let id = str::from_utf8(&bytes(id)?).ok()?.parse().ok()?;
            let fields: Vec<Vec<u8>> = array(fields)?.into_iter().map(bytes).collect::<Option<_>>()?;
            Some(Entry { id, reading: Purge::read(&fields) })
        };
        array(array(stream)?.into_iter().nth(1)?)?.into_iter().map(entry).collect()
    }

    /// How the stream stands around `anchor`. What `passed` says is written down if the anchor is there.
    ///
    /// # Errors
    /// [`StoreError::Away`].
    pub async fn check(&mut self, anchor: PurgeId, passed: Option<Passed<'_>>) -> Result<Ends, StoreError> {
        let store = Arc::clone(&self.store.0);
        let mut invocation = store.check.prepare_invoke();
        invocation.key(&store.stream).key(&store.readers).arg(anchor.to_string());
        if passed.is_some_and(|passed| !(1..=PROCESS_BYTES_MAX).contains(&passed.process.len())) {
            return Err(self.store.away(format!("the name of a process is 1 to {PROCESS_BYTES_MAX} bytes")));
        }
        match passed {
            Some(Passed { process, id, prunes }) => {
                invocation.arg(process).arg(id.to_string()).arg(KEPT.as_millis() as u64);
                invocation.arg(READERS_MAX).arg(if prunes { "1" } else { "" });
            }
            None => {
                invocation.arg("").arg("").arg(0).arg(0).arg("");
            }
        }
        let asking = invocation.invoke_async(&mut self.connection);
        let found: Vec<String> = self.store.within(CALL_MAX, "no answer", asking).await?;
        let [anchored, first, newest] = &found[..] else { return Err(self.store.away("a strange answer".into())) };
        Ok(Ends { is_anchored: anchored == "1", first: self.end(first)?, newest: self.end(newest)? })
    }

    /// Takes back what a process has said: it ends.
    ///
    /// # Errors
    /// [`StoreError::Away`].
    pub async fn leave(&mut self, process: &str) -> Result<(), StoreError> {
        self.call(CALL_MAX, redis::cmd("HDEL").arg(&self.store.0.readers).arg(process)).await
    }
}
