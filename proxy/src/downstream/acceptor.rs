//! One thread accepts for all workers and deals each connection to the worker with the least to do.
//!
//! Few, long-lived connections arrive; letting the kernel hash them over workers leaves one core hot.

use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener},
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
};

use socket2::SockRef;
use synaxis_config::settings::{Listener, ListenerKind};
use tokio::{
    net::TcpListener,
    runtime::{Builder, LocalOptions},
    sync::mpsc::UnboundedSender,
};

use super::{backoff::Backoff, seats::Seats, worker::Handover};
use crate::{dataplane::DataPlane, shutdown::Phase, tasks, telemetry::labels::Refused};

/// A bound listener with its settings.
pub type Bound = (StdListener, Listener);

/// Starts the acceptor; it ends, and with it the workers' supply, when draining begins.
///
/// # Errors
/// When the thread cannot be made.
pub fn start(
    plane: Arc<DataPlane>,
    listeners: Vec<Bound>,
    workers: Vec<UnboundedSender<Handover>>,
) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("acceptor".into()).spawn(move || {
        let runtime = match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "the acceptor cannot start its runtime"),
        };
        let dealer = Arc::new(Dealer { plane, workers, seats: Arc::default(), peers: Arc::default() });
        runtime.block_on(async move {
            let tasks: Vec<_> = listeners
                .into_iter()
                .enumerate()
                .map(|(index, (listener, bound))| {
                    tasks::spawn_local(accept(Arc::clone(&dealer), listener, index, bound.address))
                })
                .collect();
            for task in tasks {
                let _ = task.await;
            }
        });
    })
}

struct Dealer {
    plane: Arc<DataPlane>,
    workers: Vec<UnboundedSender<Handover>>,
    seats: Arc<Seats>,
    /// Held by each connection of a peer listener, so that who holds it are as many.
    peers: Arc<()>,
}

async fn accept(dealer: Arc<Dealer>, listener: StdListener, index: usize, address: SocketAddr) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, %address, "a listener cannot be used"),
    };
    let draining = dealer.plane.shutdown.reached(Phase::Draining);
    tokio::pin!(draining);
    let mut backoff = Backoff::default();
    loop {
        tokio::select! {
            // first what the kernel has already accepted for us, even when it is time to go
            biased;
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    backoff.reset();
                    dealer.deal(stream, peer, index);
                }
                Err(error) => {
                    let Some(pause) = backoff.pause(&error) else { continue };
                    dealer.plane.metrics.accept_errors.increment(1);
                    tracing::warn!(%error, ?pause, %address, "accept failed; pausing");
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = &mut draining => return,
                    }
                }
            },
            () = &mut draining => return,
        }
    }
}

impl Dealer {
    fn deal(&self, stream: tokio::net::TcpStream, peer: SocketAddr, index: usize) {
        let settings = Arc::clone(&self.plane.snapshot.load().settings);
        // as many as were bound, in their order: a reload keeps that
        let Some(listener) = settings.listeners.get(index) else { return };
        let metrics = &self.plane.metrics;
        metrics.accepted.increment(1);
        let room = self.plane.capacity.room(&settings);
        let of_peers = Arc::strong_count(&self.peers) - 1;
        let (open, max) = match listener.kind {
            ListenerKind::Edge => (self.plane.connections().saturating_sub(of_peers), room.edge),
            ListenerKind::Peer => (of_peers, room.peers),
        };
        if open >= max.saturating_add(room.reserve) {
            return metrics.refused(Refused::Cap);
        }
        // other stamps come from few addresses, each with many clients behind it
        let cap = settings.server.connections_per_address.filter(|_| listener.kind == ListenerKind::Edge);
        let seat = match cap.map(|most| self.seats.take(peer.ip(), most)) {
            Some(None) => return metrics.refused(Refused::Address),
            Some(seat) => seat,
            None => None,
        };
        // a socket that is already gone refuses these, and its worker finds out
        let _ = stream.set_nodelay(true);
        let unsent = u32::try_from(settings.limits.unsent_bytes).unwrap_or(u32::MAX);
        let _ = SockRef::from(&stream).set_tcp_notsent_lowat(unsent);
        let stream = match stream.into_std() {
            Ok(stream) => stream,
            Err(error) => return tracing::warn!(%error, "a connection could not be handed over"),
        };
        let busy = |index: usize| {
            let load = &self.plane.workers[index];
            (load.in_flight.load(Ordering::Relaxed), load.connections.load(Ordering::Relaxed))
        };
        let of_peer = (listener.kind == ListenerKind::Peer).then(|| Arc::clone(&self.peers));
        let places = (seat, of_peer);
        let mut handover = Handover { stream, peer, listener: listener.clone(), in_reserve: open >= max, places };
        let mut order: Vec<usize> = (0..self.workers.len()).collect();
        while let Some(at) = (0..order.len()).min_by_key(|at| busy(order[*at])) {
            let index = order.swap_remove(at);
            self.plane.workers[index].connections.fetch_add(1, Ordering::Relaxed);
            // a worker that is gone takes nothing; another one does
            match self.workers[index].send(handover) {
                Ok(()) => return,
                Err(refused) => handover = refused.0,
            }
            self.plane.workers[index].connections.fetch_sub(1, Ordering::Relaxed);
        }
        tracing::error!("no worker takes connections");
    }
}
