//! One worker: a thread with its own single-threaded runtime, its connections and its sweeper.

use std::{
    cell::RefCell,
    io,
    net::{SocketAddr, TcpStream as StdStream},
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use slab::Slab;
use synaxis_config::settings::Listener;
use tokio::{
    net::TcpStream,
    runtime::{Builder, LocalOptions},
    sync::mpsc::UnboundedReceiver,
    task::AbortHandle,
};

use super::{connection, phase::Phase, seats::Seat};
use crate::{
    dataplane::{DataPlane, ENDED, Load, worker::Worker},
    pipeline::{Service, local_reply::Counters},
    shutdown::{Phase as Stopping, Place},
    tasks,
    telemetry::{
        access_log::AccessLog,
        labels::{Cut, Expired},
        metrics::Metrics,
        record::Sink,
    },
};

/// How often deadlines and phases are looked at: the resolution of every time limit.
pub const TICK: Duration = Duration::from_millis(20);

/// A connection on its way from the acceptor to its worker. The acceptor has already counted it.
pub struct Handover {
    /// The socket.
    pub stream: StdStream,
    /// The client.
    pub peer: SocketAddr,
    /// The listener that accepted it.
    pub listener: Listener,
    /// Whether it is beyond the cap of its kind of listener: it gets one answer.
    pub in_reserve: bool,
    /// When it is told to close while the process leaves.
    pub place: Place,
    /// Its seat among the connections of its address, and its share in those of other stamps, if it is counted there.
    pub counted: Counted,
}

/// What a connection holds for as long as it is open.
pub type Counted = (Option<Seat>, Option<Arc<()>>);

/// What a worker cut when the process ended, by [`Cut`].
pub type Cuts = [usize; Cut::LABELS.len()];

/// Starts worker `index`. It ends when the process is cut, or drains and it has nothing left.
///
/// # Errors
/// When the thread or its runtime cannot be made.
pub fn start(
    index: usize,
    plane: Arc<DataPlane>,
    access_log: Option<AccessLog>,
    handovers: UnboundedReceiver<Handover>,
) -> io::Result<JoinHandle<Cuts>> {
    // made here so that a failure is the caller's to report
    thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
        let _gone = Gone(plane.workers[index].clone());
        match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
            Ok(runtime) => runtime.block_on(run(index, plane, access_log, handovers)),
            Err(error) => {
                tracing::error!(index, %error, "a worker cannot start its runtime");
                Cuts::default()
            }
        }
    })
}

/// Says that the worker has ended, however it ends: nobody waits for one that panicked.
struct Gone(Load);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.ticks.store(ENDED, Ordering::Relaxed);
        self.0.gone.store(true, Ordering::Release);
    }
}

struct Tracked {
    phase: Option<Rc<Phase>>,
    task: Option<AbortHandle>,
}

type Connections = Rc<RefCell<Slab<Tracked>>>;

async fn run(
    index: usize,
    plane: Arc<DataPlane>,
    access_log: Option<AccessLog>,
    mut handovers: UnboundedReceiver<Handover>,
) -> Cuts {
    let load = plane.workers[index].clone();
    let sink = Sink {
        metrics: Arc::clone(&plane.metrics),
        access_log,
        in_flight: Arc::clone(&load.in_flight),
        answered: Arc::clone(&load.answered),
    };
    let replies = Counters::new(&plane.metrics);
    let worker = Worker::new(Arc::clone(&plane), Rc::new(sink), index as u64 + 0x9E37_79B9);
    let service = Rc::new(Service { worker, replies });
    let connections: Connections = Rc::default();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut open = true;
    loop {
        tokio::select! {
            handover = handovers.recv(), if open => match handover {
                Some(handover) => accept(&service, &connections, &load, handover),
                None => open = false,
            },
            _ = tick.tick() => {
                load.ticks.fetch_add(1, Ordering::Relaxed);
                service.worker.tick(Instant::now());
                sweep(&plane, &service, &connections);
            }
        }
        let ended = !open && connections.borrow().is_empty() && !service.worker.is_fetching();
        let phase = plane.shutdown.phase();
        if phase == Stopping::Cut || (ended && phase == Stopping::Draining) {
            let cuts = cut(&connections, &mut handovers);
            plane.metrics.cut(&cuts);
            load.ticks.store(ENDED, Ordering::Relaxed);
            return cuts;
        }
    }
}

/// What is left, which ends with the worker's runtime.
fn cut(connections: &Connections, handovers: &mut UnboundedReceiver<Handover>) -> Cuts {
    let mut cuts = Cuts::default();
    // without a task: it was ended before, and counted
    for (_, tracked) in connections.borrow().iter().filter(|(_, tracked)| tracked.task.is_some()) {
        let left = tracked.phase.as_ref().map_or(Cut::IdleConnection, |phase| phase.left(Instant::now()));
        cuts[left as usize] += 1;
    }
    while handovers.try_recv().is_ok() {
        cuts[Cut::IdleConnection as usize] += 1;
    }
    cuts
}

fn accept(service: &Rc<Service>, connections: &Connections, load: &Load, handover: Handover) {
    let Handover { stream, peer, listener, in_reserve, place, counted } = handover;
    let key = connections.borrow_mut().insert(Tracked { phase: None, task: None });
    let (service, registry, counter) = (Rc::clone(service), Rc::clone(connections), Arc::clone(&load.connections));
    let metrics = Arc::clone(&service.worker.sink.metrics);
    let ended = Ended { registry: Rc::clone(connections), counter, metrics, key, _counted: counted };
    let task = tasks::spawn_local(async move {
        let _ended = ended;
        let stream = match TcpStream::from_std(stream) {
            Ok(stream) => stream,
            Err(error) => return tracing::warn!(%error, "a connection could not be taken over"),
        };
        let register = |phase| {
            if let Some(tracked) = registry.borrow_mut().get_mut(key) {
                tracked.phase = Some(phase);
            }
        };
        connection::serve(service, listener, in_reserve, place, stream, peer, register).await;
    });
    if let Some(tracked) = connections.borrow_mut().get_mut(key) {
        tracked.task = Some(task.abort_handle());
    }
}

/// Runs when a connection's task ends, however it ends: returned, aborted or panicked.
struct Ended {
    registry: Connections,
    counter: Arc<std::sync::atomic::AtomicUsize>,
    metrics: Arc<Metrics>,
    key: usize,
    _counted: Counted,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.registry.borrow_mut().try_remove(self.key);
        self.counter.fetch_sub(1, Ordering::Relaxed);
        if thread::panicking() {
            self.metrics.panics.increment(1);
        }
    }
}

/// Ends connections that have outstayed their phase; in the drain also those that have been idle for longer than clients
/// keep them. Until then an idle connection may carry another request, and cannot be told that it must not.
fn sweep(plane: &DataPlane, service: &Service, connections: &Connections) {
    let now = Instant::now();
    let snapshot = service.worker.snapshot();
    let settings = &snapshot.settings;
    let draining = plane.shutdown.phase() >= Stopping::Draining;
    let overdue = |phase: &Phase| {
        let leaves = || phase.idle(now).is_some_and(|idle| idle >= settings.shutdown.client_keepalive);
        phase.overdue(now, settings).or_else(|| (draining && leaves()).then_some(Expired::Drain))
    };
    let ending: Vec<Ending> = connections
        .borrow_mut()
        .iter_mut()
        .filter_map(|(_, tracked)| {
            // no task: it was ended by an earlier sweep, and has not come to that yet
            let (phase, _) = (tracked.phase.as_ref()?, tracked.task.as_ref()?);
            let why = overdue(phase)?;
            plane.metrics.expired(why);
            tracing::debug!(reason = why.label(), "connection expired");
            if phase.can_be_told(why) {
                return Some(Ending::Tell(Rc::clone(phase)));
            }
            tracked.task.take().map(Ending::Abort)
        })
        .collect();
    // outside the borrow: ending a task removes it from the registry
    for ending in ending {
        match ending {
            Ending::Tell(phase) => phase.give_up(),
            Ending::Abort(task) => task.abort(),
        }
    }
}

/// How a connection that is overdue ends.
enum Ending {
    /// Its upload fails where it is read; the answer says so and closes.
    Tell(Rc<Phase>),
    /// At once.
    Abort(AbortHandle),
}
