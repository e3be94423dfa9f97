//! Metrics of limits of requests, and of the store in which the fleet counts some of them.
//!
//! Invariant: no label is a tenant's or a client's.

use metrics::{Counter, Gauge, Histogram};
use synaxis_ratelimit::{cells, fleet::counts::Counts};

use super::metrics::Register;

/// The handles.
pub struct RateLimitMetrics {
    /// What a request has waited for the store, in seconds.
    pub wait: Histogram,
    /// Refusals of other stamps that were not remembered because there were too many.
    pub denies_dropped: Counter,
    keys: Gauge,
    shared: Counter,
    away: Gauge,
    calls: [Counter; 2],
    key_operations: Counter,
    refills: Counter,
    timeouts: Counter,
    failures: Counter,
    outages: Counter,
    denied: Counter,
    alone: Counter,
}

impl RateLimitMetrics {
    pub(super) fn new(make: &Register<'_>) -> Self {
        let calls =
            |kind| make.counter_with("ratelimit_store_calls_total", "Calls of the limits store", &[("kind", kind)]);
        Self {
            wait: make.duration("ratelimit_wait_duration_seconds", "Time that a request waited for the limits store"),
            denies_dropped: make.counter("ratelimit_denies_dropped_total", "Refusals of other stamps not remembered"),
            keys: make.gauge("ratelimit_keys", "Buckets of limits that are not full"),
            shared: make
                .counter("ratelimit_shared_total", "Decisions by a bucket that keys without one of their own share"),
            away: make.gauge("ratelimit_store_away", "1 while this process counts by its own share"),
            calls: ["direct", "background"].map(calls),
            key_operations: make
                .counter("ratelimit_store_key_operations_total", "Keys asked about in the limits store"),
            refills: make.counter("ratelimit_store_refills_total", "Reports on leases that were answered"),
            timeouts: make.counter("ratelimit_store_timeouts_total", "Waits for the limits store that were too long"),
            failures: make.counter("ratelimit_store_failures_total", "Calls of the limits store that failed"),
            outages: make.counter("ratelimit_store_outages_total", "Times that the limits store went away"),
            denied: make.counter("ratelimit_store_denied_total", "Requests that waited and that the store refused"),
            alone: make.counter("ratelimit_alone_total", "Requests decided without the limits store"),
        }
    }

    /// What is in memory.
    pub fn buckets(&self, counts: &cells::Counts) {
        self.keys.set(counts.keys as f64);
        self.shared.absolute(counts.shared);
    }

    /// What the store was used for.
    pub fn store(&self, counts: &Counts, is_away: bool) {
        let of = |count: &std::sync::atomic::AtomicU64| count.load(std::sync::atomic::Ordering::Relaxed);
        self.away.set(if is_away { 1.0 } else { 0.0 });
        let direct = of(&counts.direct_calls);
        self.calls[0].absolute(direct);
        // read later, so that it is never less
        self.calls[1].absolute(of(&counts.calls).saturating_sub(direct));
        for (counter, count) in [
            (&self.key_operations, &counts.key_operations),
            (&self.refills, &counts.refills),
            (&self.timeouts, &counts.timeouts),
            (&self.failures, &counts.failures),
            (&self.outages, &counts.outages),
            (&self.denied, &counts.denied),
            (&self.alone, &counts.alone),
        ] {
            counter.absolute(of(count));
        }
    }
}
