//! `[upstreams.NAME]`, `[peers]` and `[retries]`: who serves, within which caps, and how often it is tried.

use std::time::Duration;

use toml::Spanned;

use super::{
    HOUR, MINUTE,
    breaker::breaker,
    health::{self, HEALTH_CHECK},
    name,
};
use crate::{
    describe::Need,
    fault::Span,
    section::Section,
    settings::{self, HealthCheck, HttpEndpoint, Outliers, Probing, Protection, Retries},
    value::{count, duration, share, share_above_zero, size, text},
};

/// Most upstreams.
const UPSTREAMS_MAX: usize = 256;
/// Most endpoints of one upstream.
const ENDPOINTS_MAX: usize = 64;
/// Most idle connections that a worker keeps for one upstream.
const IDLE_MAX: usize = 65_536;
/// Most requests in flight on one target.
const IN_FLIGHT_MAX: usize = 1 << 20;
/// Most attempts of one request.
const ATTEMPTS_MAX: u32 = 10;
/// Most retries a second beside the budget.
const BUDGET_MIN_MAX: u32 = 100_000;
/// Most bytes of a body that wait for another attempt.
const REPLAY_BYTES_MAX: usize = 1 << 20;

/// One of `[upstreams.NAME]` as written.
pub(crate) struct Upstream {
    pub(crate) name: Spanned<String>,
    pub(crate) endpoints: Vec<Spanned<HttpEndpoint>>,
    pub(crate) idle_max: usize,
    pub(crate) protected: Protected,
    pub(crate) health_check: Option<HealthCheck>,
    pub(crate) outliers: Outliers,
}

/// What keeps a target from being overrun, and where that is written.
pub(crate) struct Protected {
    pub(crate) protection: Protection,
    pub(crate) in_flight_span: Span,
    pub(crate) breaker_span: Span,
}

/// `[peers]` as written.
pub(crate) struct Peers {
    pub(crate) protected: Protected,
    pub(crate) health_check: Probing,
}

/// `None`: there are no upstreams, which was noted.
pub(super) fn upstreams(file: &mut Section<'_>) -> Option<Vec<Upstream>> {
    if !file.has("upstreams") {
        let cure = "write endpoints = [\"http://127.0.0.1:9001\"] below a line [upstreams.app]";
        let why = format!("[upstreams.NAME] is missing; {cure}");
        file.missing_because("upstreams", Need::Always(String::new()), &why);
    }
    Some(file.named("upstreams", UPSTREAMS_MAX)?.into_iter().map(|(name, section)| upstream(name, section)).collect())
}

fn upstream(written: Spanned<String>, section: Section<'_>) -> Upstream {
    section.read(|s| {
        if let Err(wrong) = name(written.get_ref()) {
            s.fault(&written.span(), format!("[upstreams.NAME]: {wrong}"));
        }
        if !s.has("endpoints") {
            s.missing("endpoints", "endpoints = [\"http://127.0.0.1:9001\"]");
        }
        Upstream {
            name: written,
            endpoints: s.list("endpoints", 1..=ENDPOINTS_MAX, text(HttpEndpoint::parse)).unwrap_or_default(),
            idle_max: s.or("idle_max", 256, count(0..=IDLE_MAX)),
            protected: protected(s),
            health_check: health::health_check(s.section("health_check")),
            outliers: health::outliers(s.section("outliers")),
        }
    })
}

pub(super) fn peers(section: Section<'_>) -> Peers {
    section.read(|s| Peers {
        protected: protected(s),
        health_check: s.section("health_check").read(|s| {
            s.refuse("path", "every stamp is asked for /health at its peer listener");
            health::probing(s, &HEALTH_CHECK)
        }),
    })
}

fn protected(s: &mut Section<'_>) -> Protected {
    let in_flight_max = s.spanned_or("in_flight_max", 1024, count(1..=IN_FLIGHT_MAX));
    let section = s.section("breaker");
    Protected {
        in_flight_span: in_flight_max.span(),
        breaker_span: section.span(),
        protection: Protection {
            in_flight_max: in_flight_max.into_inner(),
            tenant_share_max: s.or("tenant_share_max", 0.75, share_above_zero()),
            breaker: breaker(section),
            recovery: s.or("recovery", Duration::from_secs(30), duration(Duration::ZERO..=HOUR)),
        },
    }
}

pub(super) fn retries(section: Section<'_>) -> Retries {
    section.read(|s| {
        let backoff = s.or("backoff", Duration::from_millis(100), duration(Duration::ZERO..=MINUTE));
        let longest =
            s.spanned_or("backoff_max", Duration::from_secs(2).max(backoff), duration(Duration::ZERO..=MINUTE));
        if *longest.get_ref() < backoff {
            s.clash(["backoff_max", "backoff"], &longest.span(), "it cannot be less than `backoff`; write more");
        }
        Retries {
            attempts_max: s.or("attempts_max", 4, count(1..=ATTEMPTS_MAX)),
            backoff,
            backoff_max: longest.into_inner(),
            budget: s.or("budget", 0.1, share()),
            budget_min: s.or("budget_min", 3, count(0..=BUDGET_MIN_MAX)),
            replay_bytes: s.or("replay_bytes", 64 << 10, size(0..=REPLAY_BYTES_MAX)),
        }
    })
}

impl Upstream {
    /// As run.
    pub(crate) fn settled(self) -> settings::Upstream {
        settings::Upstream {
            name: self.name.into_inner(),
            endpoints: self.endpoints.into_iter().map(Spanned::into_inner).collect(),
            idle_max: self.idle_max,
            protection: self.protected.protection,
            health_check: self.health_check,
            outliers: self.outliers,
        }
    }
}

impl Peers {
    /// As run.
    pub(crate) fn settled(self) -> settings::Peers {
        settings::Peers { protection: self.protected.protection, health_check: self.health_check }
    }
}
