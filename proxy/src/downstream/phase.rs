//! Where each downstream connection stands, and how long it may stay there.
//!
//! hyper gets no timer: its only one cannot tell an idle connection from a slow head. The connection's phase is read from
//! what the IO wrapper has counted, once a tick, by the worker's sweeper.

use std::{
    cell::Cell,
    sync::Arc,
    time::{Duration, Instant},
};

use synaxis_config::settings::Timeouts;

use crate::{
    body::Ends,
    upstream::{timer::CoarseClock, wire::Traffic},
};

/// What is known of one connection between two ticks.
pub struct Phase {
    traffic: Arc<Traffic>,
    clock: CoarseClock,
    busy: Cell<u32>,
    answered: Cell<bool>,
    /// Bytes read when the current wait began.
    mark: Cell<u64>,
    since: Cell<Instant>,
    /// When the first byte of a head was noticed.
    head_since: Cell<Option<Instant>>,
}

impl Phase {
    /// A connection accepted now, as the worker's clock has it.
    #[must_use]
    pub fn new(traffic: Arc<Traffic>, clock: CoarseClock) -> Self {
        let now = clock.now();
        Self {
            traffic,
            clock,
            busy: Cell::new(0),
            answered: Cell::new(false),
            mark: Cell::new(0),
            since: Cell::new(now),
            head_since: Cell::new(None),
        }
    }

    /// A request was read whole: its head is complete.
    pub fn begin(&self) {
        self.busy.set(self.busy.get() + 1);
        self.head_since.set(None);
    }

    /// Whether a request is being answered.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.busy.get() > 0
    }

    /// How long it has been idle between requests; `None` while it is not.
    #[must_use]
    pub fn idle(&self, now: Instant) -> Option<Duration> {
        let idle = !self.is_busy() && self.traffic.read() == self.mark.get();
        idle.then(|| now.duration_since(self.since.get()))
    }

    /// Whether it has outstayed its phase. Called once a tick.
    #[must_use]
    pub fn is_overdue(&self, now: Instant, limits: &Timeouts) -> bool {
        if self.is_busy() {
            return false;
        }
        if let Some(idle) = self.idle(now) {
            return idle > if self.answered.get() { limits.idle } else { limits.first_byte };
        }
        let since = self.head_since.get().unwrap_or(now);
        self.head_since.set(Some(since));
        now.duration_since(since) > limits.head
    }
}

/// The answer's body has ended or was dropped.
impl Ends for Phase {
    fn end(&self) {
        self.busy.set(self.busy.get().saturating_sub(1));
        self.answered.set(true);
        self.mark.set(self.traffic.read());
        self.since.set(self.clock.now());
    }
}
