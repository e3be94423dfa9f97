//! Keeps the routing table current: disk, then store, then peers at the start; afterwards a poll with hints.
//!
//! Invariant: whatever the store says or fails to say, the applied table stays until a newer one has been admitted. A
//! stale table is never an outage.

use std::{
    hash::{BuildHasher, RandomState},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use synaxis_config::settings::{Routing, Settings};
use synaxis_routing::{
    ack::Ack,
    bundle::{Bundle, Head},
    clock::StoreClock,
    placement::Placement,
    sanity::{self, Current, Refusal},
    snapshot,
    store::{Glance, Hint, Store, StoreError},
    table::FORMAT,
    version::Version,
};

use super::{
    Here, apply,
    peer_table::{self, FetchError},
    status::{Refused, Source, Status},
};
use crate::{
    dataplane::{DataPlane, Fleet},
    tasks,
};

/// Longest that the start waits for the store before it goes on with what it has.
const START_STORE_WAIT: Duration = Duration::from_secs(3);

/// Watches one routing store for one server.
pub struct RoutingTable {
    plane: Arc<DataPlane>,
    status: Arc<Status>,
    settings: Arc<Settings>,
    routing: Routing,
    store: Store,
    here: Here,
    proxy: String,
    clock: StoreClock,
    applied: Option<Applied>,
    had_taker: bool,
    /// The last head of the store whose table was refused, and when.
    refused: Option<(Bytes, Instant)>,
    answered: (Instant, usize),
}

struct Applied {
    bundle: Arc<Bundle>,
    fleet: Arc<Fleet>,
}

impl RoutingTable {
    /// A watcher that has not looked yet.
    ///
    /// # Errors
    /// [`StoreError`] when the store's URL cannot be understood.
    pub fn open(plane: Arc<DataPlane>, status: Arc<Status>, routing: &Routing, here: Here) -> Result<Self, StoreError> {
        let store = Store::open(routing.store.expose(), &routing.key_prefix)?;
        let settings = Arc::clone(&plane.snapshot.load().settings);
        // pids and ports repeat in containers: two proxies of one stamp must not overwrite each other's reports
        let chance = RandomState::new().hash_one(std::process::id());
        let proxy = format!("{}-{}-{chance:016x}", settings.stamp.id, here.admin.port());
        Ok(Self {
            routing: routing.clone(),
            plane,
            status,
            settings,
            store,
            here,
            proxy,
            clock: StoreClock::default(),
            applied: None,
            had_taker: false,
            refused: None,
            answered: (Instant::now(), 0),
        })
    }

    /// Where the table is read.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Loads the first table and keeps it current. Never returns.
    pub async fn run(mut self) {
        self.load_disk().await;
        let _ = tokio::time::timeout(START_STORE_WAIT, self.poll_store()).await;
        if self.applied.is_none() {
            self.ask_peers().await;
        }
        let mut hints = self.store.hints();
        let mut ack_at = Instant::now();
        loop {
            self.renew();
            let pause = jittered(self.routing.poll);
            tokio::select! {
                hint = hints.next() => match hint {
                    Hint::Changed | Hint::Reconnected => {}
                },
                // requests may ask at any rate
                () = self.plane.refresh.notified() => tokio::time::sleep(REFRESH_PAUSE).await,
                () = tokio::time::sleep(pause) => {}
            }
            self.poll_store().await;
            if self.applied.is_none() {
                self.ask_peers().await;
            }
            if ack_at.elapsed() >= self.routing.ack {
                ack_at = Instant::now();
                self.ack().await;
            }
        }
    }

    /// Takes on what a reload changed. What needs a restart is the same in every snapshot.
    fn renew(&mut self) {
        if let Some(routing) = &self.plane.snapshot.load().settings.routing {
            self.routing.clone_from(routing);
        }
    }

    async fn load_disk(&mut self) {
        let Some(path) = self.routing.snapshot.clone() else { return };
        let read = tasks::spawn_blocking(move || snapshot::read(&path)).await;
        match read {
            Ok(Ok(Some(bundle))) => self.offer(bundle, Source::Disk).await,
            Ok(Ok(None)) | Err(_) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "the routing snapshot cannot be used");
                self.status.note(|routing| routing.snapshot_error = Some(error.to_string()));
            }
        }
    }

    async fn poll_store(&mut self) {
        match self.read_store().await {
            Ok(()) => self.status.note(|routing| routing.store_error = None),
            Err(error) => {
                self.plane.metrics.routing_store_errors.increment(1);
                let text = error.to_string();
                self.status.note(|routing| {
                    if routing.store_error.is_none() {
                        tracing::warn!(error = %text, "the routing store cannot be read; the applied table stays");
                    }
                    routing.store_error = Some(text);
                });
            }
        }
    }

    async fn read_store(&mut self) -> Result<(), StoreError> {
        let glance = self.store.glance().await?;
        self.set_clock(&glance);
        let applied = self.version();
        let Some(bytes) = glance.head else {
            self.status.note(|routing| routing.store_error = None);
            if applied > Version::default() {
                self.refuse(
                    "store_empty",
                    "the store holds no table; the applied one stays (stampctl recover brings it back)",
                    Source::Store,
                );
                // reminds the store of what was applied, so that no writer mistakes it for a new fleet
                self.ack().await;
            }
            return Ok(());
        };
        if self.applied.as_ref().is_some_and(|applied| applied.bundle.head == bytes) {
            self.status.note(|routing| {
                routing.confirmed_at = Some(Instant::now());
                routing.refused = None;
            });
            if glance.acked < applied {
                self.ack().await;
            }
            return Ok(());
        }
        let head = match Head::parse(&bytes) {
            Ok(head) => head,
            Err(refusal) => {
                self.refuse(refusal.reason(), &refusal.to_string(), Source::Store);
                return Ok(());
            }
        };
        self.follow(&head, bytes, glance.acked).await
    }

    /// Fetches and offers what the head names, if it is newer; otherwise says that the store went back.
    async fn follow(&mut self, head: &Head, bytes: Bytes, acked: Version) -> Result<(), StoreError> {
        let applied = self.version();
        if head.version() < acked && acked > applied {
            // the store lost publications that another proxy has applied
            self.ask_peers().await;
        }
        let known = self
            .applied
            .as_ref()
            .map(|applied| (applied.fleet.placement.table().tenants_hash.clone(), applied.bundle.tenants.clone()));
        let known = known.as_ref().map(|(hash, bytes)| (hash.as_str(), bytes));
        if head.version() >= applied {
            // fetching, checking and building costs every proxy; a refusal stands until the head changes, or for a while
            if self.refused.as_ref().is_some_and(|(head, at)| *head == bytes && at.elapsed() < REFUSED_PAUSE) {
                return Ok(());
            }
            let bundle = self.store.fetch(head, &bytes, known).await?;
            self.offer(bundle, Source::Store).await;
            let stands = self.applied.as_ref().is_some_and(|applied| applied.bundle.head == bytes);
            self.refused = (!stands).then(|| (bytes, Instant::now()));
        } else {
            let detail = format!("the store shows {}, older than the applied {applied}", head.version());
            self.refuse("stale", &detail, Source::Store);
            self.ack().await;
        }
        Ok(())
    }

    /// Fetches the newest table from a peer: those of the settings, then those of the applied table.
    async fn ask_peers(&mut self) {
        let named = self
            .routing
            .bootstrap
            .iter()
            .filter_map(|url| Some((url.host_str()?.to_owned(), url.port_or_known_default()?)));
        let known = self.applied.iter().flat_map(|applied| {
            let peers = applied.fleet.peers.iter().flatten().map(|peer| &peer.target);
            peers.filter(|target| !target.tls).map(|target| (target.host.clone(), target.port))
        });
        let mut peers: Vec<(String, u16)> = named.chain(known).collect();
        peers.retain(|(host, port)| {
            Some((host.as_str(), *port))
                != self
                    .here
                    .peer
                    .map(|own| (own.ip().to_string(), own.port()))
                    .as_ref()
                    .map(|(host, port)| (host.as_str(), *port))
        });
        // not always the same ones first, and all at the same time: the poll must go on
        let turn = jitter() % peers.len().max(1);
        peers.rotate_left(turn);
        peers.truncate(PEERS_ASKED);
        let asked: Vec<_> = peers
            .into_iter()
            .map(|(host, port)| {
                let policy = self.plane.policy.clone();
                tasks::spawn_local(async move { (peer_table::fetch(&host, port, &policy).await, host, port) })
            })
            .collect();
        for answer in asked {
            match answer.await {
                Ok((Ok(bundle), ..)) => self.offer(bundle, Source::Peer).await,
                Ok((Err(FetchError::Refused(refusal)), ..)) => {
                    self.refuse(refusal.reason(), &refusal.to_string(), Source::Peer);
                }
                Ok((Err(error), host, port)) => tracing::debug!(host, port, %error, "a peer has no table for us"),
                Err(error) => tracing::warn!(%error, "asking a peer failed"),
            }
        }
    }

    /// Admits a table beside the applied one and publishes it, or says why not.
    async fn offer(&mut self, bundle: Bundle, source: Source) {
        let bundle = Arc::new(bundle);
        let current = self.applied.as_ref().map(|applied| Current {
            version: applied.fleet.placement.version(),
            digest: applied.fleet.placement.digest(),
            had_taker: self.had_taker,
        });
        let (offered, policy) = (Arc::clone(&bundle), self.plane.policy.clone());
        let beside = self.applied.as_ref().map(|applied| (Arc::clone(&applied.bundle), Arc::clone(&applied.fleet)));
        let admitted: Result<Result<Placement, Refusal>, _> = tasks::spawn_blocking(move || {
            let beside = beside.as_ref().map(|(bundle, fleet)| (&**bundle, &fleet.placement));
            sanity::admit_beside(&offered, current.as_ref(), &policy, beside)
        })
        .await;
        match admitted {
            Ok(Ok(placement)) => self.publish(&bundle, placement, source).await,
            Ok(Err(refusal)) if refusal.is_stale() && source == Source::Peer => {}
            Ok(Err(refusal)) => self.refuse(refusal.reason(), &refusal.to_string(), source),
            Err(error) => self.refuse("panic", &error.to_string(), source),
        }
    }

    async fn publish(&mut self, bundle: &Arc<Bundle>, placement: Placement, source: Source) {
        let version = placement.version();
        self.had_taker |= placement.table().takers().next().is_some();
        apply::table(&self.plane, bundle, placement);
        let Some(fleet) = self.plane.snapshot.load().fleet.clone() else { return };
        tracing::info!(%version, ?source, "routing table applied");
        self.applied = Some(Applied { bundle: Arc::clone(bundle), fleet });
        let now = Instant::now();
        self.status.note(|routing| {
            routing.source = Some(source);
            routing.applied_at = Some(now);
            routing.refused = None;
            if source == Source::Store {
                routing.confirmed_at = Some(now);
            }
        });
        if source != Source::Disk {
            self.write_snapshot(Arc::clone(bundle)).await;
        }
        self.ack().await;
    }

    async fn write_snapshot(&self, bundle: Arc<Bundle>) {
        let Some(path) = self.routing.snapshot.clone() else { return };
        let written = tasks::spawn_blocking(move || snapshot::write(&path, &bundle)).await;
        let error = match written {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(error) = &error {
            tracing::warn!(
                error,
                "the routing snapshot cannot be written; a restart without the store will need a peer"
            );
        }
        self.status.note(|routing| routing.snapshot_error = error);
    }

    fn refuse(&self, reason: &'static str, detail: &str, source: Source) {
        self.plane.metrics.table_refused(reason);
        self.status.note(|routing| {
            let count = match &routing.refused {
                Some(refused) if refused.reason == reason && refused.source == source => refused.count + 1,
                _ => {
                    tracing::warn!(reason, detail, ?source, "routing table refused; the applied one stays");
                    1
                }
            };
            routing.refused = Some(Refused { reason, detail: detail.to_owned(), source, count });
        });
    }

    /// Tells the store what this proxy has applied and how busy it is.
    async fn ack(&mut self) {
        let Some(applied) = &self.applied else { return };
        let (since, before) = self.answered;
        let (now, answered) = (Instant::now(), self.plane.answered());
        let seconds = now.duration_since(since).as_secs_f64().max(0.001);
        let ack = Ack {
            proxy: self.proxy.clone(),
            stamp: self.settings.stamp.id.clone(),
            build: env!("CARGO_PKG_VERSION").to_owned(),
            format: FORMAT,
            applied: applied.fleet.placement.version(),
            digest: applied.fleet.placement.digest().to_string(),
            connections: self.plane.connections() as u64,
            in_flight: self.plane.in_flight() as u64,
            requests_per_second: answered.saturating_sub(before) as f64 / seconds,
            admin: self.here.admin.to_string(),
            peer: self.here.peer.as_ref().map(SocketAddr::to_string),
            at: 0,
        };
        self.answered = (now, answered);
        if let Err(error) = self.store.ack(&ack).await {
            tracing::debug!(%error, "the ack did not reach the store");
        }
    }

    fn version(&self) -> Version {
        self.applied.as_ref().map(|applied| applied.fleet.placement.version()).unwrap_or_default()
    }

    fn set_clock(&mut self, glance: &Glance) {
        let host = self.plane.clock.host(Instant::now());
        if let Some(store) = glance.now {
            self.clock.observe(host, store);
        }
        self.plane.clock.set_offset(self.clock.offset_at(host));
    }
}

/// Between two looks at the store that requests have asked for.
const REFRESH_PAUSE: Duration = Duration::from_millis(100);

/// How long a refused head is not asked for again.
const REFUSED_PAUSE: Duration = Duration::from_secs(30);

/// Most peers asked for a table in one round.
const PEERS_ASKED: usize = 8;

/// `interval` ± 20 %, so that a fleet does not ask in step.
pub(super) fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(0.8 + 0.4 * (jitter() % 1_000) as f64 / 1_000.0)
}

/// A number that differs between proxies and moments.
fn jitter() -> usize {
    std::time::UNIX_EPOCH.elapsed().map(|since| since.subsec_nanos() as usize / 64).unwrap_or_default()
}
