//! Limits against tiers, users, the store and the routes that ask for them.

use std::collections::HashSet;

use http::HeaderName;
use synaxis_ratelimit::quota::Quota;
use toml::Spanned;

use crate::{
    fault::Findings,
    settings::{
        LimitKey, LimitScope, LimitsStore, OnStoreFailure, Quotas, RateLimit, TENANT_LIMIT, Tenant, Tier, User,
    },
    suggest,
    value::Shown,
    written::{self, ScopeRead},
};

/// The tier of tenants whose record names none, unless another one is written.
pub(super) const TIER: &str = "starter";

/// What limits take from other sections.
pub(super) struct Around<'a> {
    /// Where the user stands.
    pub(super) user: Option<&'a Spanned<User>>,
    /// Whether there is a `[limits_store]`, even a faulty one.
    pub(super) has_store: bool,
}

/// What passed.
pub(super) struct Limited {
    pub(super) tenant: Tenant,
    pub(super) tiers: Vec<Tier>,
    pub(super) rate_limits: Vec<RateLimit>,
}

/// `None` only when something was noted.
pub(super) fn settle(
    tenant: written::Tenant,
    tiers: Option<Vec<written::Tier>>,
    limits: Option<Vec<written::RateLimit>>,
    around: &Around<'_>,
    findings: &Findings,
) -> Option<Limited> {
    if let Some(user) = around.user.filter(|user| user.get_ref().header == tenant.header) {
        findings.fault(
            &user.span(),
            "[user] takes the same header as [tenant], so that every tenant would be one user; write another, such as \
             sources = [{ header = \"x-user-id\" }]",
        );
    }
    let tier = tiers.as_ref().and_then(|tiers| default_tier(tenant.tier.as_ref(), tiers, findings));
    let limits = limits.map(|limits| {
        let mut names = HashSet::new();
        let settled: Vec<_> = limits
            .into_iter()
            .map(|limit| {
                refuse_twin(&limit, &mut names, findings);
                rate_limit(limit, tiers.as_deref(), &tenant.header, around, findings)
            })
            .collect();
        settled.into_iter().collect::<Option<Vec<_>>>()
    });
    let tier_of = |tier: written::Tier| Some(Tier { name: tier.name.into_inner(), requests: tier.requests? });
    Some(Limited {
        tenant: Tenant { header: tenant.header, on_missing: tenant.on_missing, tier },
        tiers: tiers?.into_iter().map(tier_of).collect::<Option<_>>()?,
        rate_limits: limits??,
    })
}

/// `None` as well when there is none.
fn default_tier(written: Option<&Spanned<String>>, tiers: &[written::Tier], findings: &Findings) -> Option<usize> {
    let name = written.map_or(TIER, |name| name.get_ref().as_str());
    let position = tiers.iter().position(|tier| tier.name.get_ref() == name);
    if let (None, Some(written)) = (position, written) {
        findings.fault(&written.span(), unknown_tier("`tier` in [tenant]", name, tiers));
    }
    position
}

fn unknown_tier(at: &str, name: &str, tiers: &[written::Tier]) -> String {
    let known = tiers.iter().map(|tier| tier.name.get_ref().as_str());
    let cure = suggest::instead(name, known)
        .unwrap_or_else(|| "there are none; write requests = \"500/min\" below a line [tiers.starter]".to_owned());
    format!("{at}: no [tiers.NAME] is called {}; {cure}", Shown(name))
}

fn refuse_twin(limit: &written::RateLimit, names: &mut HashSet<String>, findings: &Findings) {
    let Some(name) = &limit.name else { return };
    if !names.insert(name.get_ref().clone()) {
        let message = format!("`name` in [[rate_limits]]: another limit above is called {} too", Shown(name.get_ref()));
        findings.fault(&name.span(), message);
    }
}

fn rate_limit(
    limit: written::RateLimit,
    tiers: Option<&[written::Tier]>,
    tenant: &HeaderName,
    around: &Around<'_>,
    findings: &Findings,
) -> Option<RateLimit> {
    refuse_parts(limit.key.as_deref().unwrap_or_default(), tenant, around, findings);
    refuse_tiers(&limit, findings);
    let scope = scope(&limit, around, findings);
    let quota = limit.quota.and_then(|quota| quotas("quota", quota, tiers, findings));
    let candidate = match limit.candidate {
        None => None,
        Some(candidate) => Some(quotas("candidate", candidate, tiers, findings)?),
    };
    Some(RateLimit {
        name: limit.name?.into_inner(),
        key: limit.key?.into_iter().map(Spanned::into_inner).collect(),
        quota: quota?,
        candidate,
        mode: limit.mode,
        scope: scope?,
    })
}

/// Parts of a key that would be the same for everybody, or are told by another word.
fn refuse_parts(key: &[Spanned<LimitKey>], tenant: &HeaderName, around: &Around<'_>, findings: &Findings) {
    for part in key {
        let why = match part.get_ref() {
            LimitKey::User if around.user.is_none() => {
                "nothing says where the user stands; write sources = [{ header = \"x-user-id\" }] below a line [user]"
            }
            LimitKey::Header(name) if name == tenant => "this field holds the tenant; write \"tenant\"",
            LimitKey::Header(name) if around.user.is_some_and(|user| user.get_ref().header == name) => {
                "this field holds the user; write \"user\""
            }
            _ => continue,
        };
        findings.fault(&part.span(), format!("`key` in [[rate_limits]]: {why}"));
    }
}

/// Without the tenant in the key, tenants of several tiers would draw from the same bucket.
fn refuse_tiers(limit: &written::RateLimit, findings: &Findings) {
    let Some(key) = &limit.key else { return };
    if key.iter().any(|part| *part.get_ref() == LimitKey::Tenant) {
        return;
    }
    for (name, quotas) in [("quota", &limit.quota), ("candidate", &limit.candidate)] {
        if let Some(written::Quotas::PerTier(span, _)) = quotas {
            let message = format!(
                "`{name}` in [[rate_limits]]: without \"tenant\" in `key`, tenants of all tiers are counted together; write \
                 one quota for all, or add \"tenant\""
            );
            findings.fault(span, message);
        }
    }
}

/// Whether the fleet counts; unless written, where it can. The keys of one call lie on one shard of the store: that of the
/// tenant.
pub(super) fn is_fleet(limit: &written::RateLimit, has_store: bool) -> bool {
    match limit.scope {
        ScopeRead::Fleet(_) => true,
        ScopeRead::Local => false,
        ScopeRead::Open | ScopeRead::Faulty => has_store && has_tenant(limit),
    }
}

/// A faulty key may have been meant with the tenant.
fn has_tenant(limit: &written::RateLimit) -> bool {
    limit.key.as_ref().is_none_or(|key| key.iter().any(|part| *part.get_ref() == LimitKey::Tenant))
}

fn scope(limit: &written::RateLimit, around: &Around<'_>, findings: &Findings) -> Option<LimitScope> {
    let written = limit.on_store_failure.as_ref();
    let why = match &limit.scope {
        ScopeRead::Faulty => return None,
        ScopeRead::Fleet(at) if !around.has_store => Some((
            at,
            "the fleet has no store to count in; write url = \"redis://127.0.0.1:6379/2\" below a line [limits_store], or \
             scope = \"local\"",
        )),
        ScopeRead::Fleet(at) if !has_tenant(limit) => Some((
            at,
            "the fleet counts by tenant, and the `key` has no \"tenant\" in it; add it, or write scope = \"local\"",
        )),
        _ => None,
    };
    if let Some((at, why)) = why {
        findings.fault(at, format!("`scope` in [[rate_limits]]: {why}"));
        return None;
    }
    if is_fleet(limit, around.has_store) {
        let on_store_failure = written.map_or(OnStoreFailure::Share, |choice| *choice.get_ref());
        return Some(LimitScope::Fleet { on_store_failure });
    }
    if let Some(written) = written {
        findings.fault(
            &written.span(),
            "`on_store_failure` in [[rate_limits]]: each process counts this limit for itself and needs no store; leave it \
             out, or let the fleet count: a [limits_store], \"tenant\" in the `key` and scope = \"fleet\"",
        );
        return None;
    }
    Some(LimitScope::Local)
}

/// Each tier has a quota: one that was forgotten would have none. `None` only when something was noted.
fn quotas(key: &str, quotas: written::Quotas, tiers: Option<&[written::Tier]>, findings: &Findings) -> Option<Quotas> {
    let (span, entries) = match quotas {
        written::Quotas::Same(quota) => return Some(Quotas::Same(quota)),
        written::Quotas::PerTier(span, entries) => (span, entries),
    };
    let (at, tiers) = (format!("`{key}` in [[rate_limits]]"), tiers?);
    let is_known = |name: &str| tiers.iter().any(|tier| tier.name.get_ref() == name);
    for (name, _) in entries.iter().filter(|(name, _)| !is_known(name.get_ref())) {
        findings.fault(&name.span(), unknown_tier(&at, name.get_ref(), tiers));
    }
    if entries.is_empty() {
        findings.fault(&span, format!("{at}: the table is empty; write one quota for all, such as \"500/min\""));
        return None;
    }
    let of = |tier: &written::Tier| -> Option<Option<Quota>> {
        let name = tier.name.get_ref();
        let Some((_, quota)) = entries.iter().find(|(written, _)| written.get_ref() == name) else {
            let shown = if Shown(name).is_harmless() { name } else { "NAME" };
            let message = format!(
                "{at}: the tier {} has none; write {shown} = \"500/min\", or {shown} = \"unlimited\"",
                Shown(name)
            );
            findings.fault(&span, message);
            return None;
        };
        *quota
    };
    let quotas: Vec<_> = tiers.iter().map(of).collect();
    quotas.into_iter().collect::<Option<_>>().map(Quotas::PerTier)
}

/// Positions of the limits that a route asks for. `None` only when something was noted.
pub(super) fn of_route(
    route: &written::Route,
    limits: Option<&[written::RateLimit]>,
    findings: &Findings,
) -> Option<Vec<usize>> {
    let limits = limits?;
    let known = || limits.iter().filter_map(|limit| limit.name.as_ref()).map(|name| name.get_ref().as_str());
    // one without a name may have been meant
    let all_known = limits.iter().all(|limit| limit.name.is_some());
    let mut positions = Vec::with_capacity(route.rate_limits.len());
    let mut is_good = true;
    for name in &route.rate_limits {
        let written = name.get_ref().as_str();
        let position =
            limits.iter().position(|limit| limit.name.as_ref().is_some_and(|name| name.get_ref() == written));
        let why = match position {
            Some(position) if !positions.contains(&position) => {
                positions.push(position);
                continue;
            }
            Some(_) => "this limit is listed twice".to_owned(),
            None if written == TENANT_LIMIT => {
                "`tenant` is the limit of [tiers.NAME]: every route has it, unless it says tier_limit = false"
                    .to_owned()
            }
            None if !all_known => {
                is_good = false;
                continue;
            }
            None => {
                let cure = suggest::instead(written, known()).unwrap_or_else(|| {
                    "there are none; write [[rate_limits]] with name, key = [\"tenant\", \"user\"] and quota = \"500/min\""
                        .to_owned()
                });
                format!("no limit of [[rate_limits]] is called {}; {cure}", Shown(written))
            }
        };
        findings.fault(&name.span(), format!("`rate_limits` in [[routes]]: {why}"));
        is_good = false;
    }
    is_good.then_some(positions)
}

/// `None` only when something was noted.
pub(super) fn store(store: written::LimitsStore) -> Option<LimitsStore> {
    Some(LimitsStore {
        url: store.url?.into_inner(),
        key_prefix: store.key_prefix,
        processes_max: store.processes_max,
        deadline: store.deadline,
        denies_max: store.denies_max,
    })
}
