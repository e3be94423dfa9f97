//! How the inputs stand: what `/readyz?verbose` tells an operator. Written by control, read by admin; off the hot path.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use serde::Serialize;

use super::degradation::keeper::Keeper;

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

/// The configuration that was refused last, since the last good one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedFile {
    /// When.
    pub at: Instant,
    /// The first fault, with its place.
    pub fault: String,
    /// How many more there are.
    pub more: usize,
}

/// How the configuration file stands.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// When the settings that run were taken from it; `None` when they came from no file.
    pub applied_at: Option<Instant>,
    /// What was refused since.
    pub refused: Option<RefusedFile>,
    /// Keys that differ from what runs until a restart.
    pub pending: Vec<String>,
}

/// How everything stands.
#[derive(Debug, Default)]
pub struct Status {
    /// The level of degradation, what decides it, and how the dependencies are.
    pub degradation: Keeper,
    routing: Mutex<Routing>,
    config: Mutex<Config>,
}

impl Status {
    /// A copy, for reading.
    #[must_use]
    pub fn routing(&self) -> Routing {
        lock(&self.routing).clone()
    }

    /// A copy of how the configuration stands.
    #[must_use]
    pub fn config(&self) -> Config {
        lock(&self.config).clone()
    }

    /// Notes something about the routing table.
    pub fn note(&self, change: impl FnOnce(&mut Routing)) {
        change(&mut lock(&self.routing));
    }

    /// Notes something about the configuration.
    pub fn note_config(&self, change: impl FnOnce(&mut Config)) {
        change(&mut lock(&self.config));
    }
}

fn lock<T>(part: &Mutex<T>) -> MutexGuard<'_, T> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}
