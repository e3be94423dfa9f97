//! A TCP proxy that misbehaves on request: the network between two processes on a bad day.
//!
//! Invariant: it may delay, withhold or break off what passes, but what does pass is unchanged and in order, in whatever
//! way the [`Toxics`] come and go. The connection itself is set up without them: the kernel answers the client, and the
//! target is dialled as soon as bytes may flow towards it.

use std::{
    future::poll_fn,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener as StdListener},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    task::{AbortHandle, JoinSet},
    time::sleep,
};

mod connection;
mod lane;
mod pace;
#[cfg(test)]
mod tests;
mod toxics;

pub use toxics::{Slice, Toxics};

use connection::{Connection, Wire};
use toxics::Regime;

/// Connections that the kernel holds until they are accepted.
const BACKLOG: u32 = 4_096;
/// Connections at a time; those above are reset.
const CONNECTIONS_MAX: usize = 16_384;
/// Pause after an accept error such as EMFILE, so that the proxy never spins.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What toxics apply to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From the client to the target.
    Up,
    /// From the target to the client.
    Down,
    /// Each of them, separately.
    #[default]
    Both,
}

/// What became of the clients' connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Taken, to be passed on to the target.
    pub taken: u64,
    /// Reset because there were 16,384 already.
    pub above_cap: u64,
    /// Times that accepting failed; each is followed by a pause of 50 ms.
    pub accept_errors: u64,
    /// Open now.
    pub open: usize,
}

/// A running chaos proxy. Dropping it ends everything that it began: nobody listens any more and the connections
/// are reset.
pub struct Chaos {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

impl Chaos {
    /// Starts a proxy without toxics on a free port of 127.0.0.1 and the runtime of the caller.
    ///
    /// # Errors
    /// No port can be listened on.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let listener = socket.listen(BACKLOG)?.into_std()?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            backlog: Mutex::new(listener.try_clone()?),
            target,
            up: watch::Sender::default(),
            down: watch::Sender::default(),
            cut: watch::Sender::default(),
            taken: AtomicU64::new(0),
            above_cap: AtomicU64::new(0),
            accept_errors: AtomicU64::new(0),
            open: AtomicUsize::new(0),
        });
        let accepting = tokio::spawn(accept(TcpListener::from_std(listener)?, Arc::clone(&shared))).abort_handle();
        Ok(Self { address, shared, accepting })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Replaces the toxics of a direction, at once and for existing connections too. They begin anew: what they count and
    /// the time that they run start now, also where they are the same as before.
    pub fn set(&self, direction: Direction, toxics: Toxics) {
        let regime = Regime::now(toxics);
        if direction != Direction::Down {
            self.shared.up.send_replace(regime.clone());
        }
        if direction != Direction::Up {
            self.shared.down.send_replace(regime);
        }
    }

    /// Takes all toxics away; what they hold back passes.
    pub fn clear(&self) {
        self.set(Direction::Both, Toxics::default());
    }

    /// Resets every connection that is open now, those included that have still to be accepted; new ones are accepted.
    pub fn cut(&self) {
        let backlog = lock(&self.shared.backlog);
        while let Ok((client, _)) = backlog.accept() {
            reset(&SockRef::from(&client));
        }
        self.shared.cut.send_replace(());
    }

    /// What became of the connections so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Shared { taken, above_cap, accept_errors, open, .. } = &*self.shared;
        Counts {
            taken: read(taken),
            above_cap: read(above_cap),
            accept_errors: read(accept_errors),
            open: open.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Chaos {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// What the handle and its tasks look at.
struct Shared {
    /// The listener a second time. Who accepts holds it, so that for a cut a connection is either in the kernel or known.
    backlog: Mutex<StdListener>,
    target: SocketAddr,
    up: watch::Sender<Regime>,
    down: watch::Sender<Regime>,
    cut: watch::Sender<()>,
    taken: AtomicU64,
    above_cap: AtomicU64,
    accept_errors: AtomicU64,
    open: AtomicUsize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets a socket say RST when it is closed.
fn reset(socket: &SockRef<'_>) {
    let _ = socket.set_linger(Some(Duration::ZERO));
}

/// Counts as open while it lives, also when its task is aborted.
struct Open(Arc<Shared>);

impl Open {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(shared))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Owns the connections: they end with it.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    let mut number = 0;
    loop {
        let (client, cut) = tokio::select! {
            Some(_) = connections.join_next() => continue,
            accepted = next(&listener, &shared) => match accepted {
                Ok(accepted) => accepted,
                Err(_) => {
                    shared.accept_errors.fetch_add(1, Ordering::Relaxed);
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        if connections.len() >= CONNECTIONS_MAX {
            shared.above_cap.fetch_add(1, Ordering::Relaxed);
            reset(&SockRef::from(&client));
            continue;
        }
        number += 1;
        shared.taken.fetch_add(1, Ordering::Relaxed);
        let wire = Wire { up: shared.up.subscribe(), down: shared.down.subscribe(), cut };
        let connection = Connection::new(client, shared.target, wire, number);
        let open = Open::new(&shared);
        connections.spawn(async move {
            connection.run().await;
            drop(open);
        });
    }
}

/// The next connection, together with word of any cut that is made after it came.
async fn next(listener: &TcpListener, shared: &Shared) -> io::Result<(TcpStream, watch::Receiver<()>)> {
    poll_fn(|context| {
        let _nobody_cuts = lock(&shared.backlog);
        listener.poll_accept(context).map_ok(|(client, _)| (client, shared.cut.subscribe()))
    })
    .await
}
