//! `[tiers.NAME]`, `[[rate_limits]]`, `[rate_limiting]` and `[limits_store]` of the effective settings.

use serde_json::{Value, json};
use synaxis_ratelimit::quota::Quota;

use super::{Page, toml_text};
use crate::{
    settings::{LimitScope, LimitsStore, Quotas, RateLimit, RateLimiting, Tier},
    units::UNLIMITED,
};

pub(super) fn tier(page: &mut Page<'_>, one: &Tier) {
    let Tier { name, requests } = one;
    page.section(&format!("[tiers.{name}]"), &format!("tiers.{name}"));
    page.key("requests", json!(requests.as_ref().map_or_else(|| UNLIMITED.to_owned(), Quota::plain)));
    page.maybe("burst", requests.map(|quota| json!(quota.burst())));
}

pub(super) fn rate_limit(page: &mut Page<'_>, index: usize, one: &RateLimit, tiers: &[Tier]) {
    let RateLimit { name, key, quota, candidate, mode, scope } = one;
    page.section("[[rate_limits]]", &format!("rate_limits.{index}"));
    page.key("name", json!(name));
    page.list("key", key);
    quotas(page, ["quota", "burst"], quota, tiers);
    match candidate {
        Some(candidate) => quotas(page, ["candidate", "candidate_burst"], candidate, tiers),
        None => page.maybe("candidate", None),
    }
    page.key("mode", json!(mode.as_str()));
    page.key("scope", json!(scope.as_str()));
    if let LimitScope::Fleet { on_store_failure } = scope {
        page.key("on_store_failure", json!(on_store_failure.as_str()));
    }
}

fn quotas(page: &mut Page<'_>, [key, burst]: [&str; 2], quotas: &Quotas, tiers: &[Tier]) {
    match quotas {
        Quotas::Same(quota) => {
            page.key(key, json!(quota.plain()));
            page.key(burst, json!(quota.burst()));
        }
        Quotas::PerTier(quotas) => {
            let entries: Vec<String> =
                tiers.iter().zip(quotas).map(|(tier, quota)| of_tier(page, key, &tier.name, *quota)).collect();
            page.line(&format!("{key} = {{ {} }}", entries.join(", ")));
        }
    }
}

fn of_tier(page: &Page<'_>, key: &str, tier: &str, quota: Option<Quota>) -> String {
    let place = format!("{}.{key}.{tier}", page.at);
    let value = |place: &str, value: Value| toml_text(&page.written(place, value));
    match quota {
        // its origin may be that of the text alone, or of the text in a table
        Some(quota) => {
            let shown = match page.origins.of(&place) {
                Some(_) => value(&place, Value::Null),
                None => value(&format!("{place}.quota"), json!(quota.plain())),
            };
            format!("{tier} = {{ quota = {shown}, burst = {} }}", quota.burst())
        }
        None => format!("{tier} = {}", value(&place, json!(UNLIMITED))),
    }
}

pub(super) fn rate_limiting(page: &mut Page<'_>, one: &RateLimiting) {
    let RateLimiting { keys_max, tenant_keys_max, headers, legacy_headers, top_tenants } = one;
    page.section("[rate_limiting]", "rate_limiting");
    page.key("keys_max", json!(keys_max));
    page.key("tenant_keys_max", json!(tenant_keys_max));
    page.key("headers", json!(headers.as_str()));
    page.key("legacy_headers", json!(legacy_headers));
    page.key("top_tenants", json!(top_tenants));
}

pub(super) fn limits_store(page: &mut Page<'_>, one: &LimitsStore) {
    let LimitsStore { url, key_prefix, processes_max, deadline, denies_max } = one;
    page.section("[limits_store]", "limits_store");
    page.secret("url", "url_file", &url.to_string());
    page.key("key_prefix", json!(key_prefix));
    page.key("processes_max", json!(processes_max));
    page.duration("deadline", *deadline);
    page.key("denies_max", json!(denies_max));
}
