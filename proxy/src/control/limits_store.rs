//! The store in which the fleet counts requests: its leases are looked after for as long as there may be requests, and the log
//! says when it goes away and comes back.
//!
//! Invariant: a thread of its own, so that what holds up control holds up no lease, and what is left of them goes back before
//! the process ends.

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use synaxis_ratelimit::fleet::store::Store;
use tokio::runtime::Builder;

use crate::shutdown::{Phase, Shutdown};

/// Longest that giving back takes: the store may be gone.
const LAST: Duration = Duration::from_millis(500);
/// How often the log may say that it is away or back.
const TOLD: Duration = Duration::from_secs(1);

/// Runs until the process is cut, which it is when nothing is left to do.
///
/// # Errors
/// When the thread cannot be made.
pub fn start(store: Arc<Store>, shutdown: Shutdown) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("limits".into()).spawn(move || {
        let runtime = match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "limits of the fleet cannot start their runtime"),
        };
        runtime.block_on(async {
            tokio::spawn(Arc::clone(&store).run());
            tokio::spawn(tell(Arc::clone(&store)));
            shutdown.reached(Phase::Cut).await;
            if !store.shutdown(LAST).await {
                tracing::info!(
                    "what was left of leases of limits could not be given back; it is lost for some seconds"
                );
            }
        });
    })
}

/// A start with a store is no news.
async fn tell(store: Arc<Store>) {
    let mut was_away = false;
    loop {
        tokio::time::sleep(TOLD).await;
        let is_away = store.is_away();
        if is_away && !was_away {
            let why = store.trouble().unwrap_or_default();
            tracing::warn!(%why, "the limits store is away: each process counts by its own share");
        } else if was_away && !is_away {
            tracing::info!("the limits store is back");
        }
        was_away = is_away;
    }
}
