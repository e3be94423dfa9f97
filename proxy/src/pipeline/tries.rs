//! What the attempts at one request have come to, and whether there is another.
//!
//! Invariant: at most two stamps ever see a request that may have been executed, and a retry that is charged is paid for.

use std::time::{Duration, Instant};

use http::{HeaderName, Method};
use synaxis_config::settings::{Retries, Route};

use crate::{
    body::Upload,
    upstream::{
        guard::{Guard, Limits},
        head::Head,
        retry::{
            self, Ask, Decision, Reason,
            verdict::{Body, End, Hop, Method as Kind, Target, verdict},
        },
        timer::Deadline,
    },
};

/// What makes a request of any method repeatable, where its route says so.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Most stamps that see a request which may have been executed.
const STAMPS_MAX: u32 = 2;

/// The attempts at one request.
#[derive(Debug)]
pub struct Tries {
    kind: Kind,
    hop: Hop,
    attempts: u32,
    head_timeouts: u32,
    moved: bool,
    /// Stamps that may have executed it.
    stamps: u32,
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another attempt after this pause: at an endpoint or candidate that it has not tried, or at the same.
    Attempt(Duration, Target),
    /// Nothing.
    Stop,
    /// Nothing, because a part of its body is gone.
    BodyGone,
}

/// What is known when an attempt has failed.
pub struct Failure<'a> {
    /// How.
    pub end: End,
    /// Whether another endpoint or candidate is left.
    pub target: Target,
    /// What stands before the upstream that failed.
    pub guard: &'a Guard,
    /// What bounds it.
    pub limits: &'a Limits,
    /// When that was.
    pub at: Instant,
}

impl Tries {
    /// None yet; `forwarded` says that another stamp has sent it, and decides itself.
    #[must_use]
    pub fn new(head: &Head, route: &Route, forwarded: bool) -> Self {
        let kind = match head.method {
            Method::GET | Method::HEAD | Method::OPTIONS => Kind::Safe,
            _ if route.idempotency_key && head.headers.contains_key(IDEMPOTENCY_KEY) => Kind::Keyed,
            _ => Kind::Unsafe,
        };
        let hop = if forwarded { Hop::Second } else { Hop::First };
        Self { kind, hop, attempts: 0, head_timeouts: 0, moved: false, stamps: 0 }
    }

    /// Attempts so far.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// An attempt begins.
    pub fn begin(&mut self) {
        self.attempts += 1;
    }

    /// Until when the attempt that begins now may wait for the head of its answer: not as long as the request, as long as
    /// another one could follow.
    #[must_use]
    pub fn attempt_ends(
        &self,
        began: Instant,
        (route, retries): (&Route, &Retries),
        another: bool,
        upload: &Upload,
    ) -> Option<Instant> {
        let repeatable = self.kind != Kind::Unsafe && self.hop == Hop::First;
        let left = self.head_timeouts == 0 && self.attempts < retries.attempts_max;
        (another && repeatable && left && !upload.is_gone()).then(|| began + route.attempt_timeout)
    }

    /// Whether a stamp may have executed it.
    #[must_use]
    pub fn is_spoilt(&self) -> bool {
        self.stamps > 0
    }

    /// Whether another stamp could still see it if the one that has it now fails.
    #[must_use]
    pub fn could_cross(&self) -> bool {
        self.kind == Kind::Safe && self.stamps + 1 < STAMPS_MAX
    }

    /// A stamp has failed that may have executed it.
    pub fn spoil(&mut self) {
        self.stamps += 1;
    }

    /// Whether another stamp may see it although one may have executed it.
    #[must_use]
    pub fn may_cross(&self) -> bool {
        self.kind == Kind::Safe && self.stamps < STAMPS_MAX
    }

    /// What follows a failed attempt; `now` is its end in milliseconds of the process's clock, `chance` in `0..1`.
    pub fn next(
        &mut self,
        failure: &Failure<'_>,
        (head, upload): (&Head, &Upload),
        retries: &Retries,
        left: &Deadline,
        (now, chance): (u64, f64),
    ) -> Next {
        self.head_timeouts += u32::from(failure.end == End::HeadTimeout);
        let body = match (upload.is_polled(), upload.is_gone() || !head.is_whole()) {
            (_, true) => Body::Gone,
            (true, false) => Body::Replayable,
            (false, false) => Body::Unpolled,
        };
        let ask = Ask {
            end: failure.end,
            method: self.kind,
            body,
            hop: self.hop,
            target: failure.target,
            attempts: self.attempts,
            head_timeouts: self.head_timeouts,
            moved: self.moved,
        };
        let (after, charged, to) = match verdict(&ask, &limits(retries), chance) {
            Decision::Retry { after, charged, to } => (after, charged, to),
            Decision::Stop(Reason::BodyGone) => return Next::BodyGone,
            Decision::Stop(_) => return Next::Stop,
        };
        if failure.at + after >= left.at() {
            return Next::Stop;
        }
        if charged && !failure.guard.budget.take(&failure.limits.budget, now) {
            failure.guard.metrics.retries_denied.increment(1);
            return Next::Stop;
        }
        failure.guard.metrics.retries.increment(1);
        self.moved |= failure.end == End::PeerReset;
        Next::Attempt(after, to)
    }
}

fn limits(retries: &Retries) -> retry::Limits {
    retry::Limits { attempts_max: retries.attempts_max, first: retries.backoff, longest: retries.backoff_max }
}
