//! The one function through which the framing of every forwarded message goes.
//!
//! hyper believes header fields before it believes bodies. So whatever the sender wrote about framing and about its own
//! connection is removed here, and then exactly one framing is set, from the body itself (RFC 9112 §6, RFC 9110 §7.6.1).

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{self, CONTENT_LENGTH, TRANSFER_ENCODING},
};

/// Fields that belong to one connection, never to the next.
pub const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
    header::EXPECT,
];

/// Prefix of the fields that only stamps exchange.
pub const INTERNAL: &str = "x-synaxis-";

/// The length of a message's body, as its object says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// No body and no framing field.
    None,
    /// Exactly so many bytes.
    Exact(u64),
    /// Unknown until it ends.
    Unknown,
}

/// A `Connection` field that names what a client may not remove.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the Connection field names {0}, which is not the client's to remove")]
pub struct ForbiddenNomination(pub String);

/// Rewrites a head for its next hop: hop-by-hop fields, the fields that `Connection` names and all framing fields leave;
/// one framing comes.
///
/// # Errors
/// [`ForbiddenNomination`] when `Connection` names a protected field; the head must not be forwarded then.
pub fn egress(headers: &mut HeaderMap, length: Length, protected: &HeaderName) -> Result<(), ForbiddenNomination> {
    strip_nominated(headers, protected)?;
    strip_hop_by_hop(headers);
    set(headers, length);
    Ok(())
}

/// Removes what `Connection` names.
fn strip_nominated(headers: &mut HeaderMap, protected: &HeaderName) -> Result<(), ForbiddenNomination> {
    if !headers.contains_key(header::CONNECTION) {
        return Ok(());
    }
    let fields: Vec<HeaderValue> = headers.get_all(header::CONNECTION).iter().cloned().collect();
    for field in &fields {
        for name in field.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|name| !name.is_empty())
        {
            let Ok(name) = HeaderName::from_bytes(name) else {
                return Err(ForbiddenNomination("something that is no field name".into()));
            };
            if is_protected(&name, protected) {
                return Err(ForbiddenNomination(name.to_string()));
            }
            headers.remove(&name);
        }
    }
    Ok(())
}

/// What a `Connection` field may not name: stripping it would be literal obedience, and it is an attack.
fn is_protected(name: &HeaderName, tenant: &HeaderName) -> bool {
    let text = name.as_str();
    name == tenant
        || matches!(
            text,
            "host"
                | "content-length"
                | "transfer-encoding"
                | "authorization"
                | "cookie"
                | "cache-control"
                | "forwarded"
                | "via"
        )
        || ["x-forwarded-", "x-azure-", "x-tenant-", INTERNAL].iter().any(|prefix| text.starts_with(prefix))
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    // one cheap pass decides whether the removals, a hash lookup each, are needed at all
    if !headers.keys().any(|name| is_hop_by_hop(name.as_str())) {
        return;
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    let proxy: Vec<HeaderName> = headers.keys().filter(|name| name.as_str().starts_with("proxy-")).cloned().collect();
    for name in &proxy {
        headers.remove(name);
    }
}

fn is_hop_by_hop(name: &str) -> bool {
    matches!(name, "connection" | "keep-alive" | "te" | "trailer" | "upgrade" | "http2-settings" | "expect")
        || name.starts_with("proxy-")
}

/// Sets exactly one framing.
fn set(headers: &mut HeaderMap, length: Length) {
    headers.remove(TRANSFER_ENCODING);
    match length {
        Length::None => {
            headers.remove(CONTENT_LENGTH);
        }
        Length::Exact(bytes) => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes));
        }
        Length::Unknown => {
            headers.remove(CONTENT_LENGTH);
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }
}

/// Removes every field that only stamps exchange.
pub fn strip_internal(headers: &mut HeaderMap) {
    let internal: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with(INTERNAL)).cloned().collect();
    for name in &internal {
        headers.remove(name);
    }
}

/// Removes from an answer what only stamps exchange, except the reason token, which is the client's to know.
pub fn strip_internal_answer(headers: &mut HeaderMap) {
    if !headers.keys().any(|name| name.as_str().starts_with(INTERNAL)) {
        return;
    }
    let reason = headers.remove("x-synaxis-reason");
    strip_internal(headers);
    if let Some(reason) = reason {
        headers.insert("x-synaxis-reason", reason);
    }
}
