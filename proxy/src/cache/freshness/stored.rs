//! What of an answer's head is stored (RFC 9111 §3.1).

use http::{
    HeaderMap, HeaderName,
    header::{AGE, CONNECTION, DATE},
};

use super::{
    Authorization, Millis, Policy,
    date::{self, Field},
    directives::{self, Directive},
};

/// Fields of one connection, whether `Connection` names them or not (RFC 9110 §7.6.1), and those between a client and
/// its proxy (RFC 9111 §3.1).
const NEVER: [&str; 11] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// Fields without which the body or these rules would read differently. A directive that lists one of them is taken to
/// mean the whole answer.
const NEEDED: [&str; 12] = [
    "age",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "etag",
    "expires",
    "last-modified",
    "transfer-encoding",
    "vary",
];

/// Makes of a received head what is stored: without the fields of the connection, without those that `no-cache` and
/// `private` list (RFC 9111 §5.2.2.4, §5.2.2.7), without `Age`, which is counted anew, and with a `Date`
/// (RFC 9110 §6.6.1). To be called after [`Terms::of`](super::Terms::of), which reads `Age`.
pub fn keep(headers: &mut HeaderMap, received: Millis, policy: &Policy) {
    let mut away: Vec<HeaderName> = listed_by_connection(headers);
    for directive in directives::of(headers) {
        let listing = directive.is("no-cache") || directive.is("private") && policy.authorization == Authorization::Rfc;
        if listing && strips(&directive) {
            away.extend(directive.fields().into_iter().flatten().filter_map(|name| HeaderName::from_bytes(name).ok()));
        }
    }
    for name in away {
        headers.remove(name);
    }
    for name in NEVER {
        headers.remove(name);
    }
    headers.remove(AGE);
    if !matches!(date::field(headers, &DATE), Field::At(_)) {
        headers.insert(DATE, date::write(received));
    }
}

/// Whether the directive is about the fields that it lists and not about the whole answer.
pub(super) fn strips(directive: &Directive<'_>) -> bool {
    directive.fields().is_some_and(|mut names| !names.any(needed))
}

fn needed(name: &[u8]) -> bool {
    NEEDED.iter().any(|needed| name.eq_ignore_ascii_case(needed.as_bytes()))
}

/// The fields that `Connection` names. Those that are for everybody cannot be named there (RFC 9110 §7.6.1).
pub(super) fn listed_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let lines = headers.get_all(CONNECTION).iter();
    let names = lines.flat_map(|line| directives::members(line.as_bytes()));
    let names = names.filter(|name| !needed(name));
    names.filter_map(|name| HeaderName::from_bytes(name).ok()).collect()
}

/// Whether the field never enters the store, whatever else the head says.
pub(super) fn never(name: &HeaderName) -> bool {
    NEVER.contains(&name.as_str())
}
