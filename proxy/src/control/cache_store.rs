//! What is not to be used any more, as the processes of a stamp tell each other.
//!
//! Invariant: a thread of its own, so that what holds up control does not make this process deaf.

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use synaxis_routing::purge::PurgeStore;
use tokio::{runtime::Builder, time::timeout};

use crate::{
    cache::purge::{Purges, stream::Stream},
    shutdown::{Phase, Shutdown},
};

/// Longest that saying goodbye takes: the store may be gone.
const LAST: Duration = Duration::from_millis(500);

/// Runs until the process is cut, which it is when nothing is left to do.
///
/// # Errors
/// When the thread cannot be made.
pub fn start(
    purges: &Arc<Purges>,
    store: &PurgeStore,
    process: String,
    shutdown: Shutdown,
) -> io::Result<JoinHandle<()>> {
    let stream = Stream::new(Arc::clone(purges), store.clone(), process);
    thread::Builder::new().name("cache-store".into()).spawn(move || {
        let runtime = match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "purges of the cache cannot start their runtime"),
        };
        runtime.block_on(async {
            tokio::select! {
                () = stream.run() => {}
                () = shutdown.reached(Phase::Cut) => {}
            }
            // who waits for a purge to have reached everybody need not wait for this one
            if !matches!(timeout(LAST, stream.leave()).await, Ok(Ok(()))) {
                tracing::debug!("the cache store could not be told that this process ends");
            }
        });
    })
}
