//! Builds every part in order, hands out [`Running`], and stops the parts in order.
//!
//! Nothing here is process-global: [`run`] may be called many times in one process, each server with its own metrics,
//! threads and table.

use std::{
    hash::{BuildHasher, RandomState},
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use socket2::{Domain, Protocol, Socket, Type};
use synaxis_config::settings::{Listener, ListenerKind, Settings};
use tokio::sync::mpsc::unbounded_channel;

use crate::{
    admin::{self, LogFilter},
    cache::Cache,
    control::{self, config_file::ConfigFile, status::Status},
    dataplane::{
        self, Clock, DataPlane, Load,
        capacity::Capacity,
        limits::{
            Buckets,
            fleet::{FleetBuckets, StoreError},
        },
    },
    downstream::{
        acceptor,
        worker::{self, Cuts},
    },
    shutdown::{Phase, Shutdown},
    telemetry::{access_log::AccessLog, metrics::Metrics},
    upstream::target::Targets,
};

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener's address cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The metrics recorder refused its settings.
    #[error("the metrics recorder cannot be built: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    /// The access log's output cannot be opened.
    #[error("the access log cannot be opened: {0}")]
    AccessLog(io::Error),
    /// The routing table cannot be prepared.
    #[error(transparent)]
    Control(#[from] control::StartError),
    /// There is no way to the store in which the fleet counts requests.
    #[error(transparent)]
    Limits(#[from] StoreError),
    /// There is no way to the store of purges.
    #[error("[cache.store]: {0}")]
    Cache(#[from] synaxis_routing::purge::StoreError),
    /// A thread cannot be started.
    #[error("a thread cannot be started: {0}")]
    Thread(io::Error),
}

impl StartError {
    /// Whether the address is taken by another process.
    #[must_use]
    pub fn address_in_use(&self) -> bool {
        matches!(self, Self::Bind { source, .. } if source.kind() == io::ErrorKind::AddrInUse)
    }
}

/// A running server.
pub struct Running {
    /// Bound addresses of the edge listeners.
    pub edges: Vec<SocketAddr>,
    /// Bound addresses of the peer listeners.
    pub peers: Vec<SocketAddr>,
    /// Bound address of the admin listener.
    pub admin: SocketAddr,
    plane: Arc<DataPlane>,
    status: Arc<Status>,
    threads: Threads,
}

struct Threads {
    workers: Vec<JoinHandle<Cuts>>,
    others: Vec<JoinHandle<()>>,
}

/// How often a thread that is waited for is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Starts a server whose settings never change, and returns once it listens.
///
/// # Errors
/// [`StartError`]; nothing is left running then.
pub fn run(settings: Settings) -> Result<Running, StartError> {
    start(settings, None, None)
}

/// Starts a server that takes on what changes in the file that its settings came from and whose `/loglevel` changes the
/// filter of this process's events if there is one, and returns once it listens.
///
/// # Errors
/// [`StartError`]; nothing is left running then.
pub fn run_from(file: ConfigFile, settings: Settings, logs: Option<Arc<dyn LogFilter>>) -> Result<Running, StartError> {
    start(settings, Some(file), logs)
}

fn start(
    mut settings: Settings,
    file: Option<ConfigFile>,
    logs: Option<Arc<dyn LogFilter>>,
) -> Result<Running, StartError> {
    let bound: Vec<(TcpListener, Listener)> = settings
        .listeners
        .iter()
        .map(|listener| {
            let socket = listen(listener.address)?;
            let address =
                socket.local_addr().map_err(|source| StartError::Bind { address: listener.address, source })?;
            Ok((socket, Listener { address, ..listener.clone() }))
        })
        .collect::<Result<_, StartError>>()?;
    let admin_socket = listen(settings.admin.address)?;
    let admin =
        admin_socket.local_addr().map_err(|source| StartError::Bind { address: settings.admin.address, source })?;

    // from here on they say where it really listens
    settings.listeners = bound.iter().map(|(_, listener)| listener.clone()).collect();
    settings.admin.address = admin;
    let of_kind =
        |kind| bound.iter().filter(move |(_, listener)| listener.kind == kind).map(|(_, listener)| listener.address);
    let (edges, peers): (Vec<_>, Vec<_>) =
        (of_kind(ListenerKind::Edge).collect(), of_kind(ListenerKind::Peer).collect());
    let own = edges.iter().chain(&peers).copied().chain([admin]).collect();
    let endpoints = settings.routing.as_ref().map(|routing| routing.endpoints.clone()).unwrap_or_default();

    let metrics = Arc::new(Metrics::new()?);
    let (access_log, log_writer) =
        AccessLog::open(&settings.access_log, metrics.log_dropped.clone()).map_err(StartError::AccessLog)?.unzip();
    let targets = Targets::default();
    let settings = Arc::new(settings);
    let capacity = Capacity::of_this_process();
    warn_of_descriptors(&capacity, &settings);
    let chance = RandomState::new();
    let clock = Clock::default();
    let fleet = FleetBuckets::open(&settings, Arc::new(clock.reader()))?;
    let buckets = Buckets::new(secret(&chance), &settings, fleet);
    let cache = Cache::open(&settings.cache, chance.hash_one(9), Instant::now())?;
    let means = control::apply::Means { targets: &targets, metrics: &metrics, buckets: &buckets, now: 0 };
    let first = control::apply::first(Arc::clone(&settings), &means);
    let plane = Arc::new(DataPlane {
        snapshot: Arc::new(ArcSwap::from_pointee(first)),
        metrics,
        shutdown: Shutdown::default(),
        targets,
        policy: endpoints.policy(own, peers.clone()),
        clock,
        secret: chance.hash_one(0),
        buckets,
        cache,
        traffic: dataplane::traffic::Traffic::default(),
        capacity,
        workers: (0..settings.server.workers.max(1)).map(|_| Load::default()).collect(),
        degradation: dataplane::degradation::Published::default(),
        refresh: tokio::sync::Notify::new(),
        reload: tokio::sync::Notify::new(),
        published: tokio::sync::watch::Sender::new(()),
    });
    plane.metrics.configured();
    let status = Arc::new(Status::default());
    let here = control::Here { admin, peer: peers.first().copied() };
    let control = control::prepare(Arc::clone(&plane), Arc::clone(&status), here, file)?;

    // unique in the stamp, also after a restart at the same address
    let name = format!("{}#{admin}#{:016x}", plane.snapshot.load().settings.stamp.id, chance.hash_one(10));
    let view = admin::View { plane: Arc::clone(&plane), status: Arc::clone(&status), started: Instant::now(), logs };
    let start = || -> io::Result<Threads> {
        let (mut workers, mut others, mut senders) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..plane.workers.len() {
            let (sender, receiver) = unbounded_channel();
            workers.push(worker::start(index, Arc::clone(&plane), access_log.clone(), receiver)?);
            senders.push(sender);
        }
        others.push(control.start()?);
        if let Some(fleet) = &plane.buckets.fleet {
            others.push(control::limits_store::start(Arc::clone(&fleet.store), plane.shutdown.clone())?);
        }
        if let Some(store) = &plane.cache.purge_store {
            others.push(control::cache_store::start(&plane, store, name)?);
        }
        others.push(admin::start(admin_socket, view)?);
        others.push(acceptor::start(Arc::clone(&plane), bound, senders)?);
        // last: it ends when nobody is left who could write
        others.extend(log_writer);
        Ok(Threads { workers, others })
    };
    let threads = start().map_err(|error| {
        plane.shutdown.advance(Phase::Cut);
        StartError::Thread(error)
    })?;
    Ok(Running { edges, peers, admin, plane, status, threads })
}

impl Running {
    /// Has the configuration loaded again now. Requests that come while one is being served are served together by the
    /// next; without a file nothing happens. Returns at once.
    pub fn reload(&self) {
        self.plane.reload.notify_one();
    }

    /// Begins to stop: lame duck, drain, cut, by the settings' times. Returns at once.
    pub fn stop(&self) {
        self.plane.shutdown.advance(Phase::LameDuck);
    }

    /// Ends everything now.
    pub fn cut(&self) {
        self.plane.shutdown.advance(Phase::Cut);
    }

    /// Blocks until every thread has ended, but no longer than `shutdown.flush` after the cut: an output that takes no log
    /// lines must not keep the process. Says what was cut off.
    pub fn wait(self) {
        let flush = self.plane.snapshot.load().settings.shutdown.flush;
        let mut patience = Patience { shutdown: self.plane.shutdown.clone(), flush, until: None };
        let cuts = self.threads.workers.into_iter().filter_map(|worker| patience.join(worker));
        let sum = |sum: Cuts, more: Cuts| std::array::from_fn(|kind| sum[kind] + more[kind]);
        let [requests, tunnels, idle_connections] = cuts.fold(Cuts::default(), sum);
        if requests + tunnels + idle_connections > 0 {
            tracing::warn!(requests, tunnels, idle_connections, "cut off");
        }
        for thread in self.threads.others {
            let _ = patience.join(thread);
        }
    }

    /// What the server's threads share.
    #[must_use]
    pub fn plane(&self) -> &Arc<DataPlane> {
        &self.plane
    }

    /// How the inputs stand.
    #[must_use]
    pub fn status(&self) -> &Arc<Status> {
        &self.status
    }
}

/// Waits for threads: without end before the cut, then for `flush` all together.
struct Patience {
    shutdown: Shutdown,
    flush: Duration,
    until: Option<Instant>,
}

impl Patience {
    /// What the thread returned. `None` when it has panicked, and has said so on its own, or is no longer waited for.
    fn join<T>(&mut self, thread: JoinHandle<T>) -> Option<T> {
        while !thread.is_finished() {
            if self.until.is_none() && self.shutdown.phase() == Phase::Cut {
                self.until = Some(Instant::now() + self.flush);
            }
            if self.until.is_some_and(|until| Instant::now() >= until) {
                let name = thread.thread().name().unwrap_or_default();
                tracing::warn!(name, flush = ?self.flush, "a thread has not ended in time; what it holds is lost");
                return None;
            }
            thread::sleep(LOOK);
        }
        thread.join().ok()
    }
}

/// Says when the process may not open enough descriptors for the connections it is told to take.
fn warn_of_descriptors(capacity: &Capacity, settings: &Settings) {
    let (room, server) = (capacity.room(settings), &settings.server);
    if room.edge < server.connections_max {
        tracing::warn!(
            descriptors = capacity.descriptors(),
            connections_max = room.edge,
            peer_connections_max = room.peers,
            connections_reserve = room.reserve,
            wanted = server.connections_max,
            "fewer connections than server.connections_max: each takes two descriptors; raise the limit (ulimit -n)"
        );
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    let bind = || -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(acceptor::BACKLOG)?;
        Ok(socket.into())
    };
    bind().map_err(|source| StartError::Bind { address, source })
}

/// 32 bytes that nobody outside this process can guess.
fn secret(chance: &RandomState) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (at, word) in bytes.chunks_exact_mut(8).enumerate() {
        word.copy_from_slice(&chance.hash_one(1 + at).to_le_bytes());
    }
    bytes
}
