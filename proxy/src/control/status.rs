//! How the inputs stand: what `/readyz?verbose` tells an operator. Written by control, read by admin; off the hot path.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use serde::Serialize;

/// Where the applied table came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Made from the settings: this stamp alone.
    Memory,
    /// The snapshot on disk.
    Disk,
    /// The routing store.
    Store,
    /// Another stamp's peer listener.
    Peer,
}

/// The last table that was refused, since the last one that was applied.
#[derive(Clone, Debug, Serialize)]
pub struct Refused {
    /// Stable reason token.
    pub reason: &'static str,
    /// The refusal in words.
    pub detail: String,
    /// Where it came from.
    pub source: Source,
    /// How many times in a row.
    pub count: u64,
}

/// How the routing table stands.
#[derive(Clone, Debug, Default)]
pub struct Routing {
    /// Where the applied table came from; `None` before the first.
    pub source: Option<Source>,
    /// When it was applied.
    pub applied_at: Option<Instant>,
    /// When the store last showed exactly what is applied.
    pub confirmed_at: Option<Instant>,
    /// What was refused since.
    pub refused: Option<Refused>,
    /// Why the store could not be read, at the last try.
    pub store_error: Option<String>,
    /// Why the snapshot file could not be written or read, at the last try.
    pub snapshot_error: Option<String>,
}

/// How everything stands.
#[derive(Debug, Default)]
pub struct Status(Mutex<Routing>);

impl Status {
    /// A copy, for reading.
    #[must_use]
    pub fn routing(&self) -> Routing {
        self.lock().clone()
    }

    /// Notes something.
    pub fn note(&self, change: impl FnOnce(&mut Routing)) {
        change(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, Routing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
