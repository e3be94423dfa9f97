//! The store in which the fleet counts requests: its leases are looked after for as long as there may be requests.
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
            shutdown.reached(Phase::Cut).await;
            if !store.shutdown(LAST).await {
                tracing::info!(
                    "what was left of leases of limits could not be given back; it is lost for some seconds"
                );
            }
        });
    })
}
