//! Which tenants make the most requests: counted by each worker for itself, put together about once a minute.
//!
//! Invariant: what a worker has counted is handed over once and as a whole, so that every request is in one minute exactly.
//! No request takes a lock: a worker looks at its tick whether it is to hand over.

use std::{
    mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use crate::telemetry::top::{Minute, Sketch};

/// What the workers hand over, and the last minute that was made of it.
#[derive(Default)]
pub struct Traffic {
    round: AtomicUsize,
    /// Workers that have handed over since they were asked last.
    answers: AtomicUsize,
    handed: Mutex<Vec<Sketch>>,
    minute: ArcSwap<Minute>,
    /// Asks control to end the minute now.
    pub close: Notify,
}

impl Traffic {
    /// Asks every worker to hand over at its next tick.
    pub fn ask(&self) {
        self.answers.store(0, Ordering::Relaxed);
        self.round.fetch_add(1, Ordering::Relaxed);
    }

    /// How often was asked.
    #[must_use]
    pub fn round(&self) -> usize {
        self.round.load(Ordering::Relaxed)
    }

    /// From a worker, once each time it was asked: one sketch a worker lies here, two where control was late.
    pub fn hand_over(&self, sketch: Sketch) {
        if !sketch.is_empty() {
            self.handed.lock().unwrap_or_else(PoisonError::into_inner).push(sketch);
        }
        self.answers.fetch_add(1, Ordering::Release);
    }

    /// How many workers have handed over since they were asked.
    #[must_use]
    pub fn answers(&self) -> usize {
        self.answers.load(Ordering::Acquire)
    }

    /// Ends the minute: what was handed over since the last one is the last one now. Of a worker that was late the next
    /// minute has it.
    pub fn close(&self, window: Duration) -> Arc<Minute> {
        let handed = mem::take(&mut *self.handed.lock().unwrap_or_else(PoisonError::into_inner));
        let minute = Arc::new(Minute::merge(&handed, window));
        self.minute.store(Arc::clone(&minute));
        minute
    }

    /// The last minute that is over.
    #[must_use]
    pub fn minute(&self) -> Arc<Minute> {
        self.minute.load_full()
    }
}
