//! How many requests a tenant, a user or an address may make, where they are served.
//!
//! Invariant: a request takes a token from every limit of its route or from none. Nobody waits.

use std::fmt;

use arrayvec::ArrayVec;
use http::{HeaderMap, HeaderName, HeaderValue};
use synaxis_config::settings::{LimitFields, LimitKey, LimitMode, ROUTE_LIMITS_MAX, RateLimiting};
use synaxis_ratelimit::{
    decision::{Decision, Standing, Taken, tightest},
    key::{Key, Keys, Tenant},
};

use super::{
    candidates::{Errand, Load},
    local_reply::LocalReply,
    peer,
};
use crate::dataplane::limits::{Bound, Limit};

/// `RateLimit-Policy`: the quotas that count for a request.
pub const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// `RateLimit`: how one of them stands.
pub const STANDING: HeaderName = HeaderName::from_static("ratelimit");
/// The same in the words of an older custom: requests in a window.
pub const LEGACY_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
/// Requests that may still come.
pub const LEGACY_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
/// Seconds until all may.
pub const LEGACY_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
/// Most limits of one route, that of the tenant's tier among them.
const LIMITS_MAX: usize = 1 + ROUTE_LIMITS_MAX;
/// Most bytes of what a client says that go into a key; what is longer is told apart by these.
const PART_MAX: usize = 256;

/// How a limit stands, as a client is told.
#[derive(Debug)]
pub struct Told {
    /// Its name.
    pub limit: String,
    policy: HeaderValue,
    standing: Standing,
    legacy: bool,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quota = self.standing.quota();
        write!(f, "the limit {:?} is used up: {} requests in {:?}", self.limit, quota.requests(), quota.window())
    }
}

impl Told {
    fn new(limit: &Limit, bound: &Bound, standing: Standing, settings: &RateLimiting) -> Self {
        let (limit, policy) = (limit.name.clone(), bound.policy.clone());
        Self { limit, policy, standing, legacy: settings.legacy_headers }
    }

    /// Seconds until a request may come; at least 1.
    #[must_use]
    pub fn retry_after(&self) -> u32 {
        u32::try_from(self.standing.retry_seconds()).unwrap_or(u32::MAX).max(1)
    }

    /// Writes it into the fields of an answer (draft-ietf-httpapi-ratelimit-headers-11).
    pub fn write(&self, headers: &mut HeaderMap) {
        let (remaining, reset) = (self.standing.remaining(), self.standing.reset_seconds());
        // when it next helps to come, for who may not, and when all of the quota is there again, for who may
        let time = if remaining == 0 { self.standing.retry_seconds() } else { reset };
        let text = format!("\"{}\";r={remaining};t={time}", self.limit);
        headers.insert(POLICY, self.policy.clone());
        headers.insert(STANDING, HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("")));
        if self.legacy {
            headers.insert(LEGACY_LIMIT, HeaderValue::from(self.standing.quota().requests()));
            headers.insert(LEGACY_REMAINING, HeaderValue::from(remaining));
            headers.insert(LEGACY_RESET, HeaderValue::from(time));
        }
    }
}

/// Tokens that a request has taken.
#[derive(Default)]
pub struct Charges<'a>(ArrayVec<Charge<'a>, LIMITS_MAX>);

struct Charge<'a> {
    limit: &'a Limit,
    bound: &'a Bound,
    key: Key,
    taken: Taken,
}

impl Charges<'_> {
    /// Gives them back: the request goes nowhere. `now` is that of the decision.
    pub fn refund(self, now: u64) {
        for Charge { bound, key, taken, .. } in self.0 {
            bound.limiter.refund(key, taken, now);
        }
    }

    /// What the answer says of the tightest of them, if the settings want that.
    #[must_use]
    pub fn told(&self, settings: &RateLimiting) -> Option<Box<Told>> {
        if settings.headers == LimitFields::None {
            return None;
        }
        let standings = self.0.iter().map(|charge| (charge, &charge.taken.standing));
        let (charge, standing) = tightest(standings)?;
        Some(Box::new(Told::new(charge.limit, charge.bound, *standing, settings)))
    }
}

/// Takes a token from every limit of the request's route. `now` in nanoseconds of the process's clock.
///
/// # Errors
/// `rate_limited`: one has none left. Nothing was taken then.
pub fn check<'a>(errand: &Errand<'a>, load: &Load<'_>, now: u64) -> Result<Charges<'a>, LocalReply> {
    let (limits, route) = (&*errand.snapshot.limits, errand.route);
    if limits.spares(route) {
        return Ok(Charges::default());
    }
    let buckets = &errand.worker.plane.buckets;
    let tier = limits.tier(&errand.tenant);
    let key = |limit: &Limit, keys: &Keys| {
        key(errand, &load.head.headers, (limit, keys), buckets.holder(limit, errand.tenant.as_str()))
    };
    let mut charges = ArrayVec::new();
    for limit in limits.of_route(route) {
        if let Some((keys, bounds)) = &limit.candidate
            && let Some(bound) = bounds.of(tier)
            && !bound.limiter.decide(key(limit, keys), now).is_allowed()
        {
            limit.metrics.candidate_refused.increment(1);
        }
        let Some(bound) = limit.bound(tier) else { continue };
        let at = key(limit, &limit.keys);
        match bound.limiter.decide(at, now) {
            Decision::Allowed(taken) => {
                limit.metrics.allowed.increment(1);
                // a route has no more limits than there is room for
                let _ = charges.try_push(Charge { limit, bound, key: at, taken });
            }
            Decision::Refused(_) if limit.mode == LimitMode::Shadow => limit.metrics.shadow_refused.increment(1),
            Decision::Refused(standing) => {
                limit.metrics.refused.increment(1);
                Charges(charges).refund(now);
                let told = Told::new(limit, bound, standing, &errand.snapshot.settings.rate_limiting);
                return Err(LocalReply::RateLimited(Box::new(told)));
            }
        }
    }
    Ok(Charges(charges))
}

/// The bucket of a request: the values of what the limit tells apart. What is missing is one more value.
fn key(errand: &Errand<'_>, headers: &HeaderMap, (limit, keys): (&Limit, &Keys), holder: Tenant) -> Key {
    let mut parts: [&[u8]; 4] = [&[]; 4];
    let mut count = 0;
    for part in &limit.key {
        let value = match part {
            LimitKey::Tenant => continue,
            LimitKey::User => errand.snapshot.settings.user.as_ref().map_or(&[][..], |user| one(headers, &user.header)),
            LimitKey::Route => errand.route.name.as_bytes(),
            LimitKey::ClientIp => peer::client(errand.downstream, errand.hop.as_deref()).as_bytes(),
            LimitKey::Header(name) => one(headers, name),
        };
        if let Some(place) = parts.get_mut(count) {
            *place = value.get(..PART_MAX).unwrap_or(value);
            count += 1;
        }
    }
    keys.key(holder, &parts[..count])
}

/// The value of a field that stands there once; of one that is repeated, nothing can be believed.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a [u8] {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.as_bytes(),
        _ => &[],
    }
}
