//! Answers that are kept, for the tenant that asked and nobody else (RFC 9111, as a shared cache).
//!
//! What HTTP says is in [`freshness`], pure. A [`key`] tells one answer from all others, an [`entry`] is one, the
//! [`store`] bounds them, a [`class`] says what the settings want. Who finds none fetches it for all who want it
//! ([`collapse`]), and they read it while it comes ([`fill`]). A [`purge`] ends the use of what was fetched before it.
//!
//! Invariant: an entry answers only a request that makes its whole key, tenant first, and only while no purge that came
//! after its fetch began covers it.

pub mod class;
pub mod collapse;
pub mod entry;
pub mod failover;
pub mod fill;
pub mod freshness;
pub mod key;
pub mod l2;
pub mod purge;
#[cfg(test)]
pub(crate) mod redis_server;
pub mod store;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use collapse::Fetches;
use failover::Failover;
use fill::Room;
use l2::{
    L2,
    codec::{DecodeError, Secret},
};
use purge::Purges;
use store::Store;
use synaxis_config::settings::{Cache as Settings, CacheStore};
use synaxis_routing::purge::{self as wire, PurgeStore, StoreError};

use crate::telemetry::cache::{CacheMetrics, L2Metrics};

/// Fetches at a time that several may wait for; further ones are not shared.
pub const FETCHES_MAX: usize = 4_096;
/// Longest that an entry may be of use, from the beginning of its fetch: a day fresh, a day stale, and an hour to come.
const ENTRY_LIFE: Duration = Duration::from_secs(49 * 60 * 60);

/// What a process keeps.
pub struct Cache {
    /// Answers in memory.
    pub store: Store,
    /// Fetches under way.
    pub fetches: Arc<Fetches>,
    /// What is not to be used any more.
    pub purges: Arc<Purges>,
    /// Where the processes of the stamp tell each other, if they do.
    pub purge_store: Option<PurgeStore>,
    /// What they share, if they do.
    pub l2: Option<Arc<L2>>,
    /// What answers take while they come: a quarter of what they may take when they are there.
    pub room: Arc<Room>,
    /// What is known of requests that were served elsewhere than at their owner.
    pub failover: Failover,
    /// Makes places that nobody outside can aim at.
    pub seed: u64,
}

impl Cache {
    /// An empty one. `seed` is a number that nobody can guess.
    ///
    /// # Errors
    /// [`StoreError`]: there is no way to the store of purges.
    pub fn open(settings: &Settings, seed: u64, now: Instant) -> Result<Self, StoreError> {
        let limits = purge::Limits { entry_life: ENTRY_LIFE, ..purge::Limits::default() };
        let (purge_store, l2) = match &settings.store {
            Some(store) => {
                let purges = PurgeStore::open(store.url.expose(), &store.key_prefix)?;
                (Some(purges), Some(shared(store)?))
            }
            None => (None, None),
        };
        let purges = match &purge_store {
            Some(_) => Purges::new(limits, now),
            None => Purges::alone(limits, now),
        };
        Ok(Self {
            store: Store::new(settings.memory),
            fetches: Arc::default(),
            purges: Arc::new(purges),
            purge_store,
            l2,
            room: Arc::new(Room::new(settings.memory / 4)),
            failover: Failover::default(),
            seed,
        })
    }

    /// Makes room and forgets. To be called some ten times a second.
    pub fn tidy(&self, now: Instant) {
        self.store.tidy();
        self.purges.tick(now);
        self.failover.absences.tidy(now);
    }

    /// Shows how it stands.
    pub fn show(&self, metrics: &CacheMetrics) {
        let counts = self.store.counts();
        metrics.entries.set(counts.entries as f64);
        metrics.bytes.set(counts.bytes as f64);
        metrics.fetches.set(self.fetches.count() as f64);
        metrics.coming.set(self.room.taken() as f64);
        metrics.evicted.absolute(counts.evicted);
        metrics.expired.absolute(counts.expired);
        let (purges, held) = (self.purges.counts(), self.purges.held());
        let of = |count: &std::sync::atomic::AtomicU64| count.load(std::sync::atomic::Ordering::Relaxed);
        metrics.purges.absolute(of(&purges.applied));
        metrics.marks.absolute(of(&purges.marks));
        metrics.append_failures.absolute(of(&purges.append_failures));
        metrics.not_understood.absolute(of(&purges.not_understood) + of(&purges.messages_refused));
        metrics.lost.absolute(of(&purges.gaps) + of(&purges.restarts) + of(&purges.overflows));
        metrics.widened.absolute(of(&purges.tenants_widened));
        self.failover.show(&metrics.failover);
        metrics.held.set(held.marks as f64);
        if let Some(l2) = &self.l2 {
            show(l2, &metrics.l2);
        }
        metrics.cut_off.set(if self.purges.is_cut_off(Instant::now()) { 1.0 } else { 0.0 });
    }
}

/// What the processes of a stamp share.
fn shared(store: &CacheStore) -> Result<Arc<L2>, StoreError> {
    let secret = store.key.as_ref().map(|key| Secret::new(key.expose().as_bytes()));
    let bytes = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
    let limits = l2::Limits {
        value_bytes_max: bytes(store.value_bytes),
        deadline: store.deadline,
        queue_max: store.queue_max,
        queue_bytes_max: bytes(store.queue_bytes),
    };
    L2::new(wire::client(store.url.expose())?, &store.key_prefix, secret, limits).map_err(|_| StoreError::KeyPrefix)
}

fn show(l2: &L2, metrics: &L2Metrics) {
    let counts = l2.counts();
    let of = |count: &std::sync::atomic::AtomicU64| count.load(std::sync::atomic::Ordering::Relaxed);
    metrics.away.set(if l2.is_away() { 1.0 } else { 0.0 });
    metrics.connections.set(l2.links() as f64);
    let (queued, bytes) = l2.queued();
    metrics.queued.set(queued as f64);
    metrics.queued_bytes.set(bytes as f64);
    metrics.reads.absolute(of(&counts.reads));
    metrics.late.absolute(of(&counts.late));
    metrics.busy.absolute(of(&counts.busy));
    metrics.failures.absolute(of(&counts.failures));
    metrics.outages.absolute(of(&counts.outages));
    let puts = [&counts.written, &counts.refused, &counts.dropped, &counts.too_large];
    metrics.puts.iter().zip(puts).for_each(|(metric, count)| metric.absolute(of(count)));
    for (metric, why) in metrics.unreadable.iter().zip(DecodeError::ALL) {
        metric.absolute(counts.unreadable(why));
    }
}
