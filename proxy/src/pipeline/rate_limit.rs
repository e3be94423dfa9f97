//! How many requests a tenant, a user or an address may make, where they are served.
//!
//! Invariant: a request takes a token from every limit of its route or from none. Nobody waits.

use std::{fmt, sync::Arc};

use arrayvec::ArrayVec;
use http::{HeaderMap, HeaderName, HeaderValue};
use synaxis_config::settings::{LimitFields, LimitKey, LimitMode, ROUTE_LIMITS_MAX, RateLimiting};
use synaxis_ratelimit::{
    decision::{Decision, Standing, Taken, tightest},
    key::Key,
};

use super::{
    candidates::{Errand, Load},
    local_reply::LocalReply,
    peer,
};
use crate::dataplane::limits::{Bound, Limit, Part, part_of_address};

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
/// Most tokens of one request: of each limit of its route, that of the tenant's tier among them, and of each one's candidate.
const CHARGES_MAX: usize = 2 * (1 + ROUTE_LIMITS_MAX);
/// Most parts of a key beside the tenant.
const PARTS_MAX: usize = 4;

/// How a limit stands, as a client is told.
#[derive(Debug)]
pub struct Told {
    /// Its name.
    pub limit: Arc<str>,
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
        let (limit, policy) = (Arc::clone(&limit.name), bound.policy.clone());
        Self { limit, policy, standing, legacy: settings.legacy_headers }
    }

    /// Seconds until a request may come; at least 1.
    #[must_use]
    pub fn retry_after(&self) -> u32 {
        u32::try_from(self.standing.retry_seconds()).unwrap_or(u32::MAX).max(1)
    }

    /// Writes it into the fields of an answer, unless the app has its own: nobody is told of more than he has.
    pub fn tell(&self, headers: &mut HeaderMap) {
        if !headers.contains_key(POLICY) && !headers.contains_key(STANDING) {
            self.write(headers);
        }
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
pub struct Charges<'a>(ArrayVec<Charge<'a>, CHARGES_MAX>);

struct Charge<'a> {
    limit: &'a Limit,
    bound: &'a Bound,
    key: Key,
    taken: Taken,
    /// Of a quota that refuses nobody.
    is_silent: bool,
    /// Of a quota that is only tried out beside another.
    is_candidate: bool,
}

impl<'a> Charges<'a> {
    /// Gives them back: the request goes nowhere. `now` is that of the decision.
    pub fn refund(&mut self, now: u64) {
        for Charge { bound, key, taken, .. } in self.0.drain(..) {
            bound.limiter.refund(key, taken, now);
        }
    }

    /// What the answer says of the tightest of them, if the settings want that.
    #[must_use]
    pub fn told(&self, settings: &RateLimiting) -> Option<Box<Told>> {
        if settings.headers == LimitFields::None {
            return None;
        }
        let enforced = self.0.iter().filter(|charge| !charge.is_silent);
        let (charge, standing) = tightest(enforced.map(|charge| (charge, &charge.taken.standing)))?;
        Some(Box::new(Told::new(charge.limit, charge.bound, *standing, settings)))
    }

    /// Takes a token of one quota. How it stands if there is none.
    fn take(
        &mut self,
        (limit, bound): (&'a Limit, &'a Bound),
        key: Key,
        is_candidate: bool,
        now: u64,
    ) -> Result<(), Standing> {
        let is_silent = is_candidate || limit.mode == LimitMode::Shadow;
        match bound.limiter.decide(key, now) {
            Decision::Allowed(taken) => {
                // a route has no more limits than there is room for
                let _ = self.0.try_push(Charge { limit, bound, key, taken, is_silent, is_candidate });
                Ok(())
            }
            Decision::Refused(standing) => Err(standing),
        }
    }
}

/// Takes a token from every limit of the request's route, and notes it in `charges`, which are none before. `now` in
/// nanoseconds of the process's clock.
///
/// # Errors
/// `rate_limited`: one has none left. Nothing was taken then.
pub fn check<'a>(errand: &Errand<'a>, load: &Load<'_>, now: u64, charges: &mut Charges<'a>) -> Result<(), LocalReply> {
    let (limits, route) = (&*errand.snapshot.limits, errand.route);
    let terms = limits.terms(&errand.tenant);
    let tenant = errand.worker.plane.buckets.secret.tenant(errand.tenant.as_str());
    for limit in limits.of_route(route) {
        let holder = limit.holder(tenant);
        let parts = parts(errand, &load.head.headers, limit);
        let parts: ArrayVec<&[u8], PARTS_MAX> = parts.iter().map(Part::as_bytes).collect();
        if let Some((keys, bounds)) = &limit.candidate
            && let Some(bound) = bounds.of(terms.tier)
            && charges.take((limit, bound), keys.key(holder, &parts), true, now).is_err()
        {
            limit.metrics.candidate_refused.increment(1);
        }
        let Some(bound) = limit.bound(terms) else { continue };
        match charges.take((limit, bound), limit.keys.key(holder, &parts), false, now) {
            Ok(()) => {}
            Err(_) if limit.mode == LimitMode::Shadow => limit.metrics.shadow_refused.increment(1),
            Err(standing) => {
                limit.metrics.refused.increment(1);
                charges.refund(now);
                let told = Told::new(limit, bound, standing, &errand.snapshot.settings.rate_limiting);
                return Err(LocalReply::RateLimited(Box::new(told)));
            }
        }
    }
    let counted = charges.0.iter().filter(|charge| !charge.is_candidate);
    counted.for_each(|charge| charge.limit.metrics.allowed.increment(1));
    Ok(())
}

/// What tells a request from others that a limit counts, beside the tenant. What is missing is one more value.
fn parts<'a>(errand: &'a Errand<'_>, headers: &'a HeaderMap, limit: &Limit) -> ArrayVec<Part<'a>, PARTS_MAX> {
    let part = |key: &LimitKey| match key {
        LimitKey::Tenant => None,
        LimitKey::User => {
            let user = errand.snapshot.settings.user.as_ref();
            Some(Part::Text(user.map_or(&[][..], |user| one(headers, &user.header))))
        }
        LimitKey::Route => Some(Part::Text(errand.route.name.as_bytes())),
        LimitKey::ClientIp => Some(part_of_address(peer::client(errand.downstream, errand.hop.as_deref()).as_bytes())),
        LimitKey::Header(name) => Some(Part::Text(one(headers, name))),
    };
    limit.key.iter().filter_map(part).take(PARTS_MAX).collect()
}

/// The value of a field that stands there once; of one that is repeated, nothing can be believed.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a [u8] {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.as_bytes(),
        _ => &[],
    }
}
