//! Where each downstream connection stands, and how long it may stay there.
//!
//! hyper gets no timer: its only one cannot tell an idle connection from a slow head. The connection's phase is read from
//! what the IO wrapper has counted, once a tick, by the worker's sweeper. Invariant: a connection is in one phase at a
//! time, and whoever is at fault in it is the one whose time limit counts.

#[cfg(test)]
mod tests;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use synaxis_config::settings::Settings;

use crate::{
    body::{Ends, pace::Pace},
    telemetry::labels::{Cut, Expired},
    upstream::{timer::CoarseClock, wire::Traffic},
};

/// How long a connection beyond the cap may take over its only head.
const RESERVE_HEAD: Duration = Duration::from_secs(1);

/// What is known of one connection between two ticks.
pub struct Phase {
    traffic: Arc<Traffic>,
    clock: CoarseClock,
    /// Of the current request's upload, if it has one.
    pace: RefCell<Option<Rc<Pace>>>,
    in_reserve: bool,
    /// Requests so far.
    turn: Cell<u64>,
    /// What has not ended of the current one: its answer, its upload.
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
    /// When the whole of the current answer must be out; the pipeline sets it.
    ends: Rc<Cell<Option<Instant>>>,
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
            pace: RefCell::new(None),
            clock,
            in_reserve,
            turn: Cell::new(0),
            busy: Cell::new(0),
            streaming: Cell::new(false),
            answered: Cell::new(false),
            detached: Cell::new(false),
            mark: Cell::new(0),
            since: Cell::new(now),
            moved: Cell::new((0, now)),
            head_since: Cell::new(None),
            stalled: Cell::new(None),
            ends: Rc::default(),
            lingers_since: Cell::new(None),
        }
    }

    /// Where the end of the current answer's time is written.
    #[must_use]
    pub fn ends(&self) -> Rc<Cell<Option<Instant>>> {
        Rc::clone(&self.ends)
    }

    /// A request has a head: the next turn begins. What an app still takes of the last request's upload has come from the
    /// client long ago, and is none of this connection's business any more.
    pub fn next(&self) -> u64 {
        self.turn.set(self.turn.get() + 1);
        self.busy.set(0);
        self.ends.set(None);
        self.streaming.set(false);
        self.head_since.set(None);
        if self.pace.borrow().is_some() {
            *self.pace.borrow_mut() = None;
        }
        self.turn.get()
    }

    /// Something of this turn begins. Each call is matched by one [`Ends::end`].
    pub fn begin(&self) {
        self.busy.set(self.busy.get() + 1);
    }

    /// The pace of this turn's upload, which begins.
    #[must_use]
    pub fn upload(&self) -> Rc<Pace> {
        let pace = Rc::new(Pace::new(self.clock.clone()));
        *self.pace.borrow_mut() = Some(Rc::clone(&pace));
        pace
    }

    /// This turn's upload fails wherever it is read.
    pub fn give_up(&self) {
        let pace = self.pace.borrow().clone();
        if let Some(pace) = pace {
            pace.give_up();
        }
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
        let stalled = self.stalled(now);
        if stalled.is_some_and(|stalled| stalled > limits.write_stall) {
            return Some(Expired::WriteStall);
        }
        if self.is_busy() {
            if self.ends.get().is_some_and(|ends| now > ends) {
                return Some(Expired::Total);
            }
            let slow = |pace: &Rc<Pace>| pace.is_overdue(now, limits, &settings.limits);
            if self.pace.borrow().as_ref().is_some_and(slow) {
                return Some(Expired::Body);
            }
            if stalled.is_some() {
                // the client holds its answer up, and has the time above for it
                return None;
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

    /// What is lost when it ends now. Who lingers has had its answer.
    #[must_use]
    pub fn left(&self, now: Instant) -> Cut {
        match () {
            () if self.detached.get() => Cut::Tunnel,
            () if self.idle(now).is_some() || self.traffic.is_lingering() => Cut::IdleConnection,
            () => Cut::Request,
        }
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
    fn end(&self, turn: u64) {
        if turn != self.turn.get() {
            return;
        }
        self.busy.set(self.busy.get().saturating_sub(1));
        if self.is_busy() {
            return;
        }
        self.streaming.set(false);
        self.answered.set(true);
        self.mark.set(self.traffic.read());
        let whole = self.pace.borrow().as_ref().is_none_or(|pace| pace.take_whole());
        self.traffic.settle(whole);
        self.since.set(self.clock.now());
    }
}
