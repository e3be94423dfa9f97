//! The one function through which the framing of every forwarded message goes.
//!
//! hyper believes header fields before it believes bodies. So whatever the sender wrote about framing and about its own
//! connection is removed here, and then exactly one framing is set, from the body itself (RFC 9112 §6, RFC 9110 §7.6.1).

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{self, CONTENT_LENGTH, Entry, TRANSFER_ENCODING},
};

#[cfg(test)]
mod tests;

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

/// Which fields a head has that one connection must not hand to the next; from one walk over the names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    connection: bool,
    hop_by_hop: bool,
    coding: bool,
    /// `Content-Length`.
    pub length: bool,
    internal: bool,
}

impl Marks {
    /// Walks over the names.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut marks = Self::default();
        for name in headers.keys() {
            match *name {
                header::CONNECTION => marks.connection = true,
                CONTENT_LENGTH => marks.length = true,
                TRANSFER_ENCODING => marks.coding = true,
                header::TE | header::TRAILER | header::UPGRADE | header::EXPECT => marks.hop_by_hop = true,
                _ => match name.as_str() {
                    // the other names of interest begin with one of these; almost no field does
                    text if !matches!(text.as_bytes()[0], b'h' | b'k' | b'p' | b'x') => {}
                    text if text.starts_with(INTERNAL) => marks.internal = true,
                    text => marks.hop_by_hop |= is_hop_by_hop(text),
                },
            }
        }
        marks
    }
}

/// Rewrites a request's head for its next hop: hop-by-hop fields, the fields that `Connection` names and all framing
/// fields leave; one framing comes.
///
/// # Errors
/// [`ForbiddenNomination`] when `Connection` names a protected field; the head must not be forwarded then.
pub fn egress(headers: &mut HeaderMap, length: Length, protected: &HeaderName) -> Result<(), ForbiddenNomination> {
    let marks = Marks::of(headers);
    if marks.connection {
        nominated(headers, protected)?;
        headers.remove(header::CONNECTION);
    }
    if marks.hop_by_hop {
        strip_hop_by_hop(headers);
    }
    if marks.coding {
        headers.remove(TRANSFER_ENCODING);
    }
    match length {
        Length::None if marks.length => {
            headers.remove(CONTENT_LENGTH);
        }
        Length::None => {}
        Length::Exact(bytes) => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes));
        }
        Length::Unknown => {
            headers.remove(CONTENT_LENGTH);
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }
    Ok(())
}

/// Removes the fields that `Connection` names, which are this connection's alone, so that nothing is decided by what the
/// next hop does not get.
///
/// # Errors
/// [`ForbiddenNomination`] when it names a protected field.
pub fn nominated(headers: &mut HeaderMap, protected: &HeaderName) -> Result<(), ForbiddenNomination> {
    if headers.get_all(header::CONNECTION).iter().any(nominates) {
        strip_nominated(headers, protected)?;
    }
    Ok(())
}

/// Rewrites an answer's head for its way down; its framing is the server's work, from the body. Returns whether it has
/// a `Content-Length`.
pub fn answer(headers: &mut HeaderMap) -> bool {
    let mut marks = Marks::of(headers);
    if marks.connection {
        match headers.entry(header::CONNECTION) {
            Entry::Occupied(fields) if !fields.iter().any(nominates) => {
                fields.remove();
            }
            _ => {
                strip_freely(headers);
                headers.remove(header::CONNECTION);
                marks = Marks::of(headers);
            }
        }
    }
    if marks.hop_by_hop {
        strip_hop_by_hop(headers);
    }
    if marks.coding {
        headers.remove(TRANSFER_ENCODING);
    }
    if marks.internal {
        // except the reason token, which is the client's to know
        let reason = headers.remove("x-synaxis-reason");
        strip_internal(headers);
        reason.map(|reason| headers.insert("x-synaxis-reason", reason));
    }
    marks.length
}

/// Whether a head says where its body ends. One that ends with its connection may as well have been cut off.
#[must_use]
pub fn is_delimited(headers: &HeaderMap) -> bool {
    headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING)
}

/// Whether there is one `Content-Length`, which says exactly this as we would write it.
#[must_use]
pub fn says_length(headers: &HeaderMap, bytes: u64) -> bool {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(text) = lengths.next().map(HeaderValue::as_bytes) else { return false };
    let canonical = text.first() != Some(&b'0') || text.len() == 1;
    let value = text.iter().try_fold(0_u64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    });
    canonical && !text.is_empty() && value == Some(bytes) && lengths.next().is_none()
}

/// Leaves one `Content-Length` that describes a body which is not there, or none: several must be equal, and a number.
pub fn one_length(headers: &mut HeaderMap) {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let first = lengths.next().cloned();
    let number = |value: &HeaderValue| !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_digit);
    let kept = first.filter(|first| number(first) && lengths.all(|other| other == first));
    match kept {
        Some(length) => {
            headers.insert(CONTENT_LENGTH, length);
        }
        None => {
            headers.remove(CONTENT_LENGTH);
        }
    }
}

/// Whether a `Connection` field names fields; almost all say `keep-alive` or `close` and nothing else.
fn nominates(field: &HeaderValue) -> bool {
    let options = field.as_bytes();
    !options.eq_ignore_ascii_case(b"keep-alive") && !options.eq_ignore_ascii_case(b"close")
}

/// Removes what an upstream's `Connection` names. It may nominate what it likes: its connection ends here, and nothing
/// of it is protected from it.
fn strip_freely(headers: &mut HeaderMap) {
    let fields: Vec<HeaderValue> = headers.get_all(header::CONNECTION).iter().cloned().collect();
    for name in fields.iter().flat_map(names).flatten() {
        if !matches!(name, CONTENT_LENGTH | header::CONTENT_TYPE | header::SET_COOKIE) {
            headers.remove(name);
        }
    }
}

/// What a `Connection` field names; an error for something that is no field name.
fn names(field: &HeaderValue) -> impl Iterator<Item = Result<HeaderName, ()>> {
    field
        .as_bytes()
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.is_empty())
        .map(|name| HeaderName::from_bytes(name).map_err(|_| ()))
}

/// Removes what `Connection` names.
fn strip_nominated(headers: &mut HeaderMap, protected: &HeaderName) -> Result<(), ForbiddenNomination> {
    let fields: Vec<HeaderValue> = headers.get_all(header::CONNECTION).iter().cloned().collect();
    for name in fields.iter().flat_map(names) {
        let Ok(name) = name else {
            return Err(ForbiddenNomination("something that is no field name".into()));
        };
        if is_protected(&name, protected) {
            return Err(ForbiddenNomination(name.to_string()));
        }
        // every request names it that asks for a WebSocket, and it leaves with the hop-by-hop fields
        if name != header::UPGRADE {
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

/// Removes the fields that belong to one connection, never to the next.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    remove_where(headers, is_hop_by_hop);
}

fn is_hop_by_hop(name: &str) -> bool {
    matches!(name, "keep-alive" | "te" | "trailer" | "upgrade" | "http2-settings" | "expect")
        || name.starts_with("proxy-")
}

/// Removes every field whose name `leaves`.
pub fn remove_where(headers: &mut HeaderMap, leaves: impl Fn(&str) -> bool) {
    let leaving: Vec<HeaderName> = headers.keys().filter(|name| leaves(name.as_str())).cloned().collect();
    for name in &leaving {
        headers.remove(name);
    }
}

/// Removes every field that only stamps exchange.
pub fn strip_internal(headers: &mut HeaderMap) {
    remove_where(headers, |name| name.starts_with(INTERNAL));
}
