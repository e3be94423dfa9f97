//! `[upstreams.NAME]`, `[peers]` and `[retries]` of the effective settings.

use serde_json::json;

use super::{Page, size};
use crate::settings::{Breaker, HealthCheck, Outliers, Peers, Probing, Protection, Retries, Upstream};

pub(super) fn upstream(page: &mut Page<'_>, one: &Upstream) {
    let Upstream { name, endpoints, idle_max, protection, health_check, outliers } = one;
    let path = format!("upstreams.{name}");
    page.section(&format!("[{path}]"), &path);
    let endpoints: Vec<String> = endpoints.iter().map(|endpoint| format!("http://{endpoint}")).collect();
    page.list("endpoints", &endpoints);
    page.key("idle_max", json!(idle_max));
    caps(page, protection);
    match health_check {
        Some(HealthCheck { path: asked, probing: how }) => {
            page.section(&format!("[{path}.health_check]"), &format!("{path}.health_check"));
            page.key("path", json!(asked));
            probing(page, how);
        }
        None => page.maybe("health_check", None),
    }
    breaker(page, &path, &protection.breaker);
    let Outliers { failures, window, ejection, ejection_max } = outliers;
    page.section(&format!("[{path}.outliers]"), &format!("{path}.outliers"));
    page.key("failures", json!(failures));
    page.duration("window", *window);
    page.duration("ejection", *ejection);
    page.duration("ejection_max", *ejection_max);
}

pub(super) fn peers(page: &mut Page<'_>, one: &Peers) {
    let Peers { protection, health_check } = one;
    page.section("[peers]", "peers");
    caps(page, protection);
    page.section("[peers.health_check]", "peers.health_check");
    probing(page, health_check);
    breaker(page, "peers", &protection.breaker);
}

/// What stands in the section of the target itself.
fn caps(page: &mut Page<'_>, protection: &Protection) {
    let Protection { in_flight_max, tenant_share_max, breaker: _, recovery } = protection;
    page.key("in_flight_max", json!(in_flight_max));
    page.key("tenant_share_max", json!(tenant_share_max));
    page.duration("recovery", *recovery);
}

pub(super) fn probing(page: &mut Page<'_>, probing: &Probing) {
    let Probing { interval, timeout, healthy, unhealthy } = probing;
    page.duration("interval", *interval);
    page.duration("timeout", *timeout);
    page.key("healthy", json!(healthy));
    page.key("unhealthy", json!(unhealthy));
}

fn breaker(page: &mut Page<'_>, path: &str, breaker: &Breaker) {
    let Breaker { preset, failures, window, open, open_max, trials, ratio, statuses } = breaker;
    page.section(&format!("[{path}.breaker]"), &format!("{path}.breaker"));
    page.key("preset", json!(preset.as_str()));
    page.key("failures", json!(failures));
    page.duration("window", *window);
    page.duration("open", *open);
    page.duration("open_max", *open_max);
    page.key("trials", json!(trials));
    page.key("ratio", json!(ratio));
    page.key("statuses", statuses.iter().map(http::StatusCode::as_u16).collect());
}

pub(super) fn retries(page: &mut Page<'_>, one: &Retries) {
    let Retries { attempts_max, backoff, backoff_max, budget, budget_min, replay_bytes } = one;
    page.section("[retries]", "retries");
    page.key("attempts_max", json!(attempts_max));
    page.duration("backoff", *backoff);
    page.duration("backoff_max", *backoff_max);
    page.key("budget", json!(budget));
    page.key("budget_min", json!(budget_min));
    page.key("replay_bytes", size(*replay_bytes as u64));
}
