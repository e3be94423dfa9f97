//! Header fields of a route: which ones it asks for, and which ones it changes on the way up and on the way down.
//!
//! Invariant: no edit touches what the proxy itself answers for: framing, the connection, Host, tenant, its own fields.

use http::{HeaderName, HeaderValue, header};
use toml::Spanned;

use crate::{
    section::Section,
    settings::{HeaderEdits, HeaderMatch},
    value::{Reader, Wrong, text, text_shown},
};

/// Most entries of one list of fields.
const FIELDS_MAX: usize = 32;
/// Longest value of a field in bytes.
const VALUE_BYTES_MAX: usize = 4096;

/// `headers` of a route: `[{ name = "x-beta" }, { name = "x-version", value = "2" }]`.
pub(super) fn matches(route: &mut Section<'_>) -> Vec<HeaderMatch> {
    let sections = route.sections("headers", FIELDS_MAX).unwrap_or_default();
    let entry = |section: Section<'_>| {
        section.read(|s| {
            // one that the proxy rewrites would choose one route at the entry and another at the owner
            let name = s.required("name", "name = \"x-beta\"", text(editable));
            let value = s.optional("value", secret_value()).map(Spanned::into_inner);
            Some(HeaderMatch { name: name?.into_inner(), value })
        })
    };
    sections.into_iter().filter_map(entry).collect()
}

/// `request_headers` or `response_headers` of a route.
pub(super) fn edits(section: Section<'_>) -> HeaderEdits {
    section.read(|s| {
        let remove = s.list_or("remove", 0..=FIELDS_MAX, Vec::new(), text(editable));
        let set = s.map("set", FIELDS_MAX, editable, secret_value());
        let add = s.map("add", FIELDS_MAX, editable, secret_value());
        for (field, _) in &add {
            if set.iter().any(|(other, _)| other.get_ref() == field.get_ref()) {
                s.fault(&field.span(), "this field is set and added: write one of both");
            }
        }
        let plain = |fields: Vec<(Spanned<HeaderName>, HeaderValue)>| {
            fields.into_iter().map(|(name, value)| (name.into_inner(), value)).collect()
        };
        HeaderEdits { remove, set: plain(set), add: plain(add) }
    })
}

/// The name of any field.
pub(super) fn name(written: &str) -> Result<HeaderName, Wrong> {
    HeaderName::from_bytes(written.as_bytes())
        .map_err(|_| "a header name is letters, digits and -, such as x-tenant-id".to_owned())
}

/// Shown nowhere, as it may be a key of the app's.
fn secret_value() -> Reader<HeaderValue> {
    text_shown(value, |_| "***".to_owned())
}

fn value(written: &str) -> Result<HeaderValue, Wrong> {
    if written.len() > VALUE_BYTES_MAX {
        return Err("a value has at most 4096 bytes".to_owned());
    }
    if written == "***" {
        return Err("*** stands for a secret where settings are shown; write the value itself, or ${NAME}".to_owned());
    }
    if written.trim() != written {
        return Err("a value neither begins nor ends with a blank: it would not arrive".to_owned());
    }
    let printable = written.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    let read = HeaderValue::from_str(written).ok().filter(|_| printable);
    let mut value = read.ok_or_else(|| "a value is printable ASCII without line breaks".to_owned())?;
    // it may be a key of the app's: no debug output shows it
    value.set_sensitive(true);
    Ok(value)
}

/// Whether a field belongs to one connection or one exchange, and so to the proxy alone.
pub(super) fn steers(name: &HeaderName) -> bool {
    let steering = [
        header::HOST,
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::TE,
        header::TRAILER,
        header::UPGRADE,
        header::EXPECT,
        header::VIA,
        header::MAX_FORWARDS,
        header::SEC_WEBSOCKET_ACCEPT,
        header::SEC_WEBSOCKET_KEY,
        header::SEC_WEBSOCKET_VERSION,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("http2-settings"),
    ];
    steering.contains(name) || name.as_str().starts_with("proxy-")
}

/// A field that an edit may touch and a route may ask for.
pub(super) fn editable(written: &str) -> Result<HeaderName, Wrong> {
    let name = name(written)?;
    let text = name.as_str();
    if steers(&name) {
        return Err("this field steers the connection and is the proxy's to write".to_owned());
    }
    if text.starts_with("x-synaxis-") || text.starts_with("x-forwarded-") || text == "forwarded" {
        return Err("this field is the proxy's own".to_owned());
    }
    if text.contains('_') {
        return Err("fields with an underscore are dropped from requests; write a hyphen".to_owned());
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_edit_touches_what_the_proxy_answers_for() {
        assert_eq!(editable("X-Served-By").unwrap(), "x-served-by");
        for own in [
            "Host",
            "connection",
            "Content-Length",
            "Transfer-Encoding",
            "upgrade",
            "Via",
            "proxy-authenticate",
            "X-Synaxis-Tenant",
            "X-Forwarded-For",
            "Forwarded",
            "x_a",
            "",
            "a b",
            "x:",
        ] {
            assert!(editable(own).is_err(), "{own:?}");
        }
    }

    #[test]
    fn a_value_is_one_line_of_printable_text() {
        for good in ["", "1", "max-age=31536000; includeSubDomains"] {
            assert!(value(good).is_ok(), "{good:?}");
        }
        for bad in ["a\r\nb", "a\nb", "\0", " a", "a ", "\u{e4}", &"x".repeat(4097)] {
            assert!(value(bad).is_err(), "{bad:?}");
        }
    }
}
