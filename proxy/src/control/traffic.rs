//! Once a minute: who made the most requests.

use std::{
    convert::Infallible,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::probe::chance;
use crate::dataplane::{DataPlane, ENDED};

/// How long a minute is.
const MINUTE: Duration = Duration::from_secs(60);
/// How long a worker is waited for that does not tick. What it has counted is in the next minute then.
const HANDING_OVER_MAX: Duration = Duration::from_secs(1);
/// How often is looked whether all have handed over.
const LOOK: Duration = Duration::from_millis(20);

/// Ends one minute after the other. Never returns.
pub(super) async fn follow(plane: Arc<DataPlane>) -> Infallible {
    let mut began = Instant::now();
    // the first one is longer, so that the processes of a fleet do not end theirs together
    let mut pause = MINUTE.mul_f64(1.0 + chance());
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = plane.traffic.close.notified() => {}
        }
        pause = MINUTE;
        let ended = Instant::now();
        plane.traffic.ask();
        handed_over(&plane).await;
        plane.traffic.close(ended.duration_since(began));
        began = ended;
    }
}

async fn handed_over(plane: &DataPlane) {
    let asked = Instant::now();
    let alive = || plane.workers.iter().filter(|load| load.ticks.load(Ordering::Relaxed) != ENDED).count();
    while plane.traffic.answers() < alive() && asked.elapsed() < HANDING_OVER_MAX {
        tokio::time::sleep(LOOK).await;
    }
}
