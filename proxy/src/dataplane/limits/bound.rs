//! One quota of a limit and who counts it, and which of a limit's quotas is whose.
//!
//! Invariant: a quota that stays the same goes on with the same buckets.

use std::sync::Arc;

use http::HeaderValue;
use synaxis_config::settings::{Quotas, Settings};
use synaxis_ratelimit::{
    cells::Cells,
    decision::Reading,
    fleet::verdict::OnStoreFailure,
    key::{Key, Keys},
    local::Limiter,
    quota::Quota,
};

use super::fleet::{self, FleetCounter};

/// What counters of one limit are made of.
#[derive(Clone)]
pub(super) enum Making {
    Here(Arc<Cells>),
    Fleet(fleet::Making),
}

/// Whose quota is which, each with its limiter.
pub enum Bounds {
    /// The same for everybody.
    Same(Bound),
    /// One for each tier of the settings, by its name and in their order; `None`: any number of requests.
    PerTier(Vec<(String, Option<Bound>)>),
}

/// One quota.
#[derive(Clone)]
pub struct Bound {
    /// Who counts.
    pub counting: Counting,
    /// The quota in the words of `RateLimit-Policy`.
    pub policy: HeaderValue,
}

/// Who counts the requests of a quota.
#[derive(Clone)]
pub enum Counting {
    /// This process for itself.
    Here(Arc<Limiter>),
    /// All processes of the region together.
    Fleet(FleetCounter),
}

impl Bound {
    /// In place of `before`, whose buckets go on as long as the same counts them.
    pub(super) fn new(
        quota: Quota,
        before: Option<&Self>,
        (name, keys, making): (&str, &Keys, &Making),
        now: u64,
    ) -> Self {
        let before = before.map(|before| &before.counting);
        let counting = match (making, before) {
            (Making::Fleet(making), _) => Counting::Fleet(FleetCounter::new(quota, making)),
            (Making::Here(_), Some(Counting::Here(limiter))) if limiter.quota() == quota => {
                Counting::Here(Arc::clone(limiter))
            }
            (Making::Here(_), Some(Counting::Here(limiter))) => {
                Counting::Here(Arc::new(limiter.with_quota(quota, now)))
            }
            (Making::Here(cells), _) => Counting::Here(Arc::new(Limiter::new(quota, keys.clone(), Arc::clone(cells)))),
        };
        Self { counting, policy: policy(name, quota) }
    }

    /// Its quota.
    #[must_use]
    pub fn quota(&self) -> Quota {
        match &self.counting {
            Counting::Here(limiter) => limiter.quota(),
            Counting::Fleet(fleet) => fleet.plan.quota(),
        }
    }

    /// How the bucket of a key stands that decides at present, as far as this process knows; `None`: none does. `now` in
    /// nanoseconds of the process's clock.
    #[must_use]
    pub fn reading(&self, key: Key, now: u64) -> Option<Reading> {
        match &self.counting {
            Counting::Here(limiter) => Some(limiter.peek(key, now).reading()),
            Counting::Fleet(fleet) => fleet.reading(key, now),
        }
    }

    /// Whether what counted before no longer tells. What the fleet has counted its store carries over.
    pub(super) fn is_settled(&self, now: u64) -> bool {
        match &self.counting {
            Counting::Here(limiter) => limiter.is_settled(now),
            Counting::Fleet(..) => true,
        }
    }

    /// The address of what counts.
    pub(super) fn identity(&self) -> usize {
        match &self.counting {
            Counting::Here(limiter) => Arc::as_ptr(limiter).addr(),
            Counting::Fleet(fleet) => Arc::as_ptr(&fleet.plan).addr(),
        }
    }
}

impl Counting {
    /// Who counts, for people; `alone`: without the store of the fleet.
    #[must_use]
    pub fn by(&self, alone: bool) -> &'static str {
        match self {
            Self::Here(_) => "process",
            Self::Fleet(fleet) => fleet.by(alone),
        }
    }

    pub(super) fn overshoot(&self) -> f64 {
        match self {
            Self::Here(_) => 0.0,
            Self::Fleet(fleet) if fleet.on_failure == OnStoreFailure::Open => f64::INFINITY,
            Self::Fleet(fleet) => f64::from(fleet.plan.overshoot_bound()),
        }
    }
}

impl Bounds {
    pub(super) fn new(
        quotas: &Quotas,
        settings: &Settings,
        before: Option<&Self>,
        make: impl Fn(Quota, Option<&Bound>) -> Bound,
    ) -> Self {
        match quotas {
            Quotas::Same(quota) => {
                let known = before.and_then(|before| if let Self::Same(bound) = before { Some(bound) } else { None });
                Self::Same(make(*quota, known))
            }
            Quotas::PerTier(quotas) => {
                let known = |name: &str| {
                    let Some(Self::PerTier(before)) = before else { return None };
                    before.iter().find(|(known, _)| known == name)?.1.as_ref()
                };
                let tiers = settings.tiers.iter().map(|tier| &tier.name).zip(quotas);
                Self::PerTier(
                    tiers.map(|(name, quota)| (name.clone(), quota.map(|quota| make(quota, known(name))))).collect(),
                )
            }
        }
    }

    /// Each of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Bound> {
        let (same, per_tier) = match self {
            Self::Same(bound) => (Some(bound), &[][..]),
            Self::PerTier(tiers) => (None, &tiers[..]),
        };
        same.into_iter().chain(per_tier.iter().filter_map(|(_, bound)| bound.as_ref()))
    }

    /// That of a tier.
    #[must_use]
    pub fn of(&self, tier: Option<usize>) -> Option<&Bound> {
        match self {
            Self::Same(bound) => Some(bound),
            Self::PerTier(tiers) => tiers.get(tier?)?.1.as_ref(),
        }
    }
}

/// `"NAME";q=500;w=60` (draft-ietf-httpapi-ratelimit-headers-11, section 3). Windows are whole seconds there: a shorter rest
/// is rounded up.
fn policy(name: &str, quota: Quota) -> HeaderValue {
    let window = quota.window();
    let seconds = window.as_secs() + u64::from(window.subsec_nanos() > 0);
    let text = format!("\"{name}\";q={};w={seconds}", quota.requests());
    // names of limits are letters, digits and dashes
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("\"limit\""))
}
