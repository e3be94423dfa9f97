//! One thread accepts for all workers and deals each connection to the worker with the least to do.
//!
//! Few, long-lived connections arrive; letting the kernel hash them over workers leaves one core hot.

use std::{
    io,
    net::TcpListener as StdListener,
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
    time::Duration,
};

use synaxis_config::settings::Listener;
use tokio::{
    net::TcpListener,
    runtime::{Builder, LocalOptions},
    sync::mpsc::UnboundedSender,
};

use super::worker::Handover;
use crate::{dataplane::DataPlane, shutdown::Phase, tasks};

/// Pause after an accept error such as EMFILE, so that the acceptor never spins.
const PAUSE: Duration = Duration::from_millis(50);

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
    connections_max: usize,
) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("acceptor".into()).spawn(move || {
        let runtime = match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "the acceptor cannot start its runtime"),
        };
        let dealer = Arc::new(Dealer { plane, workers, connections_max });
        runtime.block_on(async move {
            let tasks: Vec<_> = listeners
                .into_iter()
                .map(|(listener, settings)| tasks::spawn_local(accept(Arc::clone(&dealer), listener, settings)))
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
    connections_max: usize,
}

async fn accept(dealer: Arc<Dealer>, listener: StdListener, settings: Listener) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, address = %settings.address, "a listener cannot be used"),
    };
    let draining = dealer.plane.shutdown.reached(Phase::Draining);
    tokio::pin!(draining);
    loop {
        tokio::select! {
            // first what the kernel has already accepted for us, even when it is time to go
            biased;
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => dealer.deal(stream, peer, &settings),
                Err(error) => {
                    dealer.plane.metrics.accept_errors.increment(1);
                    tracing::warn!(%error, address = %settings.address, "accept failed; pausing");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            () = &mut draining => return,
        }
    }
}

impl Dealer {
    fn deal(&self, stream: tokio::net::TcpStream, peer: std::net::SocketAddr, listener: &Listener) {
        let metrics = &self.plane.metrics;
        metrics.accepted.increment(1);
        if self.plane.connections() >= self.connections_max {
            metrics.connections_refused.increment(1);
            return;
        }
        let _ = stream.set_nodelay(true);
        let stream = match stream.into_std() {
            Ok(stream) => stream,
            Err(error) => return tracing::warn!(%error, "a connection could not be handed over"),
        };
        let busy = |index: usize| {
            let load = &self.plane.workers[index];
            (load.in_flight.load(Ordering::Relaxed), load.connections.load(Ordering::Relaxed))
        };
        let mut handover = Handover { stream, peer, listener: listener.clone() };
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
