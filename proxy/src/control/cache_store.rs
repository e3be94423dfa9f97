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
use tokio::{runtime::Builder, time::timeout};

use crate::{
    cache::{
        l2::L2,
        purge::{Purges, stream::Stream},
    },
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
    (store, l2): (&PurgeStore, Option<&Arc<L2>>),
    process: String,
    shutdown: Shutdown,
) -> io::Result<JoinHandle<()>> {
    let l2 = l2.cloned();
    let stream = Stream::new(Arc::clone(purges), store.clone(), process);
    thread::Builder::new().name("cache-store".into()).spawn(move || {
        let runtime = match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "purges of the cache cannot start their runtime"),
        };
        runtime.block_on(async {
            let writes = async {
                match l2 {
                    Some(l2) => l2.run().await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = stream.run() => {}
                () = writes => {}
                () = shutdown.reached(Phase::Cut) => {}
            }
            // who waits for a purge to have reached everybody need not wait for this one
            if !matches!(timeout(LAST, stream.leave()).await, Ok(Ok(()))) {
                tracing::debug!("the cache store could not be told that this process ends");
            }
        });
    })
}
