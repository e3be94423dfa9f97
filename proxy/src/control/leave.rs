//! Walks the phases of the way out once the first one is reached: lame duck for its time, drain until nothing is left or its
//! time is over, cut.
//!
//! Invariant: the drain's time is counted from the end of the lame duck, and every time is the one that was set when the
//! process was told to leave.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use synaxis_config::settings;

use crate::{
    dataplane::{DataPlane, ENDED},
    shutdown::{Drain, Phase},
};

/// How often it looks: at who is to be told next, and whether anything is left.
const STEP: Duration = Duration::from_millis(20);

/// Longest that a worker takes to notice the cut.
const GONE_MAX: Duration = Duration::from_secs(1);

/// Waits until the process is told to leave, and leads it out. Returns at the cut.
pub(super) async fn leave(plane: &DataPlane) {
    plane.shutdown.reached(Phase::LameDuck).await;
    let times = plane.snapshot.load().settings.shutdown.clone();
    tokio::select! {
        () = until_ended(plane, &times) => {
            plane.shutdown.advance(Phase::Cut);
        }
        () = plane.shutdown.reached(Phase::Cut) => {}
    }
}

/// Waits, after the cut, until the workers have ended with all that they were doing; not for one that hangs.
pub(super) async fn workers_gone(plane: &DataPlane) {
    let gone = async {
        while plane.workers.iter().any(|load| !load.gone.load(Ordering::Acquire)) {
            tokio::time::sleep(STEP).await;
        }
    };
    let _ = tokio::time::timeout(GONE_MAX, gone).await;
}

async fn until_ended(plane: &DataPlane, times: &settings::Shutdown) {
    lame_duck(plane, times.lame_duck).await;
    plane.shutdown.drain(Drain::new(Instant::now(), times.drain, times.tunnels));
    let (connections, requests) = (plane.connections(), plane.in_flight());
    tracing::info!(connections, requests, "draining: no new connections");
    if tokio::time::timeout(times.drain, nothing_left(plane)).await.is_err() {
        tracing::warn!(drain = ?times.drain, "drain time is over; cutting what is left");
    }
}

/// One connection after the other is told to close, so that they do not all come back elsewhere at once.
async fn lame_duck(plane: &DataPlane, lasts: Duration) {
    let began = Instant::now();
    loop {
        let passed = began.elapsed();
        if passed >= lasts {
            return;
        }
        plane.shutdown.tell(passed.as_secs_f64() / lasts.as_secs_f64());
        tokio::time::sleep(STEP.min(lasts - passed)).await;
    }
}

/// A worker ends with its last connection, and not before the acceptor has dealt what it had.
async fn nothing_left(plane: &DataPlane) {
    while plane.workers.iter().any(|load| load.ticks.load(Ordering::Relaxed) != ENDED) {
        tokio::time::sleep(STEP).await;
    }
}
