//! A store in this process. Cloning shares it; opening makes a new one.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::UNIX_EPOCH,
};

use bytes::Bytes;
use tokio::sync::watch;

use super::{
    Glance, LogEntry, PublishError, Published, StoreError,
    rule::{Content, Offer},
};
use crate::{
    ack::Ack,
    bundle::Bundle,
    failover::{Notice, Page, Place},
    id::StampId,
    table::Millis,
};

/// The store.
#[derive(Clone, Debug)]
pub struct Memory {
    content: Arc<Mutex<Content>>,
    changes: watch::Sender<u64>,
    noticed: watch::Sender<u64>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { content: Arc::default(), changes: watch::Sender::new(0), noticed: watch::Sender::new(0) }
    }
}

/// This host's clock, in milliseconds since the Unix epoch.
pub(super) fn now() -> Millis {
    UNIX_EPOCH.elapsed().map(|since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)).unwrap_or_default()
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn glance(&self) -> Glance {
        self.lock().glance()
    }

    pub(super) fn documents(&self, epoch: u64, hash: &str, known: Option<Bytes>) -> Result<(Bytes, Bytes), StoreError> {
        self.lock().documents("memory:", epoch, hash, known)
    }

    pub(super) fn publish(&self, offer: &Offer) -> Result<Published, PublishError> {
        self.lock().publish(offer, now())?;
        self.changes.send_modify(|count| *count += 1);
        Ok(Published::default())
    }

    pub(super) fn at_epoch(&self, epoch: u64) -> Result<Option<Bundle>, StoreError> {
        self.lock().at_epoch("memory:", epoch)
    }

    pub(super) fn history(&self, count: usize) -> Vec<LogEntry> {
        self.lock().log.iter().rev().take(count).cloned().collect()
    }

    pub(super) fn ack(&self, ack: &Ack) -> Result<(), StoreError> {
        self.lock().ack(ack, now()).map_err(|why| StoreError::Content { at: "memory:".to_owned(), why })
    }

    pub(super) fn acks(&self) -> Vec<Ack> {
        self.lock().acks.values().cloned().collect()
    }

    pub(super) fn notify(&self, notices: &[Notice]) {
        self.lock().notices.append(notices);
        self.noticed.send_modify(|count| *count += 1);
    }

    pub(super) fn notices(&self, stamp: &StampId, after: Option<&Place>) -> Page {
        self.lock().notices.read(stamp, after)
    }

    pub(super) fn noticed(&self) -> watch::Receiver<u64> {
        self.noticed.subscribe()
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

impl Content {
    pub(super) fn glance(&self) -> Glance {
        Glance { head: self.head.clone().map(Bytes::from), acked: self.acked, now: Some(now()) }
    }

    pub(super) fn documents(
        &self,
        at: &str,
        epoch: u64,
        hash: &str,
        known: Option<Bytes>,
    ) -> Result<(Bytes, Bytes), StoreError> {
        let missing = |what: String| StoreError::Content { at: at.to_owned(), why: format!("{what} is missing") };
        let (_, table) = self.tables.get(&epoch).ok_or_else(|| missing(format!("the table of epoch {epoch}")))?;
        let tenants = match known {
            Some(bytes) => bytes,
            None => Bytes::from(self.tenants.get(hash).ok_or_else(|| missing("the tenants document".into()))?.clone()),
        };
        Ok((Bytes::from(table.clone()), tenants))
    }

    pub(super) fn at_epoch(&self, at: &str, epoch: u64) -> Result<Option<Bundle>, StoreError> {
        let Some((head, _)) = self.tables.get(&epoch) else { return Ok(None) };
        let head = Bytes::from(head.clone());
        let parsed = crate::bundle::Head::parse(&head)
            .map_err(|refusal| StoreError::Content { at: at.to_owned(), why: refusal.to_string() })?;
        let (table, tenants) = self.documents(at, epoch, &parsed.tenants_hash, None)?;
        Ok(Some(Bundle { head, table, tenants }))
    }
}
