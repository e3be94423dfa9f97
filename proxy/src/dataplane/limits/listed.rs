//! The tenants that are limited otherwise than the rest: by another tier, or by quotas of their own.
//!
//! Invariant: a tenant that comes to a quota of its own, or to another one, or loses it, has no more tokens than it had
//! before. What it has spent is in its cells, which change their shape when they are next drawn from; a key without a cell
//! finds a limiter that was made of the one that counted for it until then.

use std::{collections::HashMap, sync::Arc};

use synaxis_config::settings::Settings;
use synaxis_ratelimit::quota::Quota;
use synaxis_routing::{
    id::TenantId,
    limits::TenantLimits,
    table::{Tenant, Tenants},
};

use super::{Bound, Limit};

/// Most limiters of tenants whose former quota still tells; those of further tenants begin like that of the first one.
const PENDING_MAX: usize = 4_096;

/// How one tenant is limited.
#[derive(Default)]
pub struct Terms {
    /// Position of its tier in the settings; `None` if it has none.
    pub tier: Option<usize>,
    /// What counts in place of what its tier or the limit says.
    own: Box<[Own]>,
}

struct Own {
    /// Position of the limit.
    limit: usize,
    bound: Arc<Bound>,
    /// Whether the table says so. Else it is the quota that the tenant would have anyway, after another one.
    is_said: bool,
}

impl Terms {
    /// What the limit at this position counts by; `None`: by what its tier or the limit says.
    pub(super) fn own(&self, limit: usize) -> Option<&Bound> {
        self.own.iter().find(|own| own.limit == limit).map(|own| &*own.bound)
    }

    /// Whether the table has a quota for it.
    pub(super) fn says(&self, limit: usize) -> bool {
        self.own.iter().any(|own| own.limit == limit && own.is_said)
    }
}

/// The tenants that are limited otherwise than the rest, of one table and one set of limits.
#[derive(Clone, Default)]
pub(super) struct Listed {
    /// What it was made of, so that it is not made again of the same.
    of: Option<Arc<Tenants>>,
    limits: Arc<[Limit]>,
    tiers: Vec<String>,
    /// Those of the rest.
    default: Arc<Terms>,
    others: Arc<HashMap<TenantId, Terms>>,
}

impl Listed {
    /// In place of `before`. `now` in nanoseconds of the process's clock.
    pub(super) fn new(
        settings: &Settings,
        tenants: Option<&Arc<Tenants>>,
        limits: &Arc<[Limit]>,
        before: &Self,
        now: u64,
    ) -> Self {
        let (default, tiers) = (settings.tier(None), settings.tiers.iter().map(|tier| tier.name.clone()).collect());
        let same_table = before.of.as_ref().map(Arc::as_ptr) == tenants.map(Arc::as_ptr);
        let same_tiers = before.tiers == tiers && before.default.tier == default;
        if same_table && same_tiers && Arc::ptr_eq(&before.limits, limits) {
            return before.clone();
        }
        let mut succession = Succession::new(before, limits, now);
        let (listed, unlisted) = (tenants.map(Arc::as_ref), Tenant::default());
        let gone = |(tenant, terms): &(&TenantId, &Terms)| {
            !terms.own.is_empty() && listed.is_none_or(|listed| !listed.contains_key(tenant))
        };
        let gone = before.others.iter().filter(gone).map(|(tenant, _)| (tenant, &unlisted));
        let mut others = HashMap::new();
        for (tenant, record) in listed.into_iter().flatten().chain(gone) {
            let tier = settings.tier(record.tier.as_deref());
            let own = succession.own(tenant, tier, &record.limits);
            if tier != default || !own.is_empty() {
                others.insert(*tenant, Terms { tier, own });
            }
        }
        let default = Arc::new(Terms { tier: default, own: Box::default() });
        Self { of: tenants.cloned(), limits: Arc::clone(limits), tiers, default, others: Arc::new(others) }
    }

    pub(super) fn terms(&self, tenant: &TenantId) -> &Terms {
        if self.others.is_empty() { &self.default } else { self.others.get(tenant).unwrap_or(&self.default) }
    }
}

/// Makes limiters out of those that counted before, few for many tenants.
struct Succession<'a> {
    before: &'a Listed,
    limits: &'a [Limit],
    /// Positions that the limits had before.
    places: Vec<Option<usize>>,
    now: u64,
    /// By limit and quota, of tenants whose former quota tells no more.
    settled: HashMap<(usize, Quota), Arc<Bound>>,
    /// By limit, quota and what counted before, of the others.
    pending: HashMap<(usize, Quota, usize), Arc<Bound>>,
}

impl<'a> Succession<'a> {
    fn new(before: &'a Listed, limits: &'a [Limit], now: u64) -> Self {
        let place = |limit: &Limit| before.limits.iter().position(|known| known.name == limit.name);
        let places = limits.iter().map(place).collect();
        Self { before, limits, places, now, settled: HashMap::new(), pending: HashMap::new() }
    }

    /// What counts for a tenant with these limits of its own.
    fn own(&mut self, tenant: &TenantId, tier: Option<usize>, said: &TenantLimits) -> Box<[Own]> {
        let former = self.before.terms(tenant);
        if said.is_empty() && former.own.is_empty() {
            return Box::default();
        }
        let limits = self.limits;
        // tenants that are counted together have one quota
        let own = limits.iter().enumerate().filter(|(_, limit)| limit.is_by_tenant).filter_map(|(at, limit)| {
            let place = self.places[at];
            let had_own = place.is_some_and(|place| former.own(place).is_some());
            let said = said.of(&limit.name);
            let quota = match said {
                Some(quota) => quota,
                None if had_own => limit.bounds.of(tier)?.quota(),
                None => return None,
            };
            // a process that has just begun has nothing to carry over
            let place = place.filter(|_| self.before.of.is_some());
            let former = place.and_then(|place| self.before.limits.get(place)?.bound(former));
            let bound = self.bound(at, quota, former);
            let is_needed = said.is_some() || !bound.is_settled(self.now);
            is_needed.then_some(Own { limit: at, bound, is_said: said.is_some() })
        });
        own.collect()
    }

    fn bound(&mut self, at: usize, quota: Quota, former: Option<&Bound>) -> Arc<Bound> {
        let limit = &self.limits[at];
        let Some(former) = former else {
            let fresh = || Arc::new(limit.make(quota, None, self.now));
            return Arc::clone(self.settled.entry((at, quota)).or_insert_with(fresh));
        };
        let is_full = self.pending.len() >= PENDING_MAX;
        // an address that stays taken: `before` holds it
        let key = (at, quota, former.identity());
        let bound = match self.pending.get(&key) {
            Some(bound) => Arc::clone(bound),
            None => Arc::new(limit.make(quota, Some(former), self.now)),
        };
        if bound.is_settled(self.now) || is_full {
            return Arc::clone(self.settled.entry((at, quota)).or_insert(bound));
        }
        Arc::clone(self.pending.entry(key).or_insert(bound))
    }
}
