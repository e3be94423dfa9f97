//! Idle upstream connections of one worker, by target; the most recently used first.
//!
//! Bounded per target; the sweeper closes what has been idle for too long and what no snapshot names any more.

use std::{
    cell::RefCell,
    collections::VecDeque,
    rc::Rc,
    time::{Duration, Instant},
};

use crate::upstream::{link::Link, timer::CoarseClock};

/// Idle longer than this, a link is looked at before it is trusted with a request.
const TRUSTED: Duration = Duration::from_millis(100);

/// The pools of one worker. Cloning shares.
#[derive(Clone)]
pub struct Pools(Rc<Inner>);

struct Inner {
    idle: RefCell<Vec<VecDeque<Box<Link>>>>,
    clock: CoarseClock,
}

impl Pools {
    /// Empty pools that read the worker's clock.
    #[must_use]
    pub fn new(clock: CoarseClock) -> Self {
        Self(Rc::new(Inner { idle: RefCell::default(), clock }))
    }

    /// The most recently used idle link of a pool.
    #[must_use]
    pub fn checkout(&self, pool: usize) -> Option<Box<Link>> {
        let link = self.0.idle.borrow_mut().get_mut(pool)?.pop_back()?;
        if self.0.clock.now().duration_since(link.idle_since) > TRUSTED {
            link.traffic.peek_once();
        }
        Some(link)
    }

    /// Puts a link back, if it can be used again and the pool has room for it.
    pub fn checkin(&self, mut link: Box<Link>, idle_max: usize) {
        link.leave();
        if !link.is_reusable() {
            return;
        }
        link.traffic.forget();
        link.idle_since = self.0.clock.now();
        let mut pools = self.0.idle.borrow_mut();
        let pool = link.target.pool;
        if pools.len() <= pool {
            pools.resize_with(pool + 1, VecDeque::new);
        }
        if pools[pool].len() < idle_max {
            pools[pool].push_back(link);
        }
    }

    /// Closes links idle for longer than `idle` and all links of pools for which `is_live` is false.
    pub fn sweep(&self, now: Instant, idle: Duration, is_live: impl Fn(usize) -> bool) {
        for (index, pool) in self.0.idle.borrow_mut().iter_mut().enumerate() {
            if !is_live(index) {
                pool.clear();
            }
            // oldest first, so the first young one ends the walk
            while pool.front().is_some_and(|link| now.duration_since(link.idle_since) > idle) {
                pool.pop_front();
            }
        }
    }

    /// Idle links in all.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.idle.borrow().iter().map(VecDeque::len).sum()
    }

    /// Whether no link is idle.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
