//! What other stamps have refused, remembered where requests come in: who comes again too early is told so without a hop.
//!
//! Invariant: a refusal counts for nobody but whose own request has the fingerprint that it names, made here by the settings
//! that run here. So a stamp that counts by something else, or one that lies, refuses nothing to anybody else.

use http::{HeaderMap, HeaderName, HeaderValue};
use synaxis_config::settings::LimitMode;
use synaxis_ratelimit::decision::Standing;

use super::{
    candidates::{Errand, Load},
    local_reply::LocalReply,
    rate_limit::{self, Told},
};
use crate::dataplane::{
    denies::{Denied, Fingerprint},
    limits::{Bound, Counting, Limit, Terms, fleet::FleetCounter},
};

/// `LIMIT; for=MS; key=HASH`: for the stamp that has sent on the request that a limit of the fleet has refused.
pub const DENY: HeaderName = HeaderName::from_static("x-synaxis-deny");
/// Longest that a refusal is remembered, in milliseconds.
const REMEMBERED_MAX: u64 = 10_000;
/// Longest that a client is told to stay away, in milliseconds: a day.
const RETRY_MAX: u64 = 24 * 3_600 * 1_000;

/// What to tell the entry of a refusal.
#[must_use]
pub fn field(limit: &str, fingerprint: Fingerprint, standing: &Standing) -> Option<HeaderValue> {
    let retry = standing.retry().div_ceil(1_000_000).min(RETRY_MAX);
    HeaderValue::from_str(&format!("{limit}; for={retry}; key={fingerprint}")).ok()
}

/// When to come again, in milliseconds from now, and whose requests. `None`: it is not understood.
fn read(headers: &HeaderMap) -> Option<(u64, Fingerprint)> {
    let mut values = headers.get_all(DENY).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let mut words = value.to_str().ok()?.split("; ").skip(1);
    let retry: u64 = words.next()?.strip_prefix("for=")?.parse().ok()?;
    let fingerprint = Fingerprint::parse(words.next()?.strip_prefix("key=")?)?;
    Some((retry.min(RETRY_MAX), fingerprint))
}

/// Refuses at once what another stamp has refused a moment ago.
///
/// # Errors
/// `rate_limited`.
pub fn check(errand: &Errand<'_>, load: &Load<'_>) -> Result<(), LocalReply> {
    let denies = &errand.worker.denies;
    // a request that has been somewhere already is to be judged there
    if denies.is_empty() || load.tries.attempts() > 0 {
        return Ok(());
    }
    let (limits, now) = (&errand.snapshot.limits, errand.worker.now());
    let terms = limits.terms(&errand.tenant);
    for (limit, bound, fleet) in fleet_limits(errand, terms) {
        if let Some(denied) = denies.find(errand.key, now, || of(errand, load, limit)) {
            limit.metrics.remembered.increment(1);
            let standing = fleet.plan.refused_for(denied.retry_at.saturating_sub(now) * 1_000_000);
            let told = Told::new(limit, bound, "entry", standing, &errand.snapshot.settings.rate_limiting);
            return Err(LocalReply::RateLimited(Box::new(told)));
        }
    }
    Ok(())
}

/// The fingerprint of a request at a limit.
pub fn of(errand: &Errand<'_>, load: &Load<'_>, limit: &Limit) -> Fingerprint {
    let parts = rate_limit::parts(errand, &load.head.headers, limit);
    let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
    Fingerprint::new(&errand.tenant, &limit.name, &limit.key, &parts)
}

/// Remembers what another stamp's answer says that it has refused, if this request would be found by it again.
pub fn note(errand: &Errand<'_>, load: &Load<'_>, headers: &HeaderMap) {
    let Some(store) = &errand.snapshot.settings.limits_store else { return };
    let Some((retry, fingerprint)) = read(headers).filter(|_| load.head.is_whole()) else { return };
    let limits = &errand.snapshot.limits;
    let terms = limits.terms(&errand.tenant);
    if !fleet_limits(errand, terms).any(|(limit, ..)| of(errand, load, limit) == fingerprint) {
        return;
    }
    let (worker, now) = (errand.worker, errand.worker.now());
    let max = store.denies_max.div_ceil(worker.plane.workers.len().max(1));
    let denied = Denied { fingerprint, until: now + retry.min(REMEMBERED_MAX), retry_at: now + retry };
    if !worker.denies.note(errand.key, denied, now, max) {
        worker.sink.metrics.ratelimit.denies_dropped.increment(1);
    }
}

/// The limits of the request's route that the fleet counts and that refuse.
fn fleet_limits<'a>(
    errand: &'a Errand<'_>,
    terms: &'a Terms,
) -> impl Iterator<Item = (&'a Limit, &'a Bound, &'a FleetCounter)> {
    let enforced = errand.snapshot.limits.of_route(errand.route).filter(|limit| limit.mode == LimitMode::Enforce);
    enforced.filter_map(|limit| {
        let bound = limit.bound(terms)?;
        let Counting::Fleet(fleet) = &bound.counting else { return None };
        Some((limit, bound, fleet))
    })
}

#[cfg(test)]
mod tests {
    use synaxis_config::settings::LimitKey;
    use synaxis_routing::id::TenantId;

    use super::*;

    fn read_text(text: &[u8]) -> Option<(u64, Fingerprint)> {
        let mut headers = HeaderMap::new();
        headers.append(DENY, HeaderValue::from_bytes(text).unwrap());
        read(&headers)
    }

    #[test]
    fn a_field_is_read_as_it_was_written_and_anything_else_is_nothing() {
        let quota = synaxis_ratelimit::quota::Quota::new(5, std::time::Duration::from_secs(60), None).unwrap();
        let plan = synaxis_ratelimit::fleet::plan::Plan::new(&quota, 8);
        let acme = TenantId::parse(b"acme").unwrap();
        let meant = Fingerprint::new(&acme, "per-user", &[LimitKey::Tenant, LimitKey::User], &[b"ada"]);
        let written = field("per-user", meant, &plan.refused_for(1_500_000_000)).unwrap();
        assert_eq!(read_text(written.as_bytes()), Some((1_500, meant)));
        // never for longer than a day, whatever is said
        let long = field("per-user", meant, &plan.refused_for(u64::MAX >> 2)).unwrap();
        assert_eq!(read_text(long.as_bytes()), Some((RETRY_MAX, meant)));
        let hash = "0".repeat(32);
        assert_eq!(read_text(format!("x; for=99999999999; key={hash}").as_bytes()).unwrap().0, RETRY_MAX);
        for hostile in [
            String::new(),
            "x".into(),
            "x; for=1".into(),
            format!("x; for=-1; key={hash}"),
            format!("x; for=1; key={hash}0"),
            format!("x; for=1; key={}", "\u{e9}".repeat(16)),
            format!("x; for=1; key={}", "g".repeat(32)),
            format!("x; for=18446744073709551616; key={hash}"),
            format!("x; key={hash}; for=1"),
        ] {
            assert_eq!(read_text(hostile.as_bytes()), None, "{hostile:?}");
        }
        let mut twice = HeaderMap::new();
        twice.append(DENY, written.clone());
        twice.append(DENY, written);
        assert_eq!(read(&twice), None);
    }
}
