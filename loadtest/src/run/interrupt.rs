//! Signals that ask this process to end: a run under way is given up, and nothing of its world is left.

use std::{fmt, future::Future};

use tokio::signal::unix::{SignalKind, signal};

/// A run was given up before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted(pub &'static str);

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "interrupted by {}: nothing was judged, and the processes of the world have ended", self.0)
    }
}

impl std::error::Error for Interrupted {}

/// The name of the first SIGINT or SIGTERM that comes after this was polled. From then on neither of them ends this process
/// by itself.
pub async fn signalled() -> &'static str {
    let of = |kind: SignalKind| async move {
        match signal(kind) {
            Ok(mut signals) => drop(signals.recv().await),
            // without a handler the signal does what it always does
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = of(SignalKind::interrupt()) => "SIGINT",
        () = of(SignalKind::terminate()) => "SIGTERM",
    }
}

/// What `work` returns, unless it is told to end before.
pub(super) async fn unless<T>(
    told: impl Future<Output = &'static str>,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    tokio::select! {
        // handlers are there before there is anything to be left
        biased;
        why = told => Err(Interrupted(why).into()),
        done = work => done,
    }
}
