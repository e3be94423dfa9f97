//! What limits requests here: the limits as they should be ([`Limits`], part of the snapshot) and what has been spent
//! ([`Buckets`], which outlives it).
//!
//! Invariant: a bucket outlives every snapshot. A reload or a table that changes a quota hands the bucket on, so nobody gets
//! a fresh one by it.

mod bound;
pub mod fleet;
mod listed;
#[cfg(test)]
mod tests;

use std::{net::IpAddr, sync::Arc};

use metrics::Counter;
use synaxis_config::settings::{LimitKey, LimitMode, Quotas, RateLimit, Route, Settings};
use synaxis_ratelimit::{
    cells::{Caps, Cells, Counts},
    key::{Keys, Secret, Tenant as Holder},
    quota::Quota,
};
use synaxis_routing::{id::TenantId, table::Tenants};

pub use bound::{Bound, Bounds, Counting};
pub use listed::Terms;

use crate::telemetry::metrics::Metrics;
use bound::Making;
use fleet::FleetBuckets;
use listed::Listed;

/// What has been spent, of all limits of a process.
pub struct Buckets {
    /// Makes keys that nobody can guess.
    pub secret: Secret,
    /// What is counted together with other processes, if there is a store to do it in.
    pub fleet: Option<Arc<FleetBuckets>>,
    cells: Arc<Cells>,
}

impl Buckets {
    /// Nothing has been spent. `secret` is 32 bytes that nobody can guess.
    #[must_use]
    pub fn new(secret: [u8; 32], settings: &Settings, fleet: Option<Arc<FleetBuckets>>) -> Self {
        Self { secret: Secret::new(secret), fleet, cells: Arc::new(Cells::new(caps(settings))) }
    }

    /// Forgets buckets that are full again, a part of all at a time. `now` in nanoseconds of the process's clock.
    pub fn sweep(&self, now: u64) {
        self.cells.sweep(Cells::SHARDS.div_ceil(SWEEPS), now);
        if let Some(fleet) = &self.fleet {
            fleet.sweep(now);
        }
    }

    /// How many are kept, and how often there was no room for one.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let (here, fleet) = (self.cells.counts(), self.fleet.as_ref().map(|fleet| fleet.counts()));
        match fleet {
            Some(fleet) => Counts { keys: here.keys + fleet.keys, shared: here.shared + fleet.shared },
            None => here,
        }
    }
}

fn caps(settings: &Settings) -> Caps {
    Caps { keys_max: settings.rate_limiting.keys_max, tenant_keys_max: settings.rate_limiting.tenant_keys_max }
}

/// Calls of [`Buckets::sweep`] that look at all of them once.
const SWEEPS: usize = 4;

/// The limits of the settings, with the tenants of the table that are limited otherwise than the rest.
#[derive(Default)]
pub struct Limits {
    /// That of the tiers first, if they make one. Another table leaves them as they are.
    limits: Arc<[Limit]>,
    has_tenant_limit: bool,
    listed: Listed,
}

/// One limit.
pub struct Limit {
    /// Its name, for clients, logs and metrics.
    pub name: Arc<str>,
    /// What tells requests apart.
    pub key: Vec<LimitKey>,
    is_by_tenant: bool,
    /// What becomes of a request beyond it.
    pub mode: LimitMode,
    /// Makes its keys.
    pub keys: Keys,
    /// What is counted beside it, without effect.
    pub candidate: Option<(Keys, Bounds)>,
    /// Its counters.
    pub metrics: LimitMetrics,
    /// Its position among all of them.
    at: usize,
    bounds: Bounds,
    making: Making,
}

/// Where the quota comes from that a tenant is limited by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum QuotaOf {
    /// The routing table has one for this tenant.
    Tenant,
    /// The limit has one for each tier.
    Tier,
    /// The limit has one for everybody.
    Limit,
}

/// What tells requests apart that a limit counts.
pub enum Part<'a> {
    /// As it was received.
    Text(&'a [u8]),
    /// An IPv4 address.
    V4([u8; 4]),
    /// The network of an IPv6 address: one client has all addresses of a /64.
    V6([u8; 8]),
}

impl Part<'_> {
    /// As it goes into a key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text,
            Self::V4(address) => address,
            Self::V6(network) => network,
        }
    }
}

/// An address as written, or the text if it is none.
#[must_use]
pub fn part_of_address(text: &[u8]) -> Part<'_> {
    match std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()) {
        Some(IpAddr::V4(address)) => Part::V4(address.octets()),
        Some(IpAddr::V6(address)) => {
            let [a, b, c, d, e, f, g, h, ..] = address.octets();
            Part::V6([a, b, c, d, e, f, g, h])
        }
        None => Part::Text(text),
    }
}

/// Counters of one limit's decisions.
pub struct LimitMetrics {
    /// Requests that passed.
    pub allowed: Counter,
    /// Requests that were refused.
    pub refused: Counter,
    /// Requests that were refused because another stamp had refused the like a moment ago.
    pub remembered: Counter,
    /// Requests that would have been refused if it were enforced.
    pub shadow_refused: Counter,
    /// Requests that the candidate quota would have refused.
    pub candidate_refused: Counter,
}

impl Limits {
    /// The limits of these settings, in place of `before`. `now` in nanoseconds of the process's clock.
    #[must_use]
    pub fn new(settings: &Settings, before: Option<&Self>, means: (&Buckets, &Metrics), now: u64) -> Self {
        let of_tiers = settings.tenant_limit();
        let has_tenant_limit = of_tiers.is_some();
        let known = |limit: &RateLimit| before?.limits.iter().find(|known| *known.name == *limit.name);
        let limits = of_tiers.iter().chain(&settings.rate_limits);
        let limit = |(at, limit): (usize, &RateLimit)| Limit::new((at, limit), settings, known(limit), means, now);
        let limits = limits.enumerate().map(limit).collect();
        Self { limits, has_tenant_limit, listed: before.map(|before| before.listed.clone()).unwrap_or_default() }
    }

    /// The same limits with the tiers and the quotas of this table's tenants. `now` in nanoseconds of the process's clock.
    #[must_use]
    pub fn with_tenants(&self, settings: &Settings, tenants: Option<&Arc<Tenants>>, now: u64) -> Self {
        let listed = Listed::new(settings, tenants, &self.limits, &self.listed, now);
        Self { limits: Arc::clone(&self.limits), has_tenant_limit: self.has_tenant_limit, listed }
    }

    /// Whether nothing is limited on this route.
    #[must_use]
    pub fn spares(&self, route: &Route) -> bool {
        self.limits.is_empty() || (route.rate_limits.is_empty() && !(self.has_tenant_limit && route.tier_limit))
    }

    /// The limits of a route, that of the tenant's tier first.
    pub fn of_route<'a>(&'a self, route: &'a Route) -> impl Iterator<Item = &'a Limit> {
        let first = usize::from(self.has_tenant_limit);
        let of_tier = self.limits.iter().take(first).filter(|_| route.tier_limit);
        of_tier.chain(route.rate_limits.iter().filter_map(move |at| self.limits.get(first + at)))
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Limit] {
        &self.limits
    }

    /// How a tenant is limited.
    #[must_use]
    pub fn terms(&self, tenant: &TenantId) -> &Terms {
        self.listed.terms(tenant)
    }

    /// Whether the table may have a quota of a tenant's own for a limit of this name.
    #[must_use]
    pub fn takes_quotas(&self, limit: &str) -> bool {
        self.limits.iter().any(|known| known.is_by_tenant && *known.name == *limit)
    }
}

impl Limit {
    fn new(
        (at, limit): (usize, &RateLimit),
        settings: &Settings,
        before: Option<&Self>,
        (buckets, metrics): (&Buckets, &Metrics),
        now: u64,
    ) -> Self {
        let keys = Keys::new(&buckets.secret, &limit.name);
        let making = fleet::making(limit, settings, buckets);
        let making = making.map_or_else(|| Making::Here(Arc::clone(&buckets.cells)), Making::Fleet);
        let make = |quotas: &Quotas, keys: &Keys, before: Option<&Bounds>| {
            Bounds::new(quotas, settings, before, |quota, before| {
                Bound::new(quota, before, (&limit.name, keys, &making), now)
            })
        };
        let candidate = limit.candidate.as_ref().map(|quotas| {
            let before = before.and_then(|before| before.candidate.as_ref()).map(|(_, bounds)| bounds);
            // no name of a limit has a space, so these buckets are its own
            let keys = Keys::new(&buckets.secret, &format!("{} candidate", limit.name));
            let bounds = make(quotas, &keys, before);
            (keys, bounds)
        });
        let bounds = make(&limit.quota, &keys, before.map(|before| &before.bounds));
        let overshoot = bounds.all().map(|bound| bound.counting.overshoot()).fold(0.0, f64::max);
        metrics.limit_overshoot(&limit.name).set(overshoot);
        Self {
            name: limit.name.as_str().into(),
            key: limit.key.clone(),
            is_by_tenant: limit.key.contains(&LimitKey::Tenant),
            mode: limit.mode,
            keys,
            candidate,
            metrics: LimitMetrics::new(metrics, &limit.name),
            at,
            bounds,
            making,
        }
    }

    fn make(&self, quota: Quota, before: Option<&Bound>, now: u64) -> Bound {
        Bound::new(quota, before, (&self.name, &self.keys, &self.making), now)
    }

    /// In whose name it counts: the tenant's, unless it does not tell tenants apart.
    #[must_use]
    pub fn holder(&self, tenant: Holder) -> Holder {
        if self.is_by_tenant { tenant } else { Holder::NOBODY }
    }

    /// What bounds a tenant on these terms; `None`: nothing does.
    #[must_use]
    pub fn bound<'a>(&'a self, terms: &'a Terms) -> Option<&'a Bound> {
        terms.own(self.at).or_else(|| self.bounds.of(terms.tier))
    }

    /// Where the quota of [`bound`](Self::bound) comes from.
    #[must_use]
    pub fn quota_of(&self, terms: &Terms) -> QuotaOf {
        match self.bounds {
            _ if terms.says(self.at) => QuotaOf::Tenant,
            Bounds::PerTier(_) => QuotaOf::Tier,
            Bounds::Same(_) => QuotaOf::Limit,
        }
    }
}

impl LimitMetrics {
    fn new(metrics: &Metrics, limit: &str) -> Self {
        let decision = |decision| metrics.limit_counter(limit, decision);
        Self {
            allowed: decision("allowed"),
            refused: decision("refused"),
            remembered: decision("remembered"),
            shadow_refused: decision("shadow_refused"),
            candidate_refused: decision("candidate_refused"),
        }
    }
}
