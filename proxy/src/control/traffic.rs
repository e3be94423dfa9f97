//! Once a minute: who made the most requests; and their sums go to the limits store, if there is one.
//!
//! Invariant: nothing waits for the store. A minute that it does not take is dropped and counted.

use std::{
    cell::Cell,
    convert::Infallible,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use synaxis_routing::traffic::{Traffic, TrafficError, hour_of};

use super::probe::chance;
use crate::{
    dataplane::{DataPlane, ENDED},
    tasks,
    telemetry::top::Minute,
};

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
    // that the store does not take them
    let told = Rc::new(Cell::new(false));
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = plane.traffic.close.notified() => {}
        }
        pause = MINUTE;
        let ended = Instant::now();
        plane.traffic.ask();
        handed_over(&plane).await;
        let minute = plane.traffic.close(ended.duration_since(began));
        // beside the next minute; it ends long before that does
        tasks::spawn_local(keep(Arc::clone(&plane), minute, began, Rc::clone(&told)));
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

async fn keep(plane: Arc<DataPlane>, minute: Arc<Minute>, began: Instant, told: Rc<Cell<bool>>) {
    match add(&plane, &minute, began).await {
        Ok(()) => {
            if told.replace(false) {
                tracing::info!("the limits store takes the tenants' requests again");
            }
        }
        Err(error) => {
            plane.metrics.tenant_minutes_dropped.increment(1);
            if !told.replace(true) {
                tracing::warn!(%error, "the limits store does not take the tenants' requests; they are dropped");
            }
        }
    }
}

/// What was served. Requests that were refused are no load, and a stamp of its own would not help who makes them.
async fn add(plane: &DataPlane, minute: &Minute, began: Instant) -> Result<(), TrafficError> {
    let settings = Arc::clone(&plane.snapshot.load().settings);
    let served = minute.total.saturating_sub(minute.refused);
    let Some(store) = settings.limits_store.as_ref().filter(|_| served > 0) else { return Ok(()) };
    let traffic = Traffic::open(store.url.expose(), &store.key_prefix)?;
    let rows = minute.rows.iter().map(|row| (row.tenant, row.requests.saturating_sub(row.refused)));
    traffic.add(&settings.stamp.id, hour_of(plane.clock.at(began)), served, rows).await
}
