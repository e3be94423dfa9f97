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
    /// Answers and uploads that have not ended.
    busy: Cell<u32>,
    /// Whether the head of an answer is out while something has not ended.
    streaming: Cell<bool>,
    answered: Cell<bool>,
    /// Bytes read when the current wait began.
    mark: Cell<u64>,
    since: Cell<Instant>,
    /// Bytes moved either way when they were last seen to move, and when that was.
    moved: Cell<(u64, Instant)>,
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
            streaming: Cell::new(false),
            answered: Cell::new(false),
            mark: Cell::new(0),
            since: Cell::new(now),
            moved: Cell::new((0, now)),
            head_since: Cell::new(None),
        }
    }

    /// A request was read whole: its head is complete. Each call is matched by one [`Ends::end`].
    pub fn begin(&self) {
        self.busy.set(self.busy.get() + 1);
        self.head_since.set(None);
    }

    /// The head of its answer goes out: from now on something must move.
    pub fn stream(&self) {
        self.streaming.set(true);
        self.moved.set((self.moved.get().0, self.clock.now()));
    }

    /// Whether a request is being answered or its body still comes.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.busy.get() > 0
    }

    /// How long it has been idle between requests; `None` while it is not. What hyper still holds of the last answer
    /// keeps moving until the client has taken it.
    #[must_use]
    pub fn idle(&self, now: Instant) -> Option<Duration> {
        let idle = !self.is_busy() && self.traffic.read() == self.mark.get();
        idle.then(|| now.saturating_duration_since(self.since.get().max(self.moved.get().1)))
    }

    /// Whether it has outstayed its phase. Called once a tick.
    #[must_use]
    pub fn is_overdue(&self, now: Instant, limits: &Timeouts) -> bool {
        let bytes = self.traffic.read().wrapping_add(self.traffic.written());
        if self.moved.get().0 != bytes {
            self.moved.set((bytes, now));
        }
        if self.is_busy() {
            // before the answer's head the request's own deadline watches
            return self.streaming.get() && now.saturating_duration_since(self.moved.get().1) > limits.body_idle;
        }
        if let Some(idle) = self.idle(now) {
            return idle > if self.answered.get() { limits.idle } else { limits.first_byte };
        }
        let since = self.head_since.get().unwrap_or(now);
        self.head_since.set(Some(since));
        now.duration_since(since) > limits.head
    }
}

/// An answer's body or an upload has ended or was dropped.
impl Ends for Phase {
    fn end(&self) {
        self.busy.set(self.busy.get().saturating_sub(1));
        if self.is_busy() {
            return;
        }
        self.streaming.set(false);
        self.answered.set(true);
        self.mark.set(self.traffic.read());
        self.since.set(self.clock.now());
    }
}
