//! The health of an upstream's endpoints: who gets traffic, and in which order they are tried.
//!
//! Two opinions, each in its file: [`checks`] (active probes) and [`outlier`] (what real traffic meets); `filter` joins
//! them. Invariant: as long as there are endpoints, at least one serves, whatever probes and traffic say. Workers read what
//! is published in a few relaxed loads; what changes it takes a lock and is rare.

pub mod checks;
mod filter;
mod order;
pub mod outlier;
#[cfg(test)]
mod tests;

use std::sync::{
    Mutex, MutexGuard, PoisonError, TryLockError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use checks::Checks;
use filter::Opinions;
use outlier::{Ejection, Outlier};

pub use order::Order;

/// Most endpoints of a set: the bits of the words that are published.
pub const ENDPOINTS_MAX: usize = 64;

/// The settings of an upstream's health. They come with every call, so that a reload changes them and keeps what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// When probes change an endpoint's state.
    pub checks: checks::Limits,
    /// When real traffic ejects an endpoint.
    pub outliers: outlier::Limits,
    /// Share of the endpoints, in thousandths, that must be left for a filter to be believed.
    pub panic_permille: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { checks: checks::Limits::default(), outliers: outlier::Limits::default(), panic_permille: 500 }
    }
}

/// What is known of one endpoint.
#[derive(Clone, Debug, Default)]
struct Endpoint {
    checks: Checks,
    outlier: Outlier,
}

/// What is known of one endpoint, for an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whether it gets traffic.
    pub serves: bool,
    /// What its probes say; `None` before the first.
    pub passes_checks: Option<bool>,
    /// How long it stays ejected, in milliseconds; `None` while it is not.
    pub ejected_for_ms: Option<u64>,
    /// Gateway errors since its last good answer, counted up to what ejects it.
    pub failures: usize,
}

/// The endpoints of one upstream, shared by all workers. Endpoints go by their place in the upstream's list; what is said
/// about a place that does not exist is ignored.
///
/// Time is milliseconds of the process's monotonic clock.
#[derive(Debug)]
pub struct Health {
    /// Bit i: endpoint i gets traffic.
    serving: AtomicU64,
    /// Those that are tried when all others have failed.
    last_resort: AtomicU64,
    /// Those whose next good answer is news.
    failing: AtomicU64,
    /// Every endpoint.
    all: u64,
    /// Those that have been probed.
    probed: AtomicU64,
    /// Those of them that pass.
    passing: AtomicU64,
    /// When the next ejection ends.
    next_return: AtomicU64,
    endpoints: Mutex<Vec<Endpoint>>,
}

impl Default for Health {
    /// No endpoints.
    fn default() -> Self {
        Self::of(Vec::new())
    }
}

impl Health {
    /// This many endpoints of which nothing is known: all get traffic. `None` for more than [`ENDPOINTS_MAX`].
    #[must_use]
    pub fn new(count: usize) -> Option<Self> {
        (count <= ENDPOINTS_MAX).then(|| Self::of(vec![Endpoint::default(); count]))
    }

    /// The set after a reload: for each endpoint the place it had in this set, or `None` for one that is new. `None` for
    /// more than [`ENDPOINTS_MAX`].
    #[must_use]
    pub fn succeed_by(&self, places_before: &[Option<usize>], now: u64, limits: &Limits) -> Option<Self> {
        if places_before.len() > ENDPOINTS_MAX {
            return None;
        }
        let before = self.lock();
        let known = |place: &Option<usize>| place.and_then(|place| before.get(place)).cloned().unwrap_or_default();
        let next = Self::of(places_before.iter().map(known).collect());
        next.publish(&next.lock(), now, limits);
        Some(next)
    }

    fn of(endpoints: Vec<Endpoint>) -> Self {
        Self {
            serving: AtomicU64::new(filter::first(endpoints.len())),
            last_resort: AtomicU64::new(0),
            failing: AtomicU64::new(0),
            all: filter::first(endpoints.len()),
            probed: AtomicU64::new(0),
            passing: AtomicU64::new(0),
            next_return: AtomicU64::new(u64::MAX),
            endpoints: Mutex::new(endpoints),
        }
    }

    /// The endpoints to try, best first; `turn` counts requests, so that each serving endpoint has the same share.
    ///
    /// Three relaxed loads; after an ejection has ended, one caller takes a lock that nobody holds.
    #[must_use]
    pub fn order(&self, turn: usize, now: u64, limits: &Limits) -> Order {
        Order::new(self.serving(now, limits), self.last_resort.load(Relaxed), turn)
    }

    /// Whether an endpoint gets traffic, for those who choose by an order of their own.
    #[must_use]
    pub fn serves(&self, place: usize, now: u64, limits: &Limits) -> bool {
        self.serving(now, limits) & filter::bit(place) != 0
    }

    /// An endpoint gave an answer that is no gateway error. One relaxed load unless it failed before.
    pub fn succeeded(&self, place: usize) {
        if self.failing.load(Relaxed) & filter::bit(place) != 0 {
            self.end_run(place);
        }
    }

    /// An endpoint met a gateway error: no connection, a timeout, a reset, 502, 503 or 504. Says so if that ejects it.
    pub fn failed(&self, place: usize, now: u64, limits: &Limits) -> Option<Ejection> {
        let mut endpoints = self.lock();
        let is_outlier = endpoints.get_mut(place)?.outlier.fail(now, &limits.outliers);
        let may_go = is_outlier && opinions(&endpoints, now).may_eject(place, limits.panic_permille);
        let ejection = if may_go { Some(endpoints.get_mut(place)?.outlier.eject(now, &limits.outliers)) } else { None };
        self.publish(&endpoints, now, limits);
        ejection
    }

    /// A probe of an endpoint came back. Says what the endpoint's probes now say if that has changed.
    pub fn checked(&self, place: usize, passed: bool, now: u64, limits: &Limits) -> Option<bool> {
        let mut endpoints = self.lock();
        let changed = endpoints.get_mut(place)?.checks.record(passed, &limits.checks);
        self.publish(&endpoints, now, limits);
        changed
    }

    /// Forgets what probes said: nobody asks any more.
    pub fn forget_checks(&self, now: u64, limits: &Limits) {
        let mut endpoints = self.lock();
        endpoints.iter_mut().for_each(|endpoint| endpoint.checks = Checks::default());
        self.publish(&endpoints, now, limits);
    }

    /// What the probes say of all endpoints together: good when one passes, bad when every one has been probed and none
    /// does. Two relaxed loads.
    #[must_use]
    pub fn verdict(&self) -> Option<bool> {
        let (probed, passing) = (self.probed.load(Relaxed), self.passing.load(Relaxed));
        match passing {
            0 if probed != 0 && probed == self.all => Some(false),
            0 => None,
            _ => Some(true),
        }
    }

    /// Every endpoint, in the order of the upstream's list.
    #[must_use]
    pub fn status(&self, now: u64, limits: &Limits) -> Vec<Status> {
        let endpoints = self.lock();
        let serving = opinions(&endpoints, now).join(limits.panic_permille).serving;
        let status = |(place, endpoint): (usize, &Endpoint)| Status {
            serves: serving & filter::bit(place) != 0,
            passes_checks: endpoint.checks.verdict(),
            ejected_for_ms: endpoint.outlier.ejected_until(now).map(|until| until - now),
            failures: endpoint.outlier.failures(),
        };
        endpoints.iter().enumerate().map(status).collect()
    }

    fn serving(&self, now: u64, limits: &Limits) -> u64 {
        if now >= self.next_return.load(Relaxed) {
            self.bring_back(now, limits);
        }
        self.serving.load(Relaxed)
    }

    #[cold]
    fn bring_back(&self, now: u64, limits: &Limits) {
        match self.endpoints.try_lock() {
            Ok(endpoints) => self.publish(&endpoints, now, limits),
            Err(TryLockError::Poisoned(poisoned)) => self.publish(&poisoned.into_inner(), now, limits),
            // whoever holds it publishes
            Err(TryLockError::WouldBlock) => {}
        }
    }

    #[cold]
    fn end_run(&self, place: usize) {
        let mut endpoints = self.lock();
        let Some(endpoint) = endpoints.get_mut(place) else { return };
        endpoint.outlier.succeed();
        self.failing.store(failing(&endpoints), Relaxed);
    }

    /// Only under the lock, which puts the stores of all writers in order.
    fn publish(&self, endpoints: &[Endpoint], now: u64, limits: &Limits) {
        let joined = opinions(endpoints, now).join(limits.panic_permille);
        let next_return = endpoints.iter().filter_map(|endpoint| endpoint.outlier.ejected_until(now)).min();
        self.serving.store(joined.serving, Relaxed);
        self.last_resort.store(joined.last_resort, Relaxed);
        self.failing.store(failing(endpoints), Relaxed);
        self.passing.store(places(endpoints, |endpoint| endpoint.checks.verdict() == Some(true)), Relaxed);
        self.probed.store(places(endpoints, |endpoint| endpoint.checks.verdict().is_some()), Relaxed);
        self.next_return.store(next_return.unwrap_or(u64::MAX), Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Endpoint>> {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn opinions(endpoints: &[Endpoint], now: u64) -> Opinions {
    Opinions {
        count: endpoints.len(),
        passing: places(endpoints, |endpoint| endpoint.checks.is_usable()),
        ejected: places(endpoints, |endpoint| endpoint.outlier.ejected_until(now).is_some()),
    }
}

fn failing(endpoints: &[Endpoint]) -> u64 {
    places(endpoints, |endpoint| endpoint.outlier.failures() > 0)
}

fn places(endpoints: &[Endpoint], is: impl Fn(&Endpoint) -> bool) -> u64 {
    let bit = |(place, endpoint): (usize, &Endpoint)| if is(endpoint) { filter::bit(place) } else { 0 };
    endpoints.iter().enumerate().map(bit).fold(0, |all, bit| all | bit)
}
