//! Tiers and limits of new settings: all of them change at once, and are compared by name; only the buckets are as many
//! as at the start, and the store in which the fleet counts is opened once.

use super::Found;
use crate::settings::{LimitsStore, Quotas, RateLimit, RateLimiting, Settings, Tier, User};

pub(super) fn compare(running: &Settings, wanted: &mut Settings, found: &mut Found) {
    match (&running.user, &mut wanted.user) {
        (Some(old), Some(new)) => {
            compare!(found, "user", old => new, User { now: [], restart: [], apart: [header] });
            if old.header != new.header {
                found.applied.push("user.sources".into());
            }
        }
        (None, None) => {}
        _ => found.applied.push("user".into()),
    }
    tiers(running, wanted, found);
    rate_limits(running, wanted, found);
    compare!(found, "rate_limiting", running.rate_limiting => wanted.rate_limiting, RateLimiting {
        now: [headers, legacy_headers, top_tenants],
        restart: [keys_max, tenant_keys_max],
        apart: []
    });
    match (&running.limits_store, &mut wanted.limits_store) {
        (Some(old), Some(new)) => compare!(found, "limits_store", old => new, LimitsStore {
            now: [processes_max, denies_max],
            restart: [url, key_prefix, deadline],
            apart: []
        }),
        (None, None) => {}
        (old, new) => {
            found.pending.push("limits_store".into());
            new.clone_from(old);
        }
    }
}

fn tiers(running: &Settings, wanted: &Settings, found: &mut Found) {
    for old in &running.tiers {
        let section = format!("tiers.{}", old.name);
        match wanted.tiers.iter().find(|tier| tier.name == old.name) {
            Some(new) => compare!(found, section, old => new, Tier { now: [requests], restart: [], apart: [name] }),
            None => found.applied.push(section),
        }
    }
    let is_new = |tier: &&Tier| !running.tiers.iter().any(|old| old.name == tier.name);
    found.applied.extend(wanted.tiers.iter().filter(is_new).map(|tier| format!("tiers.{}", tier.name)));
    if tier_name(running, running.tenant.tier) != tier_name(wanted, wanted.tenant.tier) {
        found.applied.push("tenant.tier".into());
    }
}

/// A position means nothing when tiers came or went.
fn tier_name(settings: &Settings, position: Option<usize>) -> Option<&str> {
    settings.tiers.get(position?).map(|tier| tier.name.as_str())
}

fn rate_limits(running: &Settings, wanted: &Settings, found: &mut Found) {
    for old in &running.rate_limits {
        let section = format!("rate_limits.{}", old.name);
        let Some(new) = wanted.rate_limits.iter().find(|limit| limit.name == old.name) else {
            found.applied.push(section);
            continue;
        };
        compare!(found, section, old => new, RateLimit {
            now: [key, mode, scope],
            restart: [],
            apart: [name, quota, candidate]
        });
        let both = [("quota", Some(&old.quota), Some(&new.quota))];
        for (key, old, new) in both.into_iter().chain([("candidate", old.candidate.as_ref(), new.candidate.as_ref())]) {
            if old.map(|old| by_name(running, old)) != new.map(|new| by_name(wanted, new)) {
                found.applied.push(format!("{section}.{key}"));
            }
        }
    }
    let is_new = |limit: &&RateLimit| !running.rate_limits.iter().any(|old| old.name == limit.name);
    let new = wanted.rate_limits.iter().filter(is_new);
    found.applied.extend(new.map(|limit| format!("rate_limits.{}", limit.name)));
}

/// Quotas with the names of their tiers, in the order of the names; those of everybody without one.
fn by_name<'s>(settings: &'s Settings, quotas: &Quotas) -> Vec<(&'s str, Option<synaxis_ratelimit::quota::Quota>)> {
    match quotas {
        Quotas::Same(quota) => vec![("", Some(*quota))],
        Quotas::PerTier(quotas) => {
            let mut named: Vec<_> =
                settings.tiers.iter().zip(quotas).map(|(tier, quota)| (tier.name.as_str(), *quota)).collect();
            named.sort_by_key(|(name, _)| *name);
            named
        }
    }
}

/// The names of the limits that a route asks for.
pub(super) fn of_route<'s>(settings: &'s Settings, positions: &[usize]) -> Vec<&'s str> {
    positions.iter().filter_map(|position| settings.rate_limits.get(*position)).map(|one| one.name.as_str()).collect()
}
