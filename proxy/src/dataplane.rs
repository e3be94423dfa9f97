//! What all connections share: the [`Snapshot`] (what should be) and the [`DataPlane`] around it.
//!
//! A snapshot is immutable and swapped whole; a request loads it once and drops it before the first byte of a body.
//! `control` is the only writer.

pub mod capacity;
pub mod degradation;
pub mod denies;
pub mod limits;
pub mod traffic;
pub mod worker;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
    },
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use synaxis_config::settings::Settings;
use synaxis_routing::{
    endpoint::EndpointPolicy,
    id::TenantId,
    placement::{Placement, RegionIndex, StampIndex},
    table::Millis,
};

use xxhash_rust::xxh3::xxh3_128_with_seed;

use capacity::Capacity;
use limits::{Buckets, Limits};

use crate::{
    cache::{Cache, class::Class},
    shutdown::Shutdown,
    telemetry::metrics::Metrics,
    upstream::{
        concurrency::TenantKey,
        guard::{self, Guard},
        health::{self, Health},
        target::{Target, Targets},
    },
};

/// What should be.
pub struct Snapshot {
    /// The settings as run.
    pub settings: Arc<Settings>,
    /// The apps of this stamp, in the settings' order.
    pub apps: Vec<Arc<App>>,
    /// What bounds each other stamp.
    pub peer_limits: guard::Limits,
    /// Classes of kept answers, in the settings' order.
    pub classes: Vec<Arc<Class>>,
    /// How many requests may come.
    pub limits: Arc<Limits>,
    /// The routing table, once one is loaded.
    pub fleet: Option<Arc<Fleet>>,
    /// Whether a pool of this index is still meant by anything here.
    pub live_pools: Vec<bool>,
}

impl Snapshot {
    /// What stands before each app and each other stamp, with what bounds it.
    pub fn guards(&self) -> impl Iterator<Item = (&Guard, &guard::Limits)> {
        let apps = self.apps.iter().map(|app| (app.guard.as_ref(), &app.limits));
        let me = self.fleet.as_ref().and_then(|fleet| fleet.me).map(|me| usize::from(me.0));
        let others = self.fleet.iter().flat_map(|fleet| &fleet.peers).enumerate();
        let peers = others.filter(move |(index, _)| Some(*index) != me).filter_map(|(_, peer)| peer.as_ref());
        apps.chain(peers.map(|peer| (peer.guard.as_ref(), &self.peer_limits)))
    }
}

/// An app of this stamp.
pub struct App {
    /// Its endpoints, in the settings' order.
    pub targets: Vec<Arc<Target>>,
    /// Which of them serve.
    pub health: Arc<Health>,
    /// What decides that.
    pub health_limits: health::Limits,
    /// What stands before it.
    pub guard: Arc<Guard>,
    /// What bounds it.
    pub limits: guard::Limits,
}

/// Another stamp.
#[derive(Clone)]
pub struct Peer {
    /// Its peer listener.
    pub target: Arc<Target>,
    /// What stands before it.
    pub guard: Arc<Guard>,
}

/// The routing table from this stamp's point of view.
pub struct Fleet {
    /// The table as built.
    pub placement: Placement,
    /// Its exact bytes, for peers and `recover`; one envelope.
    pub envelope: Bytes,
    /// This stamp, if the table knows it.
    pub me: Option<StampIndex>,
    /// This proxy's region; the table's first when it does not know ours.
    pub entry: RegionIndex,
    /// The other stamps, by stamp; `None` where a stamp's endpoint cannot be used.
    pub peers: Vec<Option<Peer>>,
    /// `TERM.EPOCH` as a field value.
    pub version: http::HeaderValue,
}

/// What all threads of one server share.
pub struct DataPlane {
    /// The current snapshot; [`crate::control`] stores, everybody else loads.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// The server's metrics.
    pub metrics: Arc<Metrics>,
    /// Where the process stands on its way out.
    pub shutdown: Shutdown,
    /// Every target that is named or still in use.
    pub targets: Targets,
    /// Where peers may be.
    pub policy: EndpointPolicy,
    /// The store's clock.
    pub clock: Clock,
    /// What makes tenants' fingerprints unknown to tenants.
    pub secret: u64,
    /// What has been spent of the limits of requests.
    pub buckets: Buckets,
    /// Answers that are kept.
    pub cache: Cache,
    /// Which tenants make the most requests.
    pub traffic: traffic::Traffic,
    /// What this process can hold.
    pub capacity: Capacity,
    /// What each worker is doing.
    pub workers: Vec<Load>,
    /// The level of degradation.
    pub degradation: degradation::Published,
    /// Asks control to look at the store soon: somebody has shown that tables differ.
    pub refresh: tokio::sync::Notify,
    /// Asks control to load the configuration again, changed or not.
    pub reload: tokio::sync::Notify,
    /// Tells the parts of control that another snapshot has been stored.
    pub published: tokio::sync::watch::Sender<()>,
}

/// Ticks of a worker that has ended because nothing was left to do.
pub const ENDED: usize = usize::MAX;

/// What one worker is doing; the acceptor deals by it, `/livez` judges by it.
#[derive(Clone, Default)]
pub struct Load {
    /// Requests in flight.
    pub in_flight: Arc<AtomicUsize>,
    /// Open downstream connections.
    pub connections: Arc<AtomicUsize>,
    /// Requests answered so far.
    pub answered: Arc<AtomicUsize>,
    /// Ticks of its sweeper so far; [`ENDED`] when it has ended.
    pub ticks: Arc<AtomicUsize>,
    /// Whether its thread has ended, and with it everything that it was doing.
    pub gone: Arc<AtomicBool>,
}

impl DataPlane {
    /// A tenant's fingerprint in this process.
    #[must_use]
    pub fn key(&self, tenant: &TenantId) -> TenantKey {
        TenantKey::new(xxh3_128_with_seed(tenant.as_bytes(), self.secret))
    }

    /// Requests in flight on all workers.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.workers.iter().map(|load| load.in_flight.load(Ordering::Relaxed)).sum()
    }

    /// Requests answered by all workers so far.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.workers.iter().map(|load| load.answered.load(Ordering::Relaxed)).sum()
    }

    /// Open downstream connections of all workers.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.workers.iter().map(|load| load.connections.load(Ordering::Relaxed)).sum()
    }
}

/// The routing store's clock: this host's, plus an offset that control keeps up to date.
pub struct Clock {
    origin: Instant,
    origin_ms: i64,
    offset_ms: AtomicI64,
}

impl Default for Clock {
    fn default() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            origin: Instant::now(),
            origin_ms: i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            offset_ms: AtomicI64::new(0),
        }
    }
}

impl Clock {
    /// The store's clock at `instant`, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn at(&self, instant: Instant) -> Millis {
        let elapsed = i64::try_from(instant.duration_since(self.origin).as_millis()).unwrap_or(i64::MAX);
        let now = self.origin_ms.saturating_add(elapsed).saturating_add(self.offset_ms.load(Ordering::Relaxed));
        u64::try_from(now).unwrap_or_default()
    }

    /// Milliseconds since the Unix epoch on this host's clock at `instant`, without the offset.
    #[must_use]
    pub fn host(&self, instant: Instant) -> Millis {
        let elapsed = i64::try_from(instant.duration_since(self.origin).as_millis()).unwrap_or(i64::MAX);
        u64::try_from(self.origin_ms.saturating_add(elapsed)).unwrap_or_default()
    }

    /// Milliseconds since this process began, at `instant`; never goes back.
    #[must_use]
    pub fn uptime(&self, instant: Instant) -> Millis {
        u64::try_from(instant.duration_since(self.origin).as_millis()).unwrap_or(u64::MAX)
    }

    /// The same in nanoseconds.
    #[must_use]
    pub fn nanos(&self, instant: Instant) -> u64 {
        u64::try_from(instant.duration_since(self.origin).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Reads [`nanos`](Self::nanos) of now, apart from this clock.
    pub fn reader(&self) -> impl Fn() -> u64 + Send + Sync + use<> {
        let origin = self.origin;
        move || u64::try_from(origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Sets the offset of the store's clock to this host's, in milliseconds.
    pub fn set_offset(&self, offset_ms: i64) {
        self.offset_ms.store(offset_ms, Ordering::Relaxed);
    }
}
