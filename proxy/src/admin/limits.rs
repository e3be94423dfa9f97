//! How the limits of one tenant stand: `/limits/TENANT`.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use http::Response;
use serde::Serialize;
use synaxis_config::settings::LimitKey;
use synaxis_ratelimit::decision::Reading;
use synaxis_routing::id::TenantId;

use super::{
    View,
    access::Refusal,
    answers::{self, Reply},
    query::Query,
};
use crate::dataplane::limits::{Counting, Part, QuotaOf, fleet::FleetCounter, part_of_address};

/// What a tenant is limited by.
#[derive(Serialize)]
struct Page {
    tenant: TenantId,
    /// Name of its tier.
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<String>,
    limits: Vec<Row>,
    /// Quotas of its own that count nowhere here: no limit of that name tells tenants apart.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    unknown_overrides: BTreeMap<String, String>,
}

/// One limit, of whichever routes ask for it.
#[derive(Serialize)]
struct Row {
    limit: Arc<str>,
    key: Vec<String>,
    mode: &'static str,
    requests: u32,
    window_seconds: f64,
    burst: u32,
    quota_of: QuotaOf,
    /// Who counts by the settings: each process for itself, or the fleet.
    scope: &'static str,
    /// Who counts at present.
    counted_by: &'static str,
    /// How the bucket stands by which they do; only where the query says whose, and somebody counts.
    #[serde(flatten)]
    bucket: Option<Bucket>,
}

#[derive(Serialize)]
struct Bucket {
    /// Requests that may come at once.
    remaining: u32,
    /// Until one may; 0 if one may now.
    retry_seconds: u64,
    /// Until the bucket is full.
    reset_seconds: u64,
    /// Tokens that this process holds of what the fleet counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    leased: Option<u32>,
}

/// The tenant stands in the path; `user`, `route` and `client_ip` in the query.
pub(super) fn of_tenant(view: &View, tenant: &str, query: &str) -> Result<Response<Reply>, Refusal> {
    let query = Query::parse(query, &["user", "route", "client_ip"])?;
    let tenant =
        TenantId::parse(tenant.as_bytes()).map_err(|_| Refusal::QueryInvalid("the path ends with no tenant's id"))?;
    let snapshot = view.plane.snapshot.load();
    let terms = snapshot.limits.terms(&tenant);
    let own = view.plane.buckets.secret.tenant(tenant.as_str());
    let now = view.plane.clock.nanos(Instant::now());
    let part = |part: &LimitKey| match part {
        LimitKey::User => query.value("user").map(|user| Part::Text(user.as_bytes())),
        LimitKey::Route => query.value("route").map(|route| Part::Text(route.as_bytes())),
        LimitKey::ClientIp => query.value("client_ip").map(|address| part_of_address(address.as_bytes())),
        LimitKey::Tenant | LimitKey::Header(_) => None,
    };
    let limits = snapshot.limits.all().iter().filter_map(|limit| {
        let bound = limit.bound(terms)?;
        let fleet = match &bound.counting {
            Counting::Here(_) => None,
            Counting::Fleet(fleet) => Some(fleet),
        };
        let parts: Option<Vec<Part<'_>>> = limit.key.iter().filter(|key| **key != LimitKey::Tenant).map(part).collect();
        let bucket = parts.and_then(|parts| {
            let parts: Vec<&[u8]> = parts.iter().map(Part::as_bytes).collect();
            let key = limit.keys.key(limit.holder(own), &parts);
            let Reading { remaining, retry_seconds, reset_seconds } = bound.reading(key, now)?;
            Some(Bucket { remaining, retry_seconds, reset_seconds, leased: fleet.map(|fleet| fleet.leased(key, now)) })
        });
        let quota = bound.quota();
        Some(Row {
            limit: Arc::clone(&limit.name),
            key: limit.key.iter().map(ToString::to_string).collect(),
            mode: limit.mode.as_str(),
            requests: quota.requests(),
            window_seconds: quota.window().as_secs_f64(),
            burst: quota.burst(),
            quota_of: limit.quota_of(terms),
            scope: if fleet.is_some() { "fleet" } else { "local" },
            counted_by: fleet.map_or("process", FleetCounter::counted_by),
            bucket,
        })
    });
    let limits = limits.collect();
    let tier = terms.tier.and_then(|tier| snapshot.settings.tiers.get(tier)).map(|tier| tier.name.clone());
    let record = snapshot.fleet.as_ref().and_then(|fleet| fleet.placement.tenants().get(&tenant));
    let said = record.into_iter().flat_map(|record| record.limits.quotas());
    let unknown = said.filter(|(limit, _)| !snapshot.limits.takes_quotas(limit));
    let unknown_overrides = unknown.map(|(limit, quota)| (limit.to_owned(), quota.to_string())).collect();
    Ok(answers::document(&Page { tenant, tier, limits, unknown_overrides }))
}
