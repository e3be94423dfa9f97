//! Limits that limit nothing, or more than is meant.

use crate::{
    check::rate_limits::{TIER, is_fleet},
    fault::Findings,
    settings::{CacheAuthorization, LimitKey, OnStoreFailure},
    value::Shown,
    written::{Quotas, RateLimit, Written},
};

pub(super) fn warn(written: &Written, is_public: bool, findings: &Findings) {
    let limits = written.rate_limits.as_deref().unwrap_or_default();
    tiers(written, limits, findings);
    unused(written, limits, findings);
    for limit in limits {
        let choice = limit.on_store_failure.as_ref();
        if let Some(closed) = choice.filter(|choice| *choice.get_ref() == OnStoreFailure::Closed) {
            findings.warn(
                &closed.span(),
                "`on_store_failure` in [[rate_limits]]: while the store is away every request of this limit is refused; write \
                 \"share\", and each process admits its part",
            );
        }
        let addresses = limit.key.iter().flatten().filter(|part| *part.get_ref() == LimitKey::ClientIp);
        for part in addresses.filter(|_| is_public) {
            findings.warn(
                &part.span(),
                "`key` in [[rate_limits]]: Front Door comes from few addresses, so \"client_ip\" counts all its clients \
                 together; leave it out unless clients connect directly",
            );
        }
    }
    let url = written.limits_store.as_ref().and_then(|store| store.url.as_ref());
    let routing = written.routing.as_ref().and_then(|routing| routing.store.as_ref());
    if let (Some(url), Some(routing)) = (url, routing)
        && url.get_ref().is_database_of(routing.get_ref())
    {
        findings.warn(
            &url.span(),
            "`url` in [limits_store]: the routing table lies in the same database, and what fills or empties it takes the \
             table along; write another database, or better another server",
        );
    }
}

fn tiers(written: &Written, limits: &[RateLimit], findings: &Findings) {
    let Some(first) = written.tiers.iter().flatten().next() else { return };
    let has_default = written.tenant.tier.is_some()
        || written.tiers.iter().flatten().any(|tier| tier.name.get_ref().as_str() == TIER);
    if !has_default {
        findings.warn(
            &first.name.span(),
            "`tier` is missing in [tenant]: a tenant whose record in the routing table names no tier, or one that is not \
             here, is not limited by tiers; write the tier that it shall have",
        );
    }
    let is_table = |quotas: &Option<Quotas>| matches!(quotas, Some(Quotas::PerTier(..)));
    let has_table = limits.iter().any(|limit| is_table(&limit.quota) || is_table(&limit.candidate));
    let none_counts = written.routes.as_ref().is_some_and(|routes| routes.iter().all(|route| !route.tier_limit));
    if none_counts && !has_table {
        findings.warn(
            &first.name.span(),
            "every route says tier_limit = false, so [tiers.NAME] limits nothing; take that out of a route, or leave tiers out",
        );
    }
}

fn unused(written: &Written, limits: &[RateLimit], findings: &Findings) {
    let routes = written.routes.as_deref().unwrap_or_default();
    let is_named = |name: &str| routes.iter().flat_map(|route| &route.rate_limits).any(|limit| limit.get_ref() == name);
    for name in limits.iter().filter_map(|limit| limit.name.as_ref()).filter(|name| !is_named(name.get_ref())) {
        let message = format!(
            "no route asks for the limit {}, so it limits nothing; write its name into `rate_limits` of [[routes]]",
            Shown(name.get_ref())
        );
        findings.warn(&name.span(), message);
    }
    let tiers = written.tiers.as_deref().unwrap_or_default();
    let is_limited = tiers.iter().any(|tier| tier.requests != Some(None));
    let asks_for_user =
        limits.iter().flat_map(|limit| &limit.key).flatten().any(|part| *part.get_ref() == LimitKey::User);
    let keeps_per_user =
        written.cache.cache.classes.iter().any(|class| class.authorization == CacheAuthorization::PerUser);
    if let Some(user) = written.user.as_ref().filter(|_| !asks_for_user && !keeps_per_user) {
        findings.warn(
            &user.span(),
            "[user]: no limit has \"user\" in its `key` and no class of the cache keeps per user, so nobody asks for it; leave \
             it out",
        );
    }
    let fleet_counts = is_limited || limits.iter().any(|limit| is_fleet(limit, true));
    if let Some(store) = written.limits_store.as_ref().filter(|_| !fleet_counts) {
        findings.warn(
            &store.span,
            "[limits_store]: no limit is counted by the fleet, so nothing is counted there; leave it out, or write limits with \
             \"tenant\" in their `key`",
        );
    }
    if let Some(span) = written.rate_limiting_span.as_ref().filter(|_| !is_limited && limits.is_empty()) {
        findings.warn(span, "[rate_limiting]: there is no limit; leave it out, or write [[rate_limits]]");
    }
}
