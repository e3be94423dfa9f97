//! A layer-4 balancer as clouds have them: it asks every backend for `/readyz` and sends new connections to ready ones.
//!
//! Invariants: a connection is given to one backend once, and no probe ever touches it again; what a backend refuses or
//! breaks off reaches the client as it is. A balancer that tried a second backend would hide the very losses that tests of
//! zero-loss shutdown look for, and no balancer that only rewrites packets can.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    runtime::Handle,
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};

mod probe;
mod relay;
#[cfg(test)]
mod tests;

use probe::Probe;

/// Connections that the kernel holds until they are accepted.
const BACKLOG: u32 = 4_096;
/// Pause after an accept error such as EMFILE, so that the balancer never spins.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Longest wait for a backend's kernel to take a connection; longer than clients wait, so that they give up first.
const DIAL_MAX: Duration = Duration::from_secs(10);

/// A process that takes connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Where its traffic goes.
    pub traffic: SocketAddr,
    /// The listener that answers `GET /readyz` over HTTP/1.1.
    pub readyz: SocketAddr,
}

/// How a balancer works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where it listens.
    pub address: SocketAddr,
    /// From the begin of a probe to the begin of the next one.
    pub interval: Duration,
    /// After so long a probe has failed.
    pub timeout: Duration,
    /// Connections at a time; those above are closed at once.
    pub connections_max: usize,
}

impl Default for Settings {
    /// A free port of 127.0.0.1, a probe every 50 ms, each with 1 s, 16,384 connections.
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            interval: Duration::from_millis(50),
            timeout: Duration::from_secs(1),
            connections_max: 16_384,
        }
    }
}

/// What became of the clients' connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Passed on to a backend.
    pub passed: u64,
    /// Closed because no backend was ready.
    pub nobody_ready: u64,
    /// Reset because the chosen backend did not take them.
    pub not_taken: u64,
    /// Closed because there were `connections_max` already.
    pub above_cap: u64,
    /// Times that accepting failed; each is followed by a pause of 50 ms.
    pub accept_errors: u64,
    /// Open now, those included that a backend has still to take.
    pub open: usize,
}

/// A running balancer. Dropping it ends everything that it began: the listener, the probes and the connections.
pub struct Balancer {
    address: SocketAddr,
    settings: Settings,
    runtime: Handle,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

impl Balancer {
    /// Starts a balancer without backends on the runtime of the caller.
    ///
    /// # Errors
    /// The address cannot be listened on.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn start(settings: Settings) -> io::Result<Self> {
        let socket = if settings.address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(settings.address)?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        let (runtime, shared) = (Handle::current(), Arc::<Shared>::default());
        let accepting = runtime.spawn(accept(listener, Arc::clone(&shared), settings.connections_max)).abort_handle();
        Ok(Self { address, settings, runtime, shared, accepting })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Replaces the backends. Connections live on, also those to a backend that is not in the list any more; a backend
    /// that was in the list stays as ready as it was; a new one is not ready until a probe said so.
    pub fn set(&self, backends: Vec<Backend>) {
        let mut probes = self.shared.probes();
        let mut known = std::mem::take(&mut *probes);
        *probes = backends
            .into_iter()
            .map(|backend| match known.iter().position(|probe| probe.backend == backend) {
                Some(position) => known.swap_remove(position),
                None => Probe::start(backend, &self.settings, &self.runtime),
            })
            .collect();
    }

    /// How many backends are ready now.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.shared.probes().iter().filter(|probe| probe.is_ready()).count()
    }

    /// What became of the connections so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.tally.counts()
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.accepting.abort();
        self.shared.probes().clear();
    }
}

/// What the handle and the accepting task both look at.
#[derive(Default)]
struct Shared {
    probes: Mutex<Vec<Probe>>,
    tally: Tally,
}

impl Shared {
    fn probes(&self) -> MutexGuard<'_, Vec<Probe>> {
        self.probes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ready backend whose turn it is.
    fn choose(&self, turn: usize) -> Option<SocketAddr> {
        let probes = self.probes();
        let ready: Vec<_> = probes.iter().filter(|probe| probe.is_ready()).map(|probe| probe.backend.traffic).collect();
        (!ready.is_empty()).then(|| ready[turn % ready.len()])
    }
}

/// [`Counts`] while they grow.
#[derive(Default)]
struct Tally {
    passed: AtomicU64,
    nobody_ready: AtomicU64,
    not_taken: AtomicU64,
    above_cap: AtomicU64,
    accept_errors: AtomicU64,
    open: AtomicUsize,
}

impl Tally {
    fn counts(&self) -> Counts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            passed: read(&self.passed),
            nobody_ready: read(&self.nobody_ready),
            not_taken: read(&self.not_taken),
            above_cap: read(&self.above_cap),
            accept_errors: read(&self.accept_errors),
            open: self.open.load(Ordering::Relaxed),
        }
    }
}

fn count(what: &AtomicU64) {
    what.fetch_add(1, Ordering::Relaxed);
}

/// Counts as open while it lives, also when its task is aborted.
struct Open(Arc<Shared>);

impl Open {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.tally.open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(shared))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.tally.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Owns the connections: they end with it.
async fn accept(listener: TcpListener, shared: Arc<Shared>, connections_max: usize) {
    let mut connections = JoinSet::new();
    let mut turn = 0;
    loop {
        let client = tokio::select! {
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => client,
                Err(_) => {
                    count(&shared.tally.accept_errors);
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        // a client that is not taken is closed by being dropped
        if connections.len() >= connections_max {
            count(&shared.tally.above_cap);
        } else if let Some(backend) = shared.choose(turn) {
            turn = turn.wrapping_add(1);
            connections.spawn(carry(client, backend, Open::new(&shared)));
        } else {
            count(&shared.tally.nobody_ready);
        }
    }
}

/// One connection, from the choice of its backend to its end.
async fn carry(client: TcpStream, backend: SocketAddr, open: Open) {
    let tally = &open.0.tally;
    let Ok(Ok(backend)) = timeout(DIAL_MAX, TcpStream::connect(backend)).await else {
        count(&tally.not_taken);
        let _ = client.set_zero_linger();
        return;
    };
    count(&tally.passed);
    relay::relay(client, backend).await;
}
