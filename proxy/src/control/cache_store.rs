//! What the processes of a stamp tell each other: what is not to be used any more, and what they have kept.
//!
//! Invariant: a thread of its own, so that what holds up control does not make this process deaf.

use std::{
    future::pending,
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use synaxis_routing::purge::PurgeStore;
use tokio::{
    runtime::Builder,
    time::{sleep, timeout},
};

use super::leave;
use crate::{cache::purge::stream::Stream, dataplane::DataPlane, shutdown::Phase};

/// Longest that each of the last words takes: the store may be gone.
const LAST: Duration = Duration::from_millis(500);
/// Between two looks whether they have arrived.
const STEP: Duration = Duration::from_millis(5);

/// Runs until the process is cut, which it is when nothing is left to do.
///
/// # Errors
/// When the thread cannot be made.
pub fn start(plane: &Arc<DataPlane>, store: &PurgeStore, process: String) -> io::Result<JoinHandle<()>> {
    let plane = Arc::clone(plane);
    let stream = Stream::new(Arc::clone(&plane.cache.purges), store.clone(), process);
    thread::Builder::new().name("cache-store".into()).spawn(move || {
        let runtime = match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "purges of the cache cannot start their runtime"),
        };
        runtime.block_on(async {
            let writes = async {
                match &plane.cache.l2 {
                    Some(l2) => Arc::clone(l2).run().await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = stream.run() => {}
                () = writes => {}
                () = last_words(&plane) => {}
            }
            // who waits for a purge to have reached everybody need not wait for this one
            if !matches!(timeout(LAST, stream.leave()).await, Ok(Ok(()))) {
                tracing::debug!("the cache store could not be told that this process ends");
            }
        });
    })
}

/// After the cut, until the others know what was changed here, also by what was cut off.
async fn last_words(plane: &DataPlane) {
    plane.shutdown.reached(Phase::Cut).await;
    leave::workers_gone(plane).await;
    let told = async {
        while plane.cache.purges.is_telling() {
            sleep(STEP).await;
        }
    };
    if timeout(LAST, told).await.is_err() {
        tracing::warn!("other processes could not be told what was changed here; theirs may be old");
    }
}
