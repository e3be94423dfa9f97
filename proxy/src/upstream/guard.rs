//! What stands between requests and one upstream, an app of this stamp or another stamp: its breaker, its places, its
//! budget of retries.
//!
//! Invariant: counts and states live here, for as long as the upstream is named; numbers that decide are [`Limits`] and come
//! from the snapshot with every call, so that a reload changes them and forgets nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{HeaderMap, StatusCode};
use synaxis_config::settings::{Protection, Retries};

use super::{
    breaker::{self, Breaker, Changes, Outcome, Pass, Refusal, Scope, State},
    concurrency::{self, Admission, Permit, Refused, TenantKey},
    retry::{Budget, budget},
};
use crate::telemetry::upstream::UpstreamMetrics;

/// Most tenants that one breaker keeps count of.
const TENANTS_MAX: usize = 1_024;

/// The guard of one upstream, shared by all workers.
#[derive(Debug)]
pub struct Guard {
    /// Closed lets requests through.
    pub breaker: Arc<Breaker>,
    /// Who is in flight.
    pub admission: Arc<Admission>,
    /// What retries may cost.
    pub budget: Budget,
    /// What is told to operators.
    pub metrics: UpstreamMetrics,
    /// Whether another stamp's probes say that it cannot serve.
    unwell: AtomicBool,
}

/// The numbers of one guard.
#[derive(Clone, Debug)]
pub struct Limits {
    /// When it opens, and how it closes.
    pub breaker: breaker::Limits,
    /// How many may be in flight.
    pub places: concurrency::Limits,
    /// How many retries there are.
    pub budget: budget::Limits,
    /// Statuses of answers that are failures.
    statuses: Vec<StatusCode>,
}

impl Limits {
    /// From the settings.
    #[must_use]
    pub fn new(protection: &Protection, retries: &Retries) -> Self {
        let breaker = &protection.breaker;
        let places = u32::try_from(protection.in_flight_max).unwrap_or(u32::MAX);
        Self {
            breaker: breaker::Limits {
                failures: breaker.failures,
                window_ms: millis(breaker.window),
                open_ms: millis(breaker.open),
                open_max_ms: millis(breaker.open_max),
                trials: breaker.trials,
                ratio_per_mille: (breaker.ratio * 1_000.0).round() as u32,
                tenants_max: TENANTS_MAX,
                recovery_ms: millis(protection.recovery),
            },
            places: concurrency::Limits::new(places, protection.tenant_share_max),
            budget: budget::Limits {
                permille: (retries.budget * 1_000.0).round() as u32,
                per_second: retries.budget_min,
            },
            statuses: breaker.statuses.clone(),
        }
    }

    /// The same before another stamp. That judges its tenants itself, and what a network swallows on the way there is no
    /// tenant's doing, however many of the requests are its own.
    #[must_use]
    pub fn of_a_stamp(mut self) -> Self {
        self.breaker.tenants_max = 0;
        self
    }

    /// Whether an answer says that its upstream failed. `reason` is the token of a proxy's own answer: what another stamp
    /// refuses is its right, and no failure of it.
    #[must_use]
    pub fn is_failure(&self, status: StatusCode, headers: &HeaderMap, reason: &http::HeaderName) -> bool {
        self.statuses.contains(&status)
            && headers.get(reason).is_none_or(|token| token.as_bytes().starts_with(b"upstream_"))
    }
}

/// A duration in milliseconds.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Its breaker, or the tenant's own for it, is open.
    #[error("the breaker of {} is open", match .0.scope { Scope::Upstream => "this upstream", Scope::Tenant => "this tenant at this upstream" })]
    Breaker(Refusal),
    /// Too many requests are in flight.
    #[error("{0}")]
    Places(Refused),
}

impl Denied {
    /// Whether this is about the tenant and not about the upstream.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Breaker(refusal) => refusal.scope == Scope::Tenant,
            Self::Places(Refused::Full { .. }) => false,
            Self::Places(Refused::TenantShare { .. } | Refused::Reserve { .. }) => true,
        }
    }

    /// Seconds after which asking again may help.
    #[must_use]
    pub fn retry_after(&self) -> u32 {
        match self {
            Self::Breaker(refusal) => u32::try_from(refusal.retry_after_ms.div_ceil(1_000)).unwrap_or(u32::MAX).max(1),
            Self::Places(_) => 1,
        }
    }
}

impl Guard {
    /// One for an upstream that nothing is known of; `now` in milliseconds of the process's clock.
    #[must_use]
    pub fn new(metrics: UpstreamMetrics, now: u64) -> Self {
        Self {
            breaker: Arc::default(),
            admission: Arc::default(),
            budget: Budget::new(now),
            metrics,
            unwell: AtomicBool::new(false),
        }
    }

    /// Takes a place for a request of a tenant. Held until its answer has ended.
    ///
    /// # Errors
    /// [`Denied::Places`].
    pub fn enter(&self, limits: &Limits, tenant: TenantKey) -> Result<Permit, Denied> {
        self.admission.admit(&limits.places, tenant).map_err(|refused| {
            self.metrics.refused(refused.rule());
            Denied::Places(refused)
        })
    }

    /// Asks the breaker for leave to make one attempt.
    ///
    /// # Errors
    /// [`Denied::Breaker`].
    pub fn pass(&self, limits: &Limits, tenant: TenantKey, now: u64) -> Result<Pass, Denied> {
        match self.breaker.admit(&limits.breaker, tenant.half(), now) {
            Ok(pass) => {
                self.tell(pass.changes());
                Ok(pass)
            }
            Err(refusal) => {
                self.metrics.refused(match refusal.scope {
                    Scope::Upstream => "breaker",
                    Scope::Tenant => "tenant_breaker",
                });
                Err(Denied::Breaker(refusal))
            }
        }
    }

    /// Notes what a visit has shown of the upstream. A pass that is dropped instead says nothing of it.
    pub fn record(&self, limits: &Limits, pass: Pass, outcome: Outcome, now: u64, chance: f64) {
        let chance = (chance * f64::from(u32::MAX)) as u32;
        self.tell(self.breaker.record(&limits.breaker, pass, outcome, now, chance));
    }

    fn tell(&self, changes: Changes) {
        if let Some(state) = changes.upstream {
            self.metrics.breaker(state_name(state));
            match state {
                State::Open { .. } => tracing::warn!(upstream = %self.metrics.name(), "breaker opened"),
                State::HalfOpen => tracing::info!(upstream = %self.metrics.name(), "breaker lets trials through"),
                State::Closed => tracing::info!(upstream = %self.metrics.name(), "breaker closed"),
            }
        }
        if let Some(state) = changes.tenant {
            self.metrics.tenant_breaker(state_name(state));
        }
    }

    /// Whether anything is known against it: almost never, and then there is more to ask.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        self.is_unwell() || !self.breaker.is_untroubled()
    }

    /// Whether this proxy has reason to send a slot's requests elsewhere if it can: probes fail, or its breaker has closed
    /// too recently for this slot, or is open.
    #[must_use]
    pub fn is_shunned(&self, limits: &Limits, rank: u16, now: u64) -> bool {
        self.unwell.load(Relaxed)
            || !self.breaker.holds(&limits.breaker, rank, now)
            || self.breaker.state(now).is_open()
    }

    /// Notes what the probes of another stamp say.
    pub fn set_unwell(&self, unwell: bool) {
        self.unwell.store(unwell, Relaxed);
    }

    /// Whether its probes say that it cannot serve.
    #[must_use]
    pub fn is_unwell(&self) -> bool {
        self.unwell.load(Relaxed)
    }
}

/// A state's name in metrics and on pages.
#[must_use]
pub fn state_name(state: State) -> &'static str {
    match state {
        State::Closed => "closed",
        State::Open { .. } => "open",
        State::HalfOpen => "half_open",
    }
}
