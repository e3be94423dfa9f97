//! Whether an answer may be stored at all (RFC 9111 §3).

use http::{HeaderMap, StatusCode, header::SET_COOKIE};

use super::{Ask, Authorization, Policy, Vary, terms::Said};

/// Why an answer is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unstorable {
    /// The answer to HEAD has no body to store (RFC 9111 §4.3.5 is [another way](super::revalidate::head)).
    Method,
    /// The request says `no-store` (RFC 9111 §5.2.1.5).
    RequestNoStore,
    /// The answer says `no-store` (RFC 9111 §5.2.2.5).
    NoStore,
    /// The answer is for one user (RFC 9111 §5.2.2.7).
    Private,
    /// The request was authorized, and the answer does not say that others may have it (RFC 9111 §3.5).
    Authorization,
    /// The answer sets a cookie: it is meant for one user, whatever else it says.
    SetCookie,
    /// `Vary: *`, or more names than are kept (RFC 9111 §4.1).
    VaryAny,
    /// A part of the representation (RFC 9111 §3.3: parts are not kept).
    Partial,
    /// A status that is not stored, or not without a word of the origin about it (RFC 9111 §3, §4.2.2).
    Status,
    /// Never fresh, and nothing to validate it by: it would serve nobody.
    ExpiredWithoutValidator,
}

impl Unstorable {
    /// The stable token of logs, metrics and `Cache-Status`.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::RequestNoStore => "request-no-store",
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::Authorization => "authorization",
            Self::SetCookie => "set-cookie",
            Self::VaryAny => "vary-any",
            Self::Partial => "partial",
            Self::Status => "status",
            Self::ExpiredWithoutValidator => "expired-without-validator",
        }
    }
}

/// Everything but the last reason, which needs the lifetime.
pub(super) fn check(
    ask: &Ask,
    status: StatusCode,
    headers: &HeaderMap,
    said: &Said,
    policy: &Policy,
) -> Result<(), Unstorable> {
    if ask.head {
        return Err(Unstorable::Method);
    }
    if ask.no_store {
        return Err(Unstorable::RequestNoStore);
    }
    if status == StatusCode::PARTIAL_CONTENT {
        return Err(Unstorable::Partial);
    }
    // RFC 9111 §5.2.2.3: with must-understand the status decides, and no-store is for caches that do not know it
    if said.must_understand && !understood(status) {
        return Err(Unstorable::Status);
    }
    if said.no_store && !said.must_understand {
        return Err(Unstorable::NoStore);
    }
    if said.private && policy.authorization == Authorization::Rfc {
        return Err(Unstorable::Private);
    }
    // RFC 9111 §3.5
    let shared = said.must_revalidate || said.public || said.s_maxage.is_some();
    if ask.authorized && policy.authorization == Authorization::Rfc && !shared {
        return Err(Unstorable::Authorization);
    }
    if headers.contains_key(SET_COOKIE) {
        return Err(Unstorable::SetCookie);
    }
    if !lasting(status) || !(said.explicit() || said.public || heuristically_cacheable(status)) {
        return Err(Unstorable::Status);
    }
    if matches!(Vary::of(headers), Vary::Any) {
        return Err(Unstorable::VaryAny);
    }
    Ok(())
}

/// A final answer that is about the whole resource: not interim (RFC 9111 §3), and none that only this request's own
/// conditions or range brought about.
fn lasting(status: StatusCode) -> bool {
    (200..600).contains(&status.as_u16())
        && !matches!(
            status,
            StatusCode::NOT_MODIFIED | StatusCode::PRECONDITION_FAILED | StatusCode::RANGE_NOT_SATISFIABLE
        )
}

/// RFC 9110 §15.1.
pub(super) fn heuristically_cacheable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// Statuses whose rules about caching are known here: those of RFC 9110 §15 that are stored.
fn understood(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200..=205 | 300..=303 | 307 | 308 | 400..=411 | 413..=415 | 417 | 421 | 422 | 426 | 500..=505)
}
