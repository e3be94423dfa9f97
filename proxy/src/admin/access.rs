//! Who may ask what of the admin listener, and every way in which it says no.
//!
//! Invariant: off loopback nothing but probes and metrics is answered without the token, and nothing is changed without
//! it anywhere; a page in somebody's browser (another origin, a name that was rebound to this address, a form) changes
//! and reads nothing. Every refusal is one of [`REASONS`].

use std::net::{IpAddr, SocketAddr};

use http::{
    HeaderMap, StatusCode,
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, ORIGIN},
    uri::Authority,
};
use subtle::ConstantTimeEq as _;
use synaxis_config::settings::{Admin, Secret};

/// Every reason token of this listener, in the order of the documentation.
pub const REASONS: [&str; 17] = [
    "local_only",
    "token_required",
    "token_unset",
    "host_forbidden",
    "origin_forbidden",
    "method_not_allowed",
    "unknown",
    "content_type",
    "body_too_large",
    "body_timeout",
    "body_invalid",
    "query_invalid",
    "tenant_invalid",
    "region_unknown",
    "no_table",
    "loglevel_fixed",
    "cache_store_away",
];

/// Why a request is not answered as it was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    LocalOnly,
    TokenRequired,
    TokenUnset,
    HostForbidden,
    OriginForbidden,
    /// With the methods that there are.
    MethodNotAllowed(&'static str),
    Unknown,
    ContentType,
    BodyTooLarge,
    BodyTimeout,
    BodyInvalid(String),
    QueryInvalid(&'static str),
    TenantInvalid(&'static str),
    RegionUnknown(String),
    NoTable,
    LogLevelFixed,
    /// Why, without credentials.
    CacheStoreAway(String),
}

impl Refusal {
    /// Status, reason token, and what to do about it.
    pub(super) fn shape(&self) -> (StatusCode, &'static str, String) {
        let (status, reason, detail) = match self {
            Self::LocalOnly => (
                StatusCode::FORBIDDEN,
                "local_only",
                "this is answered on loopback only; off loopback it takes a token in [admin]",
            ),
            Self::TokenRequired => {
                (StatusCode::UNAUTHORIZED, "token_required", "send one Authorization: Bearer TOKEN, as in [admin]")
            }
            Self::TokenUnset => {
                (StatusCode::FORBIDDEN, "token_unset", "nothing is changed here without a token: write one in [admin]")
            }
            Self::HostForbidden => (
                StatusCode::FORBIDDEN,
                "host_forbidden",
                "ask by address or as localhost, or list this name under hosts in [admin]",
            ),
            Self::OriginForbidden => {
                (StatusCode::FORBIDDEN, "origin_forbidden", "this was sent by a page from elsewhere")
            }
            Self::MethodNotAllowed(_) => {
                (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "the field Allow says what there is")
            }
            Self::Unknown => (StatusCode::NOT_FOUND, "unknown", "GET / lists what there is"),
            Self::ContentType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "content_type",
                "send exactly one Content-Type: application/json and no Content-Encoding",
            ),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "a body has at most 64 KiB"),
            Self::BodyTimeout => (StatusCode::REQUEST_TIMEOUT, "body_timeout", "the body did not come within 2 s"),
            Self::BodyInvalid(why) => return (StatusCode::BAD_REQUEST, "body_invalid", why.clone()),
            Self::QueryInvalid(why) => (StatusCode::BAD_REQUEST, "query_invalid", *why),
            Self::TenantInvalid(why) => (StatusCode::BAD_REQUEST, "tenant_invalid", *why),
            Self::RegionUnknown(known) => {
                let detail = format!("the table has no such region; it has {known}");
                return (StatusCode::BAD_REQUEST, "region_unknown", detail);
            }
            Self::CacheStoreAway(why) => {
                return (StatusCode::SERVICE_UNAVAILABLE, "cache_store_away", why.clone());
            }
            Self::NoTable => (StatusCode::SERVICE_UNAVAILABLE, "no_table", "no routing table is loaded yet"),
            Self::LogLevelFixed => (
                StatusCode::CONFLICT,
                "loglevel_fixed",
                "this process was started without a filter that can be changed",
            ),
        };
        (status, reason, detail.to_owned())
    }
}

/// Whether `peer` may read what is not for everybody.
///
/// # Errors
/// [`Refusal`]: off loopback without the token; on loopback under a name that a page of the web may have.
pub(super) fn may_read(admin: &Admin, peer: SocketAddr, headers: &HeaderMap) -> Result<(), Refusal> {
    if !peer.ip().to_canonical().is_loopback() {
        let token = admin.token.as_ref().ok_or(Refusal::LocalOnly)?;
        return has_token(token, headers);
    }
    match host(headers) {
        // no browser leaves it out
        Ok(None) => Ok(()),
        // a name without a dot is nobody's on the web
        Ok(Some(name)) if is_own(&name, admin) || !name.contains('.') => Ok(()),
        _ => Err(Refusal::HostForbidden),
    }
}

/// Whether `peer` may change something, and with this head.
///
/// # Errors
/// [`Refusal`]: see [`Refusal::shape`].
pub(super) fn may_change(admin: &Admin, peer: SocketAddr, headers: &HeaderMap) -> Result<(), Refusal> {
    let local = peer.ip().to_canonical().is_loopback();
    let token = admin.token.as_ref().ok_or(if local { Refusal::TokenUnset } else { Refusal::LocalOnly })?;
    has_token(token, headers)?;
    match host(headers) {
        Ok(Some(name)) if is_own(&name, admin) => {}
        _ => return Err(Refusal::HostForbidden),
    }
    if headers.contains_key(ORIGIN) && !is_same_origin(headers) {
        return Err(Refusal::OriginForbidden);
    }
    let json = single(headers, CONTENT_TYPE).and_then(|value| value.split(';').next());
    let json = json.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"));
    if json && !headers.contains_key(CONTENT_ENCODING) { Ok(()) } else { Err(Refusal::ContentType) }
}

/// The value of a field that is there exactly once, as text.
fn single(headers: &HeaderMap, name: http::HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.to_str().ok()).flatten()
}

/// RFC 6750 §2.1; the scheme's case does not matter (RFC 9110 §11.1), the token's does.
fn has_token(token: &Secret, headers: &HeaderMap) -> Result<(), Refusal> {
    let sent = single(headers, AUTHORIZATION).and_then(|value| value.split_once(' '));
    let sent = sent.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, sent)| sent.trim_matches(' '));
    // in constant time; only the length shows
    let same = sent.is_some_and(|sent| bool::from(sent.as_bytes().ct_eq(token.expose().as_bytes())));
    if same { Ok(()) } else { Err(Refusal::TokenRequired) }
}

/// The name in Host, in lower case and without port; `Ok(None)` when the field is missing.
fn host(headers: &HeaderMap) -> Result<Option<String>, ()> {
    if !headers.contains_key(HOST) {
        return Ok(None);
    }
    let value = single(headers, HOST).filter(|value| !value.contains('@')).ok_or(())?;
    let authority: Authority = value.parse().map_err(|_| ())?;
    let name = authority.host().trim_end_matches('.').to_ascii_lowercase();
    if name.is_empty() { Err(()) } else { Ok(Some(name)) }
}

/// Whether a name leads to this listener without anybody else's say: what a name server answers for a page of the web
/// (DNS rebinding) is none of these.
fn is_own(name: &str, admin: &Admin) -> bool {
    let literal = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
    literal || name == "localhost" || admin.hosts.iter().any(|listed| listed == name)
}

/// Whether Origin names the very host that was asked (RFC 6454 §7); `null` never does.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let (Some(origin), Some(host)) = (single(headers, ORIGIN), single(headers, HOST)) else { return false };
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests;
