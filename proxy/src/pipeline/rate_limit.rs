//! How many requests a tenant, a user or an address may make, where they are served.
//!
//! Invariant: a request takes a token from every limit of its route or from none. It waits for the store of the fleet at most
//! as long as the settings say, and only where no lease, no remembered refusal and no limit of this process decides.

use std::{fmt, sync::Arc, time::Duration};

use arrayvec::ArrayVec;
use http::{HeaderMap, HeaderName, HeaderValue};
use synaxis_config::settings::{LimitFields, LimitKey, LimitMode, ROUTE_LIMITS_MAX, RateLimiting};
use synaxis_ratelimit::{
    decision::{Decision, Standing, Taken, tightest},
    fleet::{
        cell::{self, Cell, Take},
        link::Link,
        verdict::{By, Verdict},
    },
    key::{Key, Keys, Tenant as Holder},
};
use synaxis_routing::id::TenantId;

use super::{
    candidates::{Errand, Load},
    denies,
    local_reply::LocalReply,
    peer,
};
use crate::dataplane::limits::{
    Bound, Counting, Limit, Part,
    fleet::{FleetCounter, Named},
    part_of_address,
};

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
pub(super) const PARTS_MAX: usize = 4;

/// How a limit stands, as a client is told.
#[derive(Debug)]
pub struct Told {
    /// Its name.
    pub limit: Arc<str>,
    /// Who has counted.
    pub counted_by: &'static str,
    policy: HeaderValue,
    standing: Standing,
    legacy: bool,
    /// For the stamp that has sent the request on.
    deny: Option<HeaderValue>,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quota = self.standing.quota();
        write!(f, "the limit {:?} is used up: {} requests in {:?}", self.limit, quota.requests(), quota.window())
    }
}

impl Told {
    pub(super) fn new(
        limit: &Limit,
        bound: &Bound,
        counted_by: &'static str,
        standing: Standing,
        settings: &RateLimiting,
    ) -> Self {
        let (limit, policy) = (Arc::clone(&limit.name), bound.policy.clone());
        Self { limit, counted_by, policy, standing, legacy: settings.legacy_headers, deny: None }
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
        if let Some(deny) = &self.deny {
            headers.insert(denies::DENY, deny.clone());
        }
        headers.insert(POLICY, self.policy.clone());
        headers.insert(STANDING, HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("")));
        if self.legacy {
            headers.insert(LEGACY_LIMIT, HeaderValue::from(self.standing.quota().requests()));
            headers.insert(LEGACY_REMAINING, HeaderValue::from(remaining));
            headers.insert(LEGACY_RESET, HeaderValue::from(time));
        }
    }
}

/// The way of one request through the quotas of its route: the tokens that it has taken so far, and how far it has come.
#[derive(Default)]
pub struct Check<'a> {
    charges: ArrayVec<Charge<'a>, CHARGES_MAX>,
    /// Quotas that it has behind it.
    passed: usize,
    /// When it has come so far, in nanoseconds of the process's clock.
    at: u64,
}

/// A request that ends on the way, also while it waits, has used up nothing.
impl Drop for Check<'_> {
    fn drop(&mut self) {
        self.refund();
    }
}

/// One quota that a request meets.
struct Met<'a> {
    limit: &'a Limit,
    bound: &'a Bound,
    keys: &'a Keys,
    /// It is only tried out beside another.
    is_candidate: bool,
}

impl Met<'_> {
    /// Whether it refuses nobody.
    fn is_silent(&self) -> bool {
        self.is_candidate || self.limit.mode == LimitMode::Shadow
    }
}

struct Charge<'a> {
    met: Met<'a>,
    token: Token,
}

/// Where a token came from, for giving it back.
enum Token {
    Here(Key, Taken),
    Fleet(Arc<Cell>, cell::Taken),
}

impl Token {
    fn standing(&self) -> &Standing {
        match self {
            Self::Here(_, taken) => &taken.standing,
            Self::Fleet(_, taken) => &taken.standing,
        }
    }
}

/// Why a request has no token of a quota.
enum Without {
    /// It has to come again later.
    Refused(Standing),
    /// Only the store of the fleet knows.
    Unknown(Question),
}

/// What the store of the fleet has to be asked before a request goes on.
pub struct Question {
    cell: Arc<Cell>,
    fleet: FleetCounter,
}

/// What it, or this process in its place, has said.
pub struct Said {
    cell: Arc<Cell>,
    verdict: Verdict,
}

impl Said {
    /// When, in nanoseconds of the process's clock.
    #[must_use]
    pub fn at(&self) -> u64 {
        self.verdict.at
    }
}

impl Question {
    /// Waits for the answer, so that with what it has `waited` already the request waits no longer than the settings let it.
    pub async fn ask(self, link: &Link, waited: Duration) -> Said {
        let verdict = link.take(&self.cell, &self.fleet.plan, self.fleet.on_failure, waited).await;
        Said { cell: self.cell, verdict }
    }
}

impl<'a> Check<'a> {
    /// Takes a token from every limit of the request's route. `now` in nanoseconds of the process's clock. `said` answers
    /// the question that a call before this one has asked. `Some`: this has to be asked, then it goes on from there.
    ///
    /// # Errors
    /// `rate_limited`: one has none left.
    pub fn go(
        &mut self,
        errand: &Errand<'a>,
        load: &Load<'_>,
        now: u64,
        mut said: Option<Said>,
    ) -> Result<Option<Question>, LocalReply> {
        self.at = now;
        let limits = &*errand.snapshot.limits;
        let terms = limits.terms(&errand.tenant);
        let tenant = errand.worker.plane.buckets.secret.tenant(errand.tenant.as_str());
        let met = limits.of_route(errand.route).flat_map(|limit| {
            let candidate =
                limit.candidate.as_ref().and_then(|(keys, bounds)| Some((keys, bounds.of(terms.tier)?, true)));
            let own = limit.bound(terms).map(|bound| (&limit.keys, bound, false));
            let quotas = candidate.into_iter().chain(own);
            quotas.map(move |(keys, bound, is_candidate)| Met { limit, bound, keys, is_candidate })
        });
        for met in met.skip(self.passed) {
            let (limit, bound) = (met.limit, met.bound);
            // what this process decides alone is nobody else's word
            let alone = said.as_ref().is_some_and(|said| said.verdict.by == By::Alone);
            let token = match said.take() {
                Some(Said { cell, verdict }) => match verdict.taken {
                    Ok(taken) => Ok(Token::Fleet(cell, taken)),
                    Err(standing) => Err(Without::Refused(standing)),
                },
                None => {
                    let parts = parts(errand, &load.head.headers, limit);
                    let parts: ArrayVec<&[u8], PARTS_MAX> = parts.iter().map(Part::as_bytes).collect();
                    met.take(limit.holder(tenant), (&errand.tenant, &parts), now)
                }
            };
            match token {
                // a route has no more limits than there is room for
                Ok(token) => _ = self.charges.try_push(Charge { met, token }),
                Err(Without::Unknown(question)) => return Ok(Some(question)),
                Err(Without::Refused(_)) if met.is_candidate => limit.metrics.candidate_refused.increment(1),
                Err(Without::Refused(_)) if met.is_silent() => limit.metrics.shadow_refused.increment(1),
                Err(Without::Refused(standing)) => {
                    limit.metrics.refused.increment(1);
                    let settings = &errand.snapshot.settings.rate_limiting;
                    let mut told = Told::new(limit, bound, bound.counting.by(alone), standing, settings);
                    if !alone {
                        told.deny = tell_entry(errand, load, limit, bound, &standing);
                    }
                    return Err(LocalReply::RateLimited(Box::new(told)));
                }
            }
            self.passed += 1;
        }
        let counted = self.charges.iter().filter(|charge| !charge.met.is_candidate);
        counted.for_each(|charge| charge.met.limit.metrics.allowed.increment(1));
        Ok(None)
    }

    /// The request goes on: what was taken is spent.
    pub fn spend(mut self) {
        self.charges.clear();
    }

    fn refund(&mut self) {
        let now = self.at;
        for Charge { met, token } in self.charges.drain(..) {
            match (token, &met.bound.counting) {
                (Token::Here(key, taken), Counting::Here(limiter)) => limiter.refund(key, taken, now),
                (Token::Fleet(cell, taken), Counting::Fleet(fleet)) => fleet.refund(&cell, taken),
                // a token is what its quota's counting has made
                _ => {}
            }
        }
    }

    /// What the answer says of the tightest of them, if the settings want that.
    #[must_use]
    pub fn told(&self, settings: &RateLimiting) -> Option<Box<Told>> {
        if settings.headers == LimitFields::None {
            return None;
        }
        let enforced = self.charges.iter().filter(|charge| !charge.met.is_silent());
        let (charge, standing) = tightest(enforced.map(|charge| (charge, charge.token.standing())))?;
        let Met { limit, bound, .. } = charge.met;
        Some(Box::new(Told::new(limit, bound, bound.counting.by(false), *standing, settings)))
    }
}

impl Met<'_> {
    fn take(&self, holder: Holder, (tenant, parts): (&TenantId, &[&[u8]]), now: u64) -> Result<Token, Without> {
        let key = self.keys.key(holder, parts);
        match &self.bound.counting {
            Counting::Here(limiter) => match limiter.decide(key, now) {
                Decision::Allowed(taken) => Ok(Token::Here(key, taken)),
                Decision::Refused(standing) => Err(Without::Refused(standing)),
            },
            Counting::Fleet(fleet) => {
                let limit = &*self.limit.name;
                let named = Named { tenant: tenant.as_str(), limit, is_candidate: self.is_candidate, parts };
                let cell = fleet.cell(key, self.keys, &named, now);
                match cell.take(&fleet.plan, now) {
                    Take::Taken(taken) => Ok(Token::Fleet(cell, taken)),
                    Take::Denied(standing) => Err(Without::Refused(standing)),
                    Take::Empty => Err(Without::Unknown(Question { cell, fleet: fleet.clone() })),
                }
            }
        }
    }
}

/// What the entry may remember: what the store has refused it would refuse at any stamp.
fn tell_entry(
    errand: &Errand<'_>,
    load: &Load<'_>,
    limit: &Limit,
    bound: &Bound,
    standing: &Standing,
) -> Option<HeaderValue> {
    let Counting::Fleet(fleet) = &bound.counting else { return None };
    let is_known = errand.hop.is_some() && fleet.is_counted();
    is_known.then(|| denies::field(&limit.name, denies::of(errand, load, limit), standing)).flatten()
}

/// What tells a request from others that a limit counts, beside the tenant. What is missing is one more value.
pub(super) fn parts<'a>(
    errand: &'a Errand<'_>,
    headers: &'a HeaderMap,
    limit: &Limit,
) -> ArrayVec<Part<'a>, PARTS_MAX> {
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
