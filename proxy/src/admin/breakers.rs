//! What stands between requests and each upstream: `/breakers`.

use std::time::Instant;

use http::Response;
use serde::Serialize;

use super::{
    View,
    answers::{self, Reply},
};
use crate::upstream::{
    breaker::State,
    guard::{Guard, Limits, state_name},
};

/// One upstream: an app of this stamp, or another stamp.
#[derive(Serialize)]
struct Row {
    kind: &'static str,
    upstream: String,
    breaker: Breaker,
    places: Places,
}

#[derive(Serialize)]
struct Breaker {
    state: &'static str,
    /// Until it lets trials through; only while it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    open_for_ms: Option<u64>,
    /// What is counted in the window of so many milliseconds.
    window_ms: u64,
    requests: u64,
    answer_failures: u64,
    transport_failures: u64,
    /// Estimated.
    active_tenants: u32,
    /// Estimated.
    failing_tenants: u32,
    /// Failures in the window that open it.
    failures_max: u32,
    /// Tenants whose own breaker for this upstream is open.
    tenants_open: usize,
    tenants_kept: usize,
    tenants_evicted: u64,
    trials_running: u32,
    /// How often in a row it has opened again.
    relapses: u32,
    /// Share of the slots that are back since it closed.
    share_per_mille: u32,
}

#[derive(Serialize)]
struct Places {
    in_flight: u32,
    in_flight_max: u32,
    /// Of one tenant.
    tenant_max: u32,
    /// With requests in flight.
    tenants: usize,
}

impl Row {
    fn of(guard: &Guard, limits: &Limits, now: u64) -> Self {
        let (state, counts) = (guard.breaker.state(now), guard.breaker.counts(&limits.breaker, now));
        let open_for_ms = match state {
            State::Open { until } => Some(until.saturating_sub(now)),
            State::Closed | State::HalfOpen => None,
        };
        Self {
            kind: guard.metrics.kind().name(),
            upstream: guard.metrics.name().to_owned(),
            breaker: Breaker {
                state: state_name(state),
                open_for_ms,
                window_ms: limits.breaker.window_ms,
                requests: counts.requests,
                answer_failures: counts.answer_failures,
                transport_failures: counts.transport_failures,
                active_tenants: counts.active_tenants,
                failing_tenants: counts.failing_tenants,
                failures_max: limits.breaker.failures,
                tenants_open: counts.tenants_open,
                tenants_kept: counts.tenants_kept,
                tenants_evicted: counts.tenants_evicted,
                trials_running: counts.trials_running,
                relapses: counts.relapses,
                share_per_mille: guard.breaker.share(&limits.breaker, now),
            },
            places: Places {
                in_flight: guard.admission.in_flight(),
                in_flight_max: limits.places.in_flight_max(),
                tenant_max: limits.places.tenant_max(),
                tenants: guard.admission.tenants(),
            },
        }
    }
}

pub(super) fn breakers(view: &View) -> Response<Reply> {
    let snapshot = view.plane.snapshot.load();
    let now = view.plane.clock.uptime(Instant::now());
    let rows: Vec<Row> = snapshot.guards().map(|(guard, limits)| Row::of(guard, limits, now)).collect();
    answers::document(&rows)
}

/// Brings the gauges of every upstream up to date. What an open breaker becomes when its time is up, nobody is told.
pub(super) fn show(view: &View) {
    let snapshot = view.plane.snapshot.load();
    let now = view.plane.clock.uptime(Instant::now());
    for (guard, _) in snapshot.guards() {
        guard.metrics.show(state_name(guard.breaker.state(now)));
        guard.metrics.in_flight.set(f64::from(guard.admission.in_flight()));
    }
}
