//! `[tiers.NAME]`, `[[rate_limits]]`, `[rate_limiting]` and `[limits_store]`: how many requests somebody may make, and who
//! counts them.
//!
//! Invariant: what the fleet counts has the tenant in its key, and there is a store to count it in.

use std::{fmt, time::Duration};

use http::HeaderName;
pub use synaxis_ratelimit::fleet::verdict::OnStoreFailure;
use synaxis_ratelimit::quota::Quota;

use super::{Settings, StoreUrl};

/// Most of [`Settings::rate_limits`] that one route asks for.
pub const ROUTE_LIMITS_MAX: usize = 8;
/// Most tenants that have a metric of their own.
pub const TOP_TENANTS_MAX: usize = 50;
/// Name of the limit that the tiers make; no other limit has it.
pub const TENANT_LIMIT: &str = "tenant";

/// One of `[tiers.NAME]`: tenants that are limited alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Unique; what the routing table calls it.
    pub name: String,
    /// What each tenant of it may send, over all routes that count for it. `None`: any number.
    pub requests: Option<Quota>,
}

/// One of `[[rate_limits]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Unique and never [`TENANT_LIMIT`]; a label of logs and metrics, and what a refused client reads.
    pub name: String,
    /// Requests that agree in all of these are counted together. 1 to 4, each once; [`LimitKey::Tenant`] is among them
    /// unless the scope is [`LimitScope::Local`].
    pub key: Vec<LimitKey>,
    /// How many.
    pub quota: Quotas,
    /// Counted beside the quota, in buckets of its own, and without effect.
    pub candidate: Option<Quotas>,
    /// What becomes of a request beyond the quota.
    pub mode: LimitMode,
    /// Who counts.
    pub scope: LimitScope,
}

/// By what a limit tells requests apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LimitKey {
    /// The tenant.
    Tenant,
    /// The user; there is a [`Settings::user`] that says where it stands.
    User,
    /// The name of the route.
    Route,
    /// The address that the client connected from.
    ClientIp,
    /// A field of the request; neither that of the tenant nor that of the user, nor one that the proxy writes.
    Header(HeaderName),
}

impl fmt::Display for LimitKey {
    /// As the file writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant => f.write_str("tenant"),
            Self::User => f.write_str("user"),
            Self::Route => f.write_str("route"),
            Self::ClientIp => f.write_str("client_ip"),
            Self::Header(name) => write!(f, "header:{name}"),
        }
    }
}

/// Whose quota is which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Quotas {
    /// The same for everybody.
    Same(Quota),
    /// One for each of [`Settings::tiers`], in their order. `None`: any number.
    PerTier(Vec<Option<Quota>>),
}

impl Quotas {
    /// The quota of a tier, by its position in [`Settings::tiers`]. `None`: any number of requests, as for a tenant without
    /// a tier where each tier has a quota of its own.
    #[must_use]
    pub fn of(&self, tier: Option<usize>) -> Option<Quota> {
        match self {
            Self::Same(quota) => Some(*quota),
            Self::PerTier(quotas) => quotas.get(tier?).copied().flatten(),
        }
    }
}

/// What becomes of a request beyond its quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitMode {
    /// 429 `rate_limited`.
    Enforce,
    /// It passes, and is counted as one that would have been refused.
    Shadow,
}

impl LimitMode {
    /// Every mode.
    pub const ALL: [Self; 2] = [Self::Enforce, Self::Shadow];

    /// As the file writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Shadow => "shadow",
        }
    }
}

/// Who counts the requests of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitScope {
    /// Each process for itself, and each admits the whole quota.
    Local,
    /// All processes together, in [`Settings::limits_store`], which is there.
    Fleet {
        /// What a process does without the store.
        on_store_failure: OnStoreFailure,
    },
}

impl LimitScope {
    /// As the file writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Fleet { .. } => "fleet",
        }
    }
}

/// `[rate_limiting]`: what all limits of a process have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimiting {
    /// Keys that have a bucket of their own in memory; further ones of a tenant share one.
    pub keys_max: usize,
    /// The same for the keys of one tenant, over all limits; at most `keys_max`.
    pub tenant_keys_max: u32,
    /// What an answer that no limit refused says of the tightest one.
    pub headers: LimitFields,
    /// Whether `X-RateLimit-Limit`, `-Remaining` and `-Reset` stand wherever `RateLimit` does.
    pub legacy_headers: bool,
    /// Tenants whose requests have a metric of their own, those with the most; 0 to [`TOP_TENANTS_MAX`].
    pub top_tenants: usize,
}

/// What an answer that no limit refused says of its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitFields {
    /// Nothing.
    None,
    /// `RateLimit-Policy` and `RateLimit` of the tightest limit (draft-ietf-httpapi-ratelimit-headers-11).
    Draft,
}

impl LimitFields {
    /// Every choice.
    pub const ALL: [Self; 2] = [Self::None, Self::Draft];

    /// As the file writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Draft => "draft",
        }
    }
}

/// `[limits_store]`: where the processes of a region count together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitsStore {
    /// A Redis: `redis://` or `rediss://`.
    pub url: StoreUrl,
    /// First part of every key in it; 1 to 32 of a-z 0-9 -.
    pub key_prefix: String,
    /// Processes that count in it at a time, at most; 1 to 64.
    pub processes_max: u32,
    /// How long a request may wait for an answer of the store; 1 to 50 ms.
    pub deadline: Duration,
    /// Refusals that an entry remembers until their key may be asked for again; further ones are not remembered.
    pub denies_max: usize,
}

impl Settings {
    /// The limit that `requests` of the tiers make, by the name [`TENANT_LIMIT`]: counted by the fleet when there is a
    /// store, for every route with [`tier_limit`](super::Route::tier_limit). `None`: no tier is limited.
    #[must_use]
    pub fn tenant_limit(&self) -> Option<RateLimit> {
        let quotas: Vec<Option<Quota>> = self.tiers.iter().map(|tier| tier.requests).collect();
        quotas.iter().any(Option::is_some).then(|| RateLimit {
            name: TENANT_LIMIT.to_owned(),
            key: vec![LimitKey::Tenant],
            quota: Quotas::PerTier(quotas),
            candidate: None,
            mode: LimitMode::Enforce,
            scope: match self.limits_store {
                Some(_) => LimitScope::Fleet { on_store_failure: OnStoreFailure::Share },
                None => LimitScope::Local,
            },
        })
    }

    /// Position in [`Settings::tiers`] of the tier of a tenant whose record names `tier`: where it names none, or one that
    /// this file does not know, that of `[tenant]`. `None`: it has no tier.
    #[must_use]
    pub fn tier(&self, tier: Option<&str>) -> Option<usize> {
        let named = tier.and_then(|name| self.tiers.iter().position(|tier| tier.name == name));
        named.or(self.tenant.tier)
    }
}
