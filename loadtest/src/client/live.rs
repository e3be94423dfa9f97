//! What can be seen of a client while it runs.

use std::{
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

/// Counters that the threads of a client raise.
pub struct Live {
    start: OnceLock<Instant>,
    launched: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
    lag_max: AtomicU64,
    /// Latencies in microseconds since the last glimpse; a thread holds the lock for one record.
    latencies: Mutex<Histogram<u64>>,
}

/// What a client did since the last glimpse, and in all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Glimpse {
    /// Since the begin of the load.
    pub elapsed: Duration,
    /// Requests begun, in all.
    pub launched: u64,
    /// Answered as wanted, in all.
    pub answered: u64,
    /// Failed, in all.
    pub failed: u64,
    /// Median since the last glimpse.
    pub p50: Duration,
    /// 99th percentile since the last glimpse.
    pub p99: Duration,
    /// Greatest lag since the last glimpse.
    pub lag_max: Duration,
}

impl Default for Live {
    fn default() -> Self {
        let latencies =
            Histogram::new_with_bounds(1, 3_600_000_000, 2).unwrap_or_else(|_| unreachable!("sound bounds"));
        Self {
            start: OnceLock::new(),
            launched: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            lag_max: AtomicU64::new(0),
            latencies: Mutex::new(latencies),
        }
    }
}

impl Live {
    pub(super) fn begin(&self, start: Instant) {
        let _ = self.start.set(start);
    }

    /// Begin of the load, once there is one.
    #[must_use]
    pub fn start(&self) -> Option<Instant> {
        self.start.get().copied()
    }

    pub(super) fn launched(&self) {
        self.launched.fetch_add(1, Relaxed);
    }

    pub(super) fn lagged(&self, lag_us: u64) {
        self.lag_max.fetch_max(lag_us, Relaxed);
    }

    pub(super) fn ended(&self, answered: bool, latency_us: u64) {
        let count = if answered { &self.answered } else { &self.failed };
        count.fetch_add(1, Relaxed);
        if answered {
            let mut latencies = self.latencies.lock().unwrap_or_else(PoisonError::into_inner);
            latencies.saturating_record(latency_us);
        }
    }

    /// Looks, and begins the next interval.
    #[must_use]
    pub fn glimpse(&self) -> Glimpse {
        let mut latencies = self.latencies.lock().unwrap_or_else(PoisonError::into_inner);
        let (p50, p99) = (latencies.value_at_quantile(0.5), latencies.value_at_quantile(0.99));
        latencies.reset();
        drop(latencies);
        Glimpse {
            elapsed: self.start().map_or(Duration::ZERO, |start| start.elapsed()),
            launched: self.launched.load(Relaxed),
            answered: self.answered.load(Relaxed),
            failed: self.failed.load(Relaxed),
            p50: Duration::from_micros(p50),
            p99: Duration::from_micros(p99),
            lag_max: Duration::from_micros(self.lag_max.swap(0, Relaxed)),
        }
    }
}
