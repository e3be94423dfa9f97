//! What may be published over what: one pure rule. `publish.lua` says the same for Redis.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{EPOCHS_KEPT, LOG_MAX, LOG_TEXT_MAX, LogEntry, Mode, PublishError};
use crate::{
    ack::{ACKS_MAX, Ack, KEPT},
    bundle::{Bundle, Head},
    failover::Notices,
    table::Millis,
    version::Version,
};

/// A publication, checked as far as it can be without the store.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    pub(super) expected: Option<Bytes>,
    pub(super) bundle: Bundle,
    pub(super) head: Head,
    pub(super) entry: LogEntry,
    pub(super) mode: Mode,
}

impl Offer {
    pub(super) fn new(
        expected: Option<&Bytes>,
        bundle: &Bundle,
        entry: &LogEntry,
        mode: Mode,
    ) -> Result<Self, PublishError> {
        let head = bundle.decode().map_err(|refusal| PublishError::Unsound(refusal.to_string()))?.head;
        if !head.version().is_countable() {
            return Err(PublishError::Unsound(format!("version {} is out of range", head.version())));
        }
        let entry = LogEntry {
            who: clipped(&entry.who),
            what: clipped(&entry.what),
            why: clipped(&entry.why),
            at: entry.at,
            version: entry.version,
        };
        Ok(Self { expected: expected.cloned(), bundle: bundle.clone(), head, entry, mode })
    }
}

fn clipped(text: &str) -> String {
    text[..text.floor_char_boundary(LOG_TEXT_MAX)].to_owned()
}

/// Everything that a store holds, for the stores that hold it themselves.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Content {
    pub(super) head: Option<String>,
    pub(super) tables: BTreeMap<u64, (String, String)>,
    pub(super) tenants: BTreeMap<String, String>,
    pub(super) log: Vec<LogEntry>,
    pub(super) acks: BTreeMap<String, Ack>,
    pub(super) acked: Version,
    #[serde(default)]
    pub(super) notices: Notices,
}

impl Content {
    /// Publishes into this content or says why not.
    pub(super) fn publish(&mut self, offer: &Offer, now: Millis) -> Result<(), PublishError> {
        let text = |bytes: &Bytes| {
            String::from_utf8(bytes.to_vec()).map_err(|_| PublishError::Unsound("a document is not UTF-8".into()))
        };
        if self.head.as_deref().map(str::as_bytes) == Some(&offer.bundle.head[..]) {
            return Ok(());
        }
        let live: Vec<&Ack> = self.acks.values().filter(|ack| ack.is_live(now)).collect();
        let standing = self.head.as_deref().map(|head| Head::parse(head.as_bytes()));
        // a head that cannot be read is older than everything: only recover goes over it
        let standing = standing.map(|head| head.map(|head| head.version()).unwrap_or_default());
        decide(offer, self.head.as_deref().map(str::as_bytes), standing, self.acked, &live, self.acks.is_empty())?;
        self.tables.insert(offer.head.epoch, (text(&offer.bundle.head)?, text(&offer.bundle.table)?));
        self.tenants.insert(offer.head.tenants_hash.clone(), text(&offer.bundle.tenants)?);
        self.head = Some(text(&offer.bundle.head)?);
        self.tables.retain(|epoch, _| epoch + EPOCHS_KEPT > offer.head.epoch && *epoch <= offer.head.epoch);
        self.forget_tenants();
        self.acks.retain(|_, ack| now.saturating_sub(ack.at) < KEPT);
        self.log.push(LogEntry { at: now, ..offer.entry.clone() });
        let extra = self.log.len().saturating_sub(LOG_MAX);
        self.log.drain(..extra);
        Ok(())
    }

    /// Forgets tenants documents that no table needs any more.
    fn forget_tenants(&mut self) {
        let needed: Vec<String> = self
            .tables
            .values()
            .filter_map(|(head, _)| Head::parse(head.as_bytes()).ok())
            .map(|head| head.tenants_hash)
            .collect();
        self.tenants.retain(|hash, _| needed.contains(hash));
    }

    /// Forgets the oldest table. False when only the newest one is left.
    pub(super) fn forget_oldest(&mut self) -> bool {
        if self.tables.len() <= 1 {
            return false;
        }
        self.tables.pop_first();
        self.forget_tenants();
        true
    }

    /// Takes an ack or says why not. `ack.lua` says the same for Redis.
    pub(super) fn ack(&mut self, ack: &Ack, now: Millis) -> Result<(), String> {
        ack.encode()?;
        self.acked = self.acked.max(ack.applied);
        if self.acks.len() >= ACKS_MAX && !self.acks.contains_key(&ack.proxy) {
            self.acks.retain(|_, ack| now.saturating_sub(ack.at) < KEPT);
            if self.acks.len() >= ACKS_MAX {
                return Err(full());
            }
        }
        self.acks.insert(ack.proxy.clone(), Ack { at: now, ..ack.clone() });
        Ok(())
    }
}

/// What a proxy hears that comes to a full store.
pub(super) fn full() -> String {
    format!("{ACKS_MAX} proxies are there already; this one is not counted")
}

/// The rule.
fn decide(
    offer: &Offer,
    head: Option<&[u8]>,
    standing: Option<Version>,
    acked: Version,
    live: &[&Ack],
    nobody: bool,
) -> Result<(), PublishError> {
    let offered = offer.head.version();
    if offer.expected.as_deref() != head {
        return Err(PublishError::Lost);
    }
    if let Some(ack) = live.iter().find(|ack| ack.format < offer.head.needs) {
        return Err(PublishError::NeedsNewer { proxy: ack.proxy.clone(), reads: ack.format, needs: offer.head.needs });
    }
    if offer.mode == Mode::Recover {
        let applied = live.iter().map(|ack| ack.applied).max().unwrap_or_default();
        let over = standing.unwrap_or_default().max(acked).max(applied);
        return if offered > over { Ok(()) } else { Err(PublishError::Version { offered, over }) };
    }
    match (standing, offer.mode) {
        (None, Mode::Init) if acked > Version::default() => {
            Err(PublishError::Behind { head: Version::default(), acked })
        }
        (None, Mode::Init) => Ok(()),
        (None, _) => Err(PublishError::NeedsInit),
        (Some(_), Mode::Init) => Err(PublishError::Lost),
        (Some(head), _) if head < acked => Err(PublishError::Behind { head, acked }),
        (Some(head), mode) => {
            if offered.term != head.term || offered <= head {
                return Err(PublishError::Version { offered, over: head });
            }
            let confirmed = nobody || live.iter().any(|ack| ack.applied == head);
            if mode == Mode::Ordinary && !confirmed {
                return Err(PublishError::Unconfirmed { head });
            }
            Ok(())
        }
    }
}
