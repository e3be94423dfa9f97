//! What one worker thread owns: its connections' pools, its deadlines, its view of the current snapshot.
//!
//! Nothing here is shared with another thread except through [`DataPlane`]; `Rc` and `Cell` are fine.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Instant,
};

use arc_swap::{ArcSwap, Cache};
use synaxis_ratelimit::fleet::link::Link;
use synaxis_routing::{id::TenantId, table::Millis};

use super::{DataPlane, Snapshot, denies::Denies};
use crate::{
    cache::l2,
    telemetry::{record::Sink, top::Sketch},
    upstream::{
        concurrency::TenantKey,
        pool::Pools,
        timer::{CoarseClock, Timer},
    },
};

/// One worker.
pub struct Worker {
    /// What all workers share.
    pub plane: Arc<DataPlane>,
    /// Where records go.
    pub sink: Rc<Sink>,
    /// The time of the last tick.
    pub clock: CoarseClock,
    /// Idle upstream connections.
    pub pools: Pools,
    /// Deadlines of requests.
    pub timer: Timer,
    /// To the store in which the fleet counts requests, if there is one.
    pub limits: Option<Link>,
    /// To the answers that the processes of the stamp share, if they do.
    pub shared: Option<l2::Link>,
    /// What other stamps have refused.
    pub denies: Denies,
    now: Cell<Millis>,
    snapshot: RefCell<Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>>,
    turn: Cell<usize>,
    chance: Cell<u64>,
    /// Whose requests were served since the last time it was handed over.
    served: RefCell<Sketch>,
    /// Fetches of answers that requests of other workers may share.
    fetches: Rc<Cell<usize>>,
    round: Cell<usize>,
}

impl Worker {
    /// A worker's own state.
    ///
    /// # Panics
    /// Outside of a runtime, if there is a store of limits.
    #[must_use]
    pub fn new(plane: Arc<DataPlane>, sink: Rc<Sink>, seed: u64) -> Self {
        let snapshot = RefCell::new(Cache::new(Arc::clone(&plane.snapshot)));
        let clock = CoarseClock::new(Instant::now());
        let round = Cell::new(plane.traffic.round());
        let (pools, timer) = (Pools::new(clock.clone()), Timer::default());
        let limits = plane.buckets.fleet.as_ref().map(|fleet| Link::start(Arc::clone(&fleet.store)));
        let shared = plane.cache.l2.as_ref().map(|l2| {
            let (link, keeping) = l2::Link::new(Arc::clone(l2));
            crate::tasks::spawn_local(keeping);
            link
        });
        Self {
            plane,
            sink,
            clock,
            pools,
            timer,
            limits,
            shared,
            denies: Denies::default(),
            now: Cell::new(0),
            snapshot,
            turn: Cell::new(0),
            chance: Cell::new(seed | 1),
            served: RefCell::default(),
            fetches: Rc::default(),
            round,
        }
    }

    /// Milliseconds of the process's clock at the last tick: for windows of seconds that is near enough, and costs nothing.
    #[must_use]
    pub fn now(&self) -> Millis {
        self.now.get()
    }

    /// The current snapshot. A request calls this once.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(self.snapshot.borrow_mut().load())
    }

    /// Counts up: whose turn among an upstream's endpoints it is.
    #[must_use]
    pub fn turn(&self) -> usize {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        turn
    }

    /// A cheap random number in `0..1` for sampling (xorshift64; Marsaglia 2003). Decides nothing but what is logged.
    #[must_use]
    pub fn chance(&self) -> f64 {
        let mut x = self.chance.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.chance.set(x);
        (x >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Counts a request of this tenant: one that this stamp serves, or refuses for what the tenant does.
    pub fn count(&self, key: TenantKey, tenant: &TenantId, refused: bool) {
        self.served.borrow_mut().count(key.half(), tenant, refused);
    }

    /// Notes a fetch of an answer that others may share, for as long as this is kept.
    #[must_use]
    pub fn fetching(&self) -> Fetching {
        self.fetches.set(self.fetches.get() + 1);
        Fetching(Rc::clone(&self.fetches))
    }

    /// Whether there are any.
    #[must_use]
    pub fn is_fetching(&self) -> bool {
        self.fetches.get() > 0
    }

    /// Once a tick: deadlines; and pools of endpoints that are gone or idle.
    pub fn tick(&self, now: Instant) {
        self.clock.set(now);
        let uptime = self.plane.clock.uptime(now);
        // once a second
        if self.now.replace(uptime) / 1_000 != uptime / 1_000 {
            self.denies.forget(uptime);
        }
        self.timer.tick(now);
        let round = self.plane.traffic.round();
        if self.round.replace(round) != round {
            self.plane.traffic.hand_over(self.served.take());
        }
        let snapshot = self.snapshot();
        let live = |pool: usize| snapshot.live_pools.get(pool).copied().unwrap_or(false);
        self.pools.sweep(now, snapshot.settings.timeouts.upstream_idle, live);
    }
}

/// A fetch that others may share: its worker does not end before it.
pub struct Fetching(Rc<Cell<usize>>);

impl Drop for Fetching {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
