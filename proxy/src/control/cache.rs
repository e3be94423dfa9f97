//! Keeps what is kept within its bounds, and shows how much it is.

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval};

use crate::dataplane::DataPlane;

/// How often room is made; it also is whenever much has come.
const TIDY: Duration = Duration::from_millis(100);

/// Never returns.
pub(super) async fn tidy(plane: Arc<DataPlane>) -> Infallible {
    let mut tick = interval(TIDY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        plane.cache.tidy(Instant::now());
        plane.cache.show(&plane.metrics.cache);
    }
}
