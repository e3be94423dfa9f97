//! Where each downstream connection stands, and how long it may stay there.
//!
//! hyper gets no timer: its only one cannot tell an idle connection from a slow head. The connection's phase is read from
//! what the IO wrapper has counted, once a tick, by the worker's sweeper. Invariant: a connection is in one phase at a
//! time, and whoever is at fault in it is the one whose time limit counts.

#[cfg(test)]
mod tests;

use std::{
    cell::Cell,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use synaxis_config::settings::Settings;

use crate::{
    body::{Ends, pace::Pace},
    telemetry::labels::Expired,
    upstream::{timer::CoarseClock, wire::Traffic},
};

/// How long a connection beyond the cap may take over its only head.
const RESERVE_HEAD: Duration = Duration::from_secs(1);

/// What is known of one connection between two ticks.
pub struct Phase {
    traffic: Arc<Traffic>,
    clock: CoarseClock,
    pace: Rc<Pace>,
    in_reserve: bool,
    /// Answers and uploads that have not ended.
    busy: Cell<u32>,
    /// Whether the head of an answer is out while something has not ended.
    streaming: Cell<bool>,
    answered: Cell<bool>,
    /// Whether something else watches over it.
    detached: Cell<bool>,
    /// Bytes read when the current wait began.
    mark: Cell<u64>,
    since: Cell<Instant>,
    /// Bytes moved either way when they were last seen to move, and when that was.
    moved: Cell<(u64, Instant)>,
    /// When the first byte of a head was noticed.
    head_since: Cell<Option<Instant>>,
    /// Bytes written when the client was last seen to take some of what waits for it, and when that was.
    stalled: Cell<Option<(u64, Instant)>>,
    /// When it was first seen to linger.
    lingers_since: Cell<Option<Instant>>,
}

impl Phase {
    /// A connection accepted now, as the worker's clock has it; `in_reserve`, it has little time.
    #[must_use]
    pub fn new(traffic: Arc<Traffic>, clock: CoarseClock, in_reserve: bool) -> Self {
        let now = clock.now();
        Self {
            traffic,
            pace: Rc::new(Pace::new(clock.clone())),
            clock,
            in_reserve,
            busy: Cell::new(0),
            streaming: Cell::new(false),
            answered: Cell::new(false),
            detached: Cell::new(false),
            mark: Cell::new(0),
            since: Cell::new(now),
            moved: Cell::new((0, now)),
            head_since: Cell::new(None),
            stalled: Cell::new(None),
            lingers_since: Cell::new(None),
        }
    }

    /// How its upload comes along.
    #[must_use]
    pub fn pace(&self) -> &Rc<Pace> {
        &self.pace
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

    /// It is no HTTP connection any more, and what it has become has time limits of its own.
    pub fn detach(&self) {
        self.detached.set(true);
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
        let idle = !self.detached.get() && !self.is_busy() && self.traffic.read() == self.mark.get();
        idle.then(|| now.saturating_duration_since(self.since.get().max(self.moved.get().1)))
    }

    /// Whether it has outstayed its phase, and which. Called once a tick.
    #[must_use]
    pub fn overdue(&self, now: Instant, settings: &Settings) -> Option<Expired> {
        if self.detached.get() {
            return None;
        }
        let limits = &settings.timeouts;
        let bytes = self.traffic.read().wrapping_add(self.traffic.written());
        if self.moved.get().0 != bytes {
            self.moved.set((bytes, now));
        }
        if self.traffic.is_lingering() {
            let since = self.lingers_since.get().unwrap_or(now);
            self.lingers_since.set(Some(since));
            return (now.saturating_duration_since(since) > limits.linger).then_some(Expired::Linger);
        }
        if let Some(stalled) = self.stalled(now) {
            return (stalled > limits.write_stall).then_some(Expired::WriteStall);
        }
        if self.is_busy() {
            if self.pace.is_overdue(now, limits, &settings.limits) {
                return Some(Expired::Body);
            }
            // before the answer's head the request's own deadline watches
            let still = self.streaming.get() && now.saturating_duration_since(self.moved.get().1) > limits.body_idle;
            return still.then_some(Expired::AnswerIdle);
        }
        if self.in_reserve && now.saturating_duration_since(self.since.get()) > RESERVE_HEAD {
            return Some(if self.traffic.read() == 0 { Expired::FirstByte } else { Expired::Head });
        }
        if let Some(idle) = self.idle(now) {
            let (limit, why) = match self.answered.get() {
                true => (limits.idle, Expired::Idle),
                false => (limits.first_byte, Expired::FirstByte),
            };
            return (idle > limit).then_some(why);
        }
        let since = self.head_since.get().unwrap_or(now);
        self.head_since.set(Some(since));
        (now.saturating_duration_since(since) > limits.head).then_some(Expired::Head)
    }

    /// How long the client has taken nothing of what waits for it; `None` when nothing waits.
    fn stalled(&self, now: Instant) -> Option<Duration> {
        let written = self.traffic.written();
        let since = self.traffic.is_blocked().then(|| match self.stalled.get() {
            Some((before, since)) if before == written => since,
            _ => now,
        });
        self.stalled.set(since.map(|since| (written, since)));
        since.map(|since| now.saturating_duration_since(since))
    }

    /// Whether the client can still be told what it did wrong: its request has no answer yet.
    #[must_use]
    pub fn can_be_told(&self, why: Expired) -> bool {
        why == Expired::Body && !self.streaming.get()
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
        self.traffic.settle(self.pace.take_whole());
        self.since.set(self.clock.now());
    }
}
