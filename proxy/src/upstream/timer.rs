//! Deadlines of one worker: a slab that the sweeper walks, instead of a timer for each request.
//!
//! Resolution is one tick of the sweeper. Registering costs no allocation once the slab has grown.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use slab::Slab;

/// The time of a worker's last tick: for everything that may be wrong by a tick. Cloning shares.
#[derive(Clone)]
pub struct CoarseClock(Rc<Cell<Instant>>);

impl CoarseClock {
    /// A clock that shows `now` until it is set.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self(Rc::new(Cell::new(now)))
    }

    /// The last tick.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.0.get()
    }

    /// A tick.
    pub fn set(&self, now: Instant) {
        self.0.set(now);
    }
}

struct Entry {
    at: Instant,
    expired: bool,
    waker: Option<Waker>,
}

/// The deadlines of one worker. Cloning shares.
#[derive(Clone, Default)]
pub struct Timer(Rc<RefCell<Slab<Entry>>>);

impl Timer {
    /// A deadline that passes `limit` after `from`, give or take a tick.
    #[must_use]
    pub fn deadline(&self, from: Instant, limit: Duration) -> Deadline {
        let at = from + limit;
        let key = self.0.borrow_mut().insert(Entry { at, expired: false, waker: None });
        Deadline { timer: self.clone(), key, limit, at: Cell::new(at) }
    }

    /// Wakes whoever waits for a deadline that has passed.
    pub fn tick(&self, now: Instant) {
        let mut due = Vec::new();
        for (_, entry) in self.0.borrow_mut().iter_mut() {
            if !entry.expired && entry.at <= now {
                entry.expired = true;
                due.extend(entry.waker.take());
            }
        }
        // outside the borrow: a waker may run code of ours
        due.into_iter().for_each(Waker::wake);
    }

    /// How many deadlines are pending.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// Whether none is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One deadline; dropping it forgets it.
pub struct Deadline {
    timer: Timer,
    key: usize,
    limit: Duration,
    at: Cell<Instant>,
}

impl Deadline {
    /// The instant.
    #[must_use]
    pub fn at(&self) -> Instant {
        self.at.get()
    }

    /// Counts anew from `from`. False, and nothing changes, if it would not pass later.
    pub fn restart(&self, from: Instant) -> bool {
        let at = from + self.limit;
        let later = at > self.at.get();
        if later {
            self.at.set(at);
            self.set(at);
        }
        later
    }

    /// Expires at `at` already, or with the deadline itself: for one step of what it bounds. Once expired it may be aimed
    /// again.
    pub fn aim(&self, at: Option<Instant>) {
        self.set(at.map_or(self.at.get(), |at| at.min(self.at.get())));
    }

    /// Whether it is aimed at an instant before its own.
    #[must_use]
    pub fn is_aimed(&self) -> bool {
        self.timer.0.borrow().get(self.key).is_some_and(|entry| entry.at < self.at.get())
    }

    fn set(&self, at: Instant) {
        if let Some(entry) = self.timer.0.borrow_mut().get_mut(self.key) {
            (entry.at, entry.expired) = (at, false);
        }
    }

    /// Whether it had passed at the last tick.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.timer.0.borrow().get(self.key).is_none_or(|entry| entry.expired)
    }

    /// Ready once the deadline has passed; otherwise wakes the task when it does.
    pub fn poll_expired(&self, cx: &Context<'_>) -> Poll<()> {
        let mut slab = self.timer.0.borrow_mut();
        let Some(entry) = slab.get_mut(self.key) else { return Poll::Ready(()) };
        if entry.expired {
            return Poll::Ready(());
        }
        match &mut entry.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            empty => *empty = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.timer.0.borrow_mut().try_remove(self.key);
    }
}
