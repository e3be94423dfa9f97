//! The terms on which a stored answer may be used: how old it was, how long it is fresh, what follows then
//! (RFC 9111 §4.2, RFC 5861).

use http::{
    HeaderMap, StatusCode,
    header::{AGE, DATE, EXPIRES, LAST_MODIFIED},
};

use super::{
    Ask, Millis, Policy, SECONDS_MAX, Seconds, Unstorable,
    date::{self, Field},
    directives, storable, stored, tag,
};

/// By so much the clocks of two processes may differ.
const CLOCKS_DIFFER: Millis = 1_000;

/// When the request to the origin was begun and when the head of its answer had come (RFC 9111 §4.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// `request_time`.
    pub asked: Millis,
    /// `response_time`.
    pub received: Millis,
}

/// What the freshness fields of an answer say (RFC 9111 §5.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) no_store: bool,
    pub(super) no_cache: bool,
    pub(super) private: bool,
    pub(super) public: bool,
    pub(super) must_revalidate: bool,
    pub(super) proxy_revalidate: bool,
    pub(super) must_understand: bool,
    pub(super) s_maxage: Option<Seconds>,
    pub(super) max_age: Option<Seconds>,
    pub(super) stale_while_revalidate: Option<Seconds>,
    pub(super) stale_if_error: Option<Seconds>,
    pub(super) expires: bool,
}

/// What may be done with a stored answer now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It is the answer; `left` seconds of its freshness remain.
    Fresh {
        /// The value of `Age`.
        age: Seconds,
        /// For `ttl` of `Cache-Status`.
        left: Seconds,
    },
    /// It is the answer though stale: the client takes it so (RFC 9111 §5.2.1.2).
    Stale {
        /// The value of `Age`.
        age: Seconds,
        /// How long it has been stale.
        past: Seconds,
    },
    /// It is the answer, and somebody asks the origin meanwhile (RFC 5861 §3).
    WhileRevalidating {
        /// The value of `Age`.
        age: Seconds,
        /// How long it has been stale.
        past: Seconds,
    },
    /// The origin is asked; if it fails, this is the answer (RFC 5861 §4).
    IfError {
        /// The value of `Age`.
        age: Seconds,
        /// How long it has been stale; 0 when it is fresh but not as the client wants it.
        past: Seconds,
    },
    /// The origin is asked, and nothing else will do.
    Validate,
}

/// The terms of one stored answer; small, and a copy is as good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    asked: Millis,
    received: Millis,
    /// `corrected_initial_age`, in milliseconds.
    initial_age: u64,
    fresh_until: Millis,
    while_revalidating_until: Millis,
    if_error_until: Millis,
    /// Nobody gets it unasked from then on.
    ends: Millis,
    /// It never goes out stale (RFC 9111 §4.2.4).
    strict: bool,
    /// It never goes out unasked (RFC 9111 §5.2.2.4).
    no_cache: bool,
    validators: bool,
}

impl Terms {
    /// Reads an answer of the origin, or a stored one [merged](super::revalidate::merge) with what has validated it.
    /// `ask` is the request that went to the origin, `status` that of the answer to be stored.
    ///
    /// # Errors
    /// Why it is not stored. If it was stored before, its entry goes.
    pub fn of(
        ask: &Ask,
        times: Times,
        status: StatusCode,
        headers: &HeaderMap,
        policy: &Policy,
    ) -> Result<Self, Unstorable> {
        let said = Said::of(headers);
        storable::check(ask, status, headers, &said, policy)?;
        let received = times.received;
        let lifetime = said.lifetime(times, status, headers, policy);
        let initial_age = initial_age(times, headers);
        let fresh_until = received.saturating_add(millis(lifetime)).saturating_sub(initial_age);
        let fresh_until = fresh_until.min(received.saturating_add(millis(policy.lifetime_max)));
        let strict = said.strict();
        let window = |said: Option<Seconds>, of_class: Seconds| {
            // a class prolongs freshness that has been; what was never meant to be fresh does not become so
            let seconds = said.unwrap_or(if lifetime > 0 { of_class } else { 0 });
            if strict { fresh_until } else { fresh_until.saturating_add(millis(seconds.min(policy.stale_max))) }
        };
        let terms = Self {
            asked: times.asked,
            received,
            initial_age,
            fresh_until,
            while_revalidating_until: window(said.stale_while_revalidate, policy.stale_while_revalidate),
            if_error_until: window(said.stale_if_error, policy.stale_if_error),
            ends: received.saturating_add(millis(policy.lifetime_max)).saturating_add(millis(policy.stale_max)),
            strict,
            no_cache: said.no_cache,
            validators: tag::of(headers).is_some() || date::field(headers, &LAST_MODIFIED).at().is_some(),
        };
        let serves = !terms.no_cache && received < terms.unasked_until();
        if serves || terms.validators { Ok(terms) } else { Err(Unstorable::ExpiredWithoutValidator) }
    }

    /// What may be done with the answer for this request. For a request, what is not fresh at one time is not fresh at
    /// any later one.
    #[must_use]
    pub fn judge(&self, ask: &Ask, now: Millis) -> Use {
        if self.no_cache || ask.no_cache || now >= self.ends {
            return Use::Validate;
        }
        let age_millis = self.age_millis(now);
        let age = seconds(age_millis);
        // an age is rounded down to milliseconds, so that one which is just the limit is above it
        let young = ask.max_age.is_none_or(|limit| age_millis < millis(limit));
        let left = self.fresh_until.saturating_sub(now);
        let past = now.saturating_sub(self.fresh_until);
        if left > 0 && young && ask.min_fresh.is_none_or(|wanted| left >= millis(wanted)) {
            return Use::Fresh { age, left: seconds(left) };
        }
        if self.strict {
            return Use::Validate;
        }
        let past_seconds = seconds(past);
        if left == 0 && young && ask.min_fresh.is_none() {
            if ask.max_stale.is_some_and(|most| past <= millis(most)) {
                return Use::Stale { age, past: past_seconds };
            }
            if now < self.while_revalidating_until {
                return Use::WhileRevalidating { age, past: past_seconds };
            }
        }
        let by_origin = now < self.if_error_until && self.fresh_until < self.if_error_until;
        if by_origin || ask.stale_if_error.is_some_and(|most| past <= millis(most)) {
            return Use::IfError { age, past: past_seconds };
        }
        Use::Validate
    }

    /// The value of `Age` (RFC 9111 §4.2.3).
    #[must_use]
    pub fn age(&self, now: Millis) -> Seconds {
        seconds(self.age_millis(now))
    }

    /// Seconds until it is stale; negative since then. For `ttl` of `Cache-Status`.
    #[must_use]
    pub fn left(&self, now: Millis) -> i64 {
        match self.fresh_until.checked_sub(now) {
            Some(left) => i64::from(seconds(left)),
            None => -i64::from(seconds(now.saturating_sub(self.fresh_until))),
        }
    }

    /// When the request for it was begun.
    #[must_use]
    pub fn asked(&self) -> Millis {
        self.asked
    }

    /// When its head was received.
    #[must_use]
    pub fn received(&self) -> Millis {
        self.received
    }

    /// Whether the origin can be asked if it has changed.
    #[must_use]
    pub fn has_validators(&self) -> bool {
        self.validators
    }

    /// Until when it is worth its place: as long as it may go out, and with validators as long as it may be validated.
    /// Never more than the class's `lifetime_max` and `stale_max` after it was received.
    #[must_use]
    pub fn kept_until(&self) -> Millis {
        if self.validators { self.ends } else { self.unasked_until().min(self.ends) }
    }

    /// The same, but never used in any way from `end` on: when the credential that it belongs to expires.
    #[must_use]
    pub fn ending(self, end: Millis) -> Self {
        Self { ends: self.ends.min(end), ..self }
    }

    /// The same, but stale from `at` on, with its stale windows behind that.
    #[must_use]
    pub fn stale_from(self, at: Millis) -> Self {
        let earlier = self.fresh_until.saturating_sub(at);
        Self {
            fresh_until: self.fresh_until.min(at),
            while_revalidating_until: self.while_revalidating_until.saturating_sub(earlier),
            if_error_until: self.if_error_until.saturating_sub(earlier),
            ..self
        }
    }

    /// The same, fresh for up to `thousandths` of its time less, with its stale windows behind that, so that entries stored
    /// together are not asked for together. It is never more: that would be freshness the origin has not given.
    #[must_use]
    pub fn shortened(self, thousandths: u16) -> Self {
        let left = self.fresh_until.saturating_sub(self.received);
        let less =
            left / 1000 * u64::from(thousandths.min(1000)) + left % 1000 * u64::from(thousandths.min(1000)) / 1000;
        self.stale_from(self.fresh_until - less)
    }

    /// Those that somebody else has written down, who may have had other settings, another clock, or bad intentions: never
    /// used for longer than the policy lets. `None`: from the future, by more than clocks differ.
    #[must_use]
    pub fn bounded(self, policy: &Policy, now: Millis) -> Option<Self> {
        if self.received > now.saturating_add(CLOCKS_DIFFER) {
            return None;
        }
        let fresh = self.received.saturating_add(millis(policy.lifetime_max));
        let ends = fresh.saturating_add(millis(policy.stale_max));
        Some(Self {
            asked: self.asked.min(self.received),
            fresh_until: self.fresh_until.min(fresh),
            while_revalidating_until: self.while_revalidating_until.min(ends),
            if_error_until: self.if_error_until.min(ends),
            ends: self.ends.min(ends),
            ..self
        })
    }

    /// How long [`encode`](Self::encode) is.
    pub const BYTES: usize = 7 * 8 + 1;

    /// For a store outside the process.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let times = [
            self.asked,
            self.received,
            self.initial_age,
            self.fresh_until,
            self.while_revalidating_until,
            self.if_error_until,
            self.ends,
        ];
        let mut bytes = [0; Self::BYTES];
        for (place, time) in bytes.chunks_exact_mut(8).zip(times) {
            place.copy_from_slice(&time.to_le_bytes());
        }
        bytes[Self::BYTES - 1] = u8::from(self.strict) | u8::from(self.no_cache) << 1 | u8::from(self.validators) << 2;
        bytes
    }

    /// Reads [`encode`](Self::encode); None when a flag is unknown.
    #[must_use]
    pub fn decode(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let mut times = bytes.as_chunks::<8>().0.iter().map(|time| u64::from_le_bytes(*time));
        let flags = bytes[Self::BYTES - 1];
        if flags > 0b111 {
            return None;
        }
        Some(Self {
            asked: times.next()?,
            received: times.next()?,
            initial_age: times.next()?,
            fresh_until: times.next()?,
            while_revalidating_until: times.next()?,
            if_error_until: times.next()?,
            ends: times.next()?,
            strict: flags & 1 != 0,
            no_cache: flags & 2 != 0,
            validators: flags & 4 != 0,
        })
    }

    /// `current_age`; a clock that went back makes nothing younger than it arrived.
    fn age_millis(&self, now: Millis) -> u64 {
        self.initial_age.saturating_add(now.saturating_sub(self.received))
    }

    fn unasked_until(&self) -> Millis {
        self.fresh_until.max(self.while_revalidating_until).max(self.if_error_until)
    }
}

impl Said {
    fn of(headers: &HeaderMap) -> Self {
        let mut said = Self { expires: headers.contains_key(EXPIRES), ..Self::default() };
        for directive in directives::of(headers) {
            let seconds = directive.seconds();
            if directive.is("no-store") {
                said.no_store = true;
            } else if directive.is("no-cache") {
                said.no_cache |= !stored::strips(&directive);
            } else if directive.is("private") {
                said.private |= !stored::strips(&directive);
            } else if directive.is("public") {
                said.public = true;
            } else if directive.is("must-revalidate") {
                said.must_revalidate = true;
            } else if directive.is("proxy-revalidate") {
                said.proxy_revalidate = true;
            } else if directive.is("must-understand") {
                said.must_understand = true;
            } else if directive.is("s-maxage") {
                once(&mut said.s_maxage, seconds);
            } else if directive.is("max-age") {
                once(&mut said.max_age, seconds);
            } else if directive.is("stale-while-revalidate") {
                once(&mut said.stale_while_revalidate, seconds);
            } else if directive.is("stale-if-error") {
                once(&mut said.stale_if_error, seconds);
            }
        }
        said
    }

    /// Whether the origin says how long the answer is fresh (RFC 9111 §4.2.1).
    pub(super) fn explicit(&self) -> bool {
        self.s_maxage.is_some() || self.max_age.is_some() || self.expires
    }

    /// RFC 9111 §4.2.4; `s-maxage` means `proxy-revalidate` too (§5.2.2.10).
    fn strict(&self) -> bool {
        self.must_revalidate || self.proxy_revalidate || self.s_maxage.is_some() || self.no_cache
    }

    /// `freshness_lifetime`, in seconds (RFC 9111 §4.2.1).
    fn lifetime(&self, times: Times, status: StatusCode, headers: &HeaderMap, policy: &Policy) -> Seconds {
        if let Some(said) = self.s_maxage.or(self.max_age) {
            return said;
        }
        let sent = match date::field(headers, &DATE) {
            Field::Absent => Some(times.received / 1000),
            Field::Invalid => None,
            Field::At(date) => Some(date),
        };
        if self.expires {
            let expires = date::field(headers, &EXPIRES).at();
            return expires.zip(sent).map_or(0, |(expires, sent)| counted(expires.saturating_sub(sent)));
        }
        // RFC 9111 §4.2.2: not for statuses that the origin would have to allow
        if !(storable::heuristically_cacheable(status) || self.public) {
            return 0;
        }
        if let Some(of_class) = policy.default_lifetime {
            return of_class;
        }
        let modified = date::field(headers, &LAST_MODIFIED).at().filter(|_| policy.heuristic);
        modified.zip(sent).map_or(0, |(modified, sent)| counted(sent.saturating_sub(modified) / 10))
    }
}

/// RFC 9111 §4.2.1: what cannot be read is no time at all, and so is what is said twice in two ways.
fn once(held: &mut Option<Seconds>, read: Option<Seconds>) {
    let read = read.unwrap_or(0);
    *held = Some(if held.is_none_or(|held| held == read) { read } else { 0 });
}

/// `corrected_initial_age`, in milliseconds (RFC 9111 §4.2.3).
fn initial_age(times: Times, headers: &HeaderMap) -> u64 {
    // whole seconds, as the field counts them: the second in which an answer was made is no age
    let sent = date::field(headers, &DATE).at();
    let apparent = sent.map_or(0, |sent| (times.received / 1000).saturating_sub(sent)).saturating_mul(1000);
    // RFC 9111 §5.1: of several the first counts, and what is no number is not there
    let line = headers.get(AGE).map(|line| line.as_bytes());
    let first = line.and_then(|line| line.split(|byte| *byte == b',').next()).map(<[u8]>::trim_ascii);
    let claimed = millis(first.and_then(directives::seconds).unwrap_or(0));
    let delay = times.received.saturating_sub(times.asked);
    apparent.max(claimed.saturating_add(delay))
}

fn millis(seconds: Seconds) -> u64 {
    u64::from(seconds) * 1000
}

fn seconds(millis: u64) -> Seconds {
    counted(millis / 1000)
}

fn counted(seconds: u64) -> Seconds {
    Seconds::try_from(seconds).unwrap_or(SECONDS_MAX).min(SECONDS_MAX)
}
