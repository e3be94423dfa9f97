//! What a request says about the answer it takes (RFC 9111 §5.2.1).

use http::{
    HeaderMap, Method,
    header::{
        AUTHORIZATION, CONTENT_LENGTH, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, PRAGMA, RANGE,
        TRANSFER_ENCODING, UPGRADE,
    },
};

use super::{Policy, SECONDS_MAX, Seconds, directives};

/// Why a request has nothing to do with the store: neither does it get a stored answer, nor is its answer stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bypass {
    /// Neither GET nor HEAD.
    Method,
    /// `If-Match` or `If-Unmodified-Since`: only the origin can tell (RFC 9111 §4.3.2, RFC 9110 §13.1.1).
    Precondition,
    /// It has a body, which is not part of the key (RFC 9110 §9.3.1).
    Body,
    /// It asks for another protocol.
    Upgrade,
}

impl Bypass {
    /// The stable token of logs, metrics and `Cache-Status`.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Precondition => "precondition",
            Self::Body => "body",
            Self::Upgrade => "upgrade",
        }
    }
}

/// What a request that may be answered from the store says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The method is HEAD.
    pub head: bool,
    /// There is an `Authorization` field.
    pub authorized: bool,
    /// There is a `Range` field.
    pub range: bool,
    /// There is `If-None-Match` or `If-Modified-Since`.
    pub conditional: bool,
    /// Only a validated answer will do (RFC 9111 §5.2.1.4, §5.4).
    pub no_cache: bool,
    /// The answer to this request is not stored (RFC 9111 §5.2.1.5).
    pub no_store: bool,
    /// A stored answer or none: 504 (RFC 9111 §5.2.1.7).
    pub only_if_cached: bool,
    /// The greatest age it takes (RFC 9111 §5.2.1.1).
    pub max_age: Option<Seconds>,
    /// How long the answer must still be fresh (RFC 9111 §5.2.1.3).
    pub min_fresh: Option<Seconds>,
    /// How long the answer may have been stale (RFC 9111 §5.2.1.2); [`SECONDS_MAX`] without a number.
    pub max_stale: Option<Seconds>,
    /// How long it may have been stale if the origin fails (RFC 5861 §4).
    pub stale_if_error: Option<Seconds>,
}

impl Ask {
    /// Reads a request. Where a directive stands there twice, the stricter counts; a number that cannot be read makes
    /// `max-age` and `min-fresh` ask for validation and `max-stale` and `stale-if-error` allow nothing.
    ///
    /// # Errors
    /// Why the request passes the store by.
    pub fn of(method: &Method, headers: &HeaderMap, policy: &Policy) -> Result<Self, Bypass> {
        let head = *method == Method::HEAD;
        if !head && *method != Method::GET {
            return Err(Bypass::Method);
        }
        let (mut authorized, mut range, mut conditional) = (false, false, false);
        let (mut precondition, mut upgrade, mut body) = (false, false, false);
        // once over all fields: there are fewer than names to look for, and nothing is hashed
        for (name, value) in headers {
            match *name {
                IF_MATCH | IF_UNMODIFIED_SINCE => precondition = true,
                UPGRADE => upgrade = true,
                CONTENT_LENGTH => body |= value.as_bytes() != b"0",
                TRANSFER_ENCODING => body = true,
                AUTHORIZATION => authorized = true,
                RANGE => range = true,
                IF_NONE_MATCH | IF_MODIFIED_SINCE => conditional = true,
                _ => {}
            }
        }
        if precondition {
            return Err(Bypass::Precondition);
        }
        if upgrade {
            return Err(Bypass::Upgrade);
        }
        if body {
            return Err(Bypass::Body);
        }
        let mut ask = Self {
            head,
            authorized,
            range,
            conditional,
            no_cache: false,
            no_store: false,
            only_if_cached: false,
            max_age: None,
            min_fresh: None,
            max_stale: None,
            stale_if_error: None,
        };
        if policy.obey_requests {
            ask.read_directives(headers);
        }
        Ok(ask)
    }

    fn read_directives(&mut self, headers: &HeaderMap) {
        let mut any = false;
        for directive in directives::of(headers) {
            any = true;
            let seconds = directive.seconds();
            if directive.is("no-cache") {
                self.no_cache = true;
            } else if directive.is("no-store") {
                self.no_store = true;
            } else if directive.is("only-if-cached") {
                self.only_if_cached = true;
            } else if directive.is("max-age") {
                least(&mut self.max_age, seconds.unwrap_or(0));
            } else if directive.is("min-fresh") {
                self.min_fresh = self.min_fresh.max(Some(seconds.unwrap_or(SECONDS_MAX)));
            } else if directive.is("max-stale") {
                let any_time = directive.argument == directives::Argument::None;
                least(&mut self.max_stale, if any_time { SECONDS_MAX } else { seconds.unwrap_or(0) });
            } else if directive.is("stale-if-error") {
                least(&mut self.stale_if_error, seconds.unwrap_or(0));
            }
        }
        // RFC 9111 §5.4: only where nothing else is said
        if !any {
            let pragmas = headers.get_all(PRAGMA).iter();
            let mut words = pragmas.flat_map(|line| directives::members(line.as_bytes()));
            self.no_cache = words.any(|word| word.eq_ignore_ascii_case(b"no-cache"));
        }
    }
}

fn least(held: &mut Option<Seconds>, said: Seconds) {
    *held = Some(held.map_or(said, |held| held.min(said)));
}
