//! How the upload on one connection comes along: since when a piece is waited for, and what has come.
//!
//! Invariant: only time in which somebody wanted to read and nothing came counts against a client. An app that reads
//! slowly holds its client back, and that is not the client's fault.

use std::{
    cell::{Cell, RefCell},
    task::Waker,
    time::{Duration, Instant},
};

use synaxis_config::settings::{Limits, Timeouts};

use crate::upstream::timer::CoarseClock;

/// The pace of one upload. An app may still be taking its last pieces when the client sends the next one, which has a pace
/// of its own.
pub struct Pace {
    clock: CoarseClock,
    /// Since when a piece is wanted and has not come.
    wanted: Cell<Option<Instant>>,
    /// How long pieces were waited for before that.
    waited: Cell<Duration>,
    bytes: Cell<u64>,
    /// When the last piece came.
    came: Cell<Option<Instant>>,
    given_up: Cell<bool>,
    /// Nobody has read it to its end, and nobody will.
    cut: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Pace {
    /// One that begins; `clock` is the worker's.
    #[must_use]
    pub fn new(clock: CoarseClock) -> Self {
        Self {
            clock,
            wanted: Cell::new(None),
            waited: Cell::new(Duration::ZERO),
            bytes: Cell::new(0),
            came: Cell::new(None),
            given_up: Cell::new(false),
            cut: Cell::new(false),
            waker: RefCell::new(None),
        }
    }

    /// A piece is wanted and is not there; `waker` wakes who wants it.
    pub(crate) fn want(&self, waker: &Waker) {
        if self.wanted.get().is_none() {
            self.wanted.set(Some(self.clock.now()));
        }
        match &mut *self.waker.borrow_mut() {
            Some(held) => held.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    /// So many bytes have come.
    pub(crate) fn come(&self, bytes: usize) {
        self.rest();
        self.bytes.set(self.bytes.get().saturating_add(bytes as u64));
        self.came.set(Some(self.clock.now()));
    }

    /// When the last piece came; `None` before the first.
    #[must_use]
    pub(super) fn last_piece(&self) -> Option<Instant> {
        self.came.get()
    }

    /// Whether a piece is wanted and has not come.
    #[must_use]
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.get().is_some()
    }

    /// Nobody wants a piece at present.
    pub(crate) fn rest(&self) {
        if let Some(since) = self.wanted.take() {
            let waited = self.clock.now().saturating_duration_since(since);
            self.waited.set(self.waited.get().saturating_add(waited));
        }
    }

    /// There is no upload any more; all of it was read, or not.
    pub(crate) fn end(&self, whole: bool) {
        self.cut.set(!whole);
        self.wanted.set(None);
        *self.waker.borrow_mut() = None;
    }

    /// Whether the client keeps somebody waiting: no piece for `upload_idle`, or fewer bytes a second than `upload_rate`
    /// over a wait of more than `upload_grace`. Never again once it was given up.
    #[must_use]
    pub fn is_overdue(&self, now: Instant, timeouts: &Timeouts, limits: &Limits) -> bool {
        let Some(since) = self.wanted.get().filter(|_| !self.given_up.get()) else { return false };
        let wait = now.saturating_duration_since(since);
        let waited = self.waited.get().saturating_add(wait);
        let least = waited.as_secs_f64() * limits.upload_rate as f64;
        wait > timeouts.upload_idle || (waited > timeouts.upload_grace && (self.bytes.get() as f64) < least)
    }

    /// Whether the upload was read to its end, or there was none; forgotten when it is asked.
    #[must_use]
    pub fn take_whole(&self) -> bool {
        !self.cut.replace(false)
    }

    /// The upload fails wherever it is read.
    pub fn give_up(&self) {
        self.given_up.set(true);
        let waker = self.waker.borrow_mut().take();
        // outside the borrow: a waker may run code of ours
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether it was given up.
    #[must_use]
    pub(super) fn is_given_up(&self) -> bool {
        self.given_up.get()
    }
}
