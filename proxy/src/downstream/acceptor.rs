//! One thread accepts for all workers and deals each connection to the worker with the least to do.
//!
//! Few, long-lived connections arrive; letting the kernel hash them over workers leaves one core hot.

use std::{
    cell::Cell,
    io,
    net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream},
    rc::Rc,
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
use crate::{
    dataplane::DataPlane,
    shutdown::{Phase, Place},
    tasks,
    telemetry::labels::Refused,
};

/// Connections the kernel holds for a listener before they are accepted.
pub const BACKLOG: i32 = 4_096;

/// A bound listener with its settings.
pub type Bound = (StdListener, Listener);

/// Starts the acceptor; it ends, and with it the workers' supply, when draining begins and what had come until then is
/// dealt.
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
        let dealer =
            Rc::new(Dealer { plane, workers, seats: Arc::default(), peers: Arc::default(), dealt: Cell::default() });
        runtime.block_on(async move {
            let tasks: Vec<_> = listeners
                .into_iter()
                .enumerate()
                .map(|(index, (listener, bound))| {
                    tasks::spawn_local(accept(Rc::clone(&dealer), listener, index, bound.address))
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
    /// Connections so far.
    dealt: Cell<u32>,
}

async fn accept(dealer: Rc<Dealer>, listener: StdListener, index: usize, address: SocketAddr) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, %address, "a listener cannot be used"),
    };
    let draining = dealer.plane.shutdown.reached(Phase::Draining);
    tokio::pin!(draining);
    let mut backoff = Backoff::default();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    backoff.reset();
                    match stream.into_std() {
                        Ok(stream) => dealer.deal(stream, peer, index),
                        Err(error) => tracing::warn!(%error, "a connection could not be handed over"),
                    }
                }
                Err(error) => {
                    let Some(pause) = backoff.pause(&error) else { continue };
                    dealer.plane.metrics.accept_errors.increment(1);
                    tracing::warn!(%error, ?pause, %address, "accept failed; pausing");
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = &mut draining => break,
                    }
                }
            },
            () = &mut draining => break,
        }
    }
    match listener.into_std() {
        Ok(listener) => dealer.finish(&listener, index, backoff, address).await,
        Err(error) => tracing::error!(%error, %address, "a listener was closed with what it held"),
    }
}

impl Dealer {
    /// Takes what the kernel has accepted for us, at most as many as it can hold: their clients wait for an answer, and a
    /// listener that closes resets them.
    async fn finish(&self, listener: &StdListener, index: usize, mut backoff: Backoff, address: SocketAddr) {
        for _ in 0..=BACKLOG {
            if self.plane.shutdown.phase() == Phase::Cut {
                return;
            }
            match listener.accept() {
                Ok((stream, peer)) if stream.set_nonblocking(true).is_ok() => self.deal(stream, peer, index),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    let Some(pause) = backoff.pause(&error) else { continue };
                    tracing::warn!(%error, ?pause, %address, "the last connections cannot be accepted; pausing");
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    fn deal(&self, stream: StdStream, peer: SocketAddr, index: usize) {
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
        let busy = |index: usize| {
            let load = &self.plane.workers[index];
            (load.in_flight.load(Ordering::Relaxed), load.connections.load(Ordering::Relaxed))
        };
        let of_peer = (listener.kind == ListenerKind::Peer).then(|| Arc::clone(&self.peers));
        let (place, in_reserve) = (Place::of(self.dealt.replace(self.dealt.get().wrapping_add(1))), open >= max);
        let (listener, counted) = (listener.clone(), (seat, of_peer));
        let mut handover = Handover { stream, peer, listener, in_reserve, place, counted };
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
