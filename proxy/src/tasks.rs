//! The only place that spawns: on a worker's thread, for work that outlives the request that began it.

use std::future::Future;

use tokio::task::JoinHandle;

/// Runs `future` on the current thread's runtime. It need not be `Send`.
pub fn spawn_local<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    tokio::task::spawn_local(future)
}

/// Runs blocking work (files, building tables) beside the runtime's thread.
pub fn spawn_blocking<F, T>(work: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    tokio::task::spawn_blocking(work)
}
