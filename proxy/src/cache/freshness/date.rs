//! HTTP's dates (RFC 9110 §5.6.7): whole seconds since the epoch, from any of the three forms.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, header::HeaderName};
use httpdate::HttpDate;

use super::Millis;

/// Seconds since the Unix epoch.
pub(super) type Date = u64;

/// The longest form: `Wednesday, 06-Nov-94 08:49:37 GMT`.
const LENGTH_MAX: usize = 33;

/// A field that holds one date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// There is no such field.
    Absent,
    /// It cannot be read, or two lines disagree.
    Invalid,
    /// One date.
    At(Date),
}

impl Field {
    /// The date, if there is one.
    pub(super) fn at(self) -> Option<Date> {
        match self {
            Self::At(date) => Some(date),
            Self::Absent | Self::Invalid => None,
        }
    }
}

/// Reads the field. Lines that say the same are one (RFC 9111 §4.2.1).
pub(super) fn field(headers: &HeaderMap, name: &HeaderName) -> Field {
    let mut lines = headers.get_all(name).iter();
    let Some(first) = lines.next() else { return Field::Absent };
    if lines.any(|line| line != first) {
        return Field::Invalid;
    }
    parse(first.as_bytes()).map_or(Field::Invalid, Field::At)
}

/// Reads a date. A year of two digits is of this century below 70, else of the last: what RFC 9110 §5.6.7 takes for a date
/// within 50 years to come is then at worst past, which is stale. Caches do not care for the case of its letters (RFC 9111 §4.2).
pub(super) fn parse(written: &[u8]) -> Option<Date> {
    let written = written.trim_ascii();
    if written.len() > LENGTH_MAX {
        return None;
    }
    let text = std::str::from_utf8(written).ok()?;
    let date = text.parse::<HttpDate>().ok().or_else(|| cased(written)?.as_str().parse().ok())?;
    SystemTime::from(date).duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// The date with its letters as they should be: names begin with a capital, zones are capitals.
fn cased(written: &[u8]) -> Option<arrayvec::ArrayString<LENGTH_MAX>> {
    let mut text = arrayvec::ArrayString::new();
    let mut inside = false;
    for byte in written {
        let byte = if inside { byte.to_ascii_lowercase() } else { byte.to_ascii_uppercase() };
        text.try_push(char::from(byte)).ok()?;
        inside = byte.is_ascii_alphabetic();
    }
    if text.ends_with(" Gmt") {
        text.truncate(text.len() - 3);
        text.push_str("GMT");
    }
    Some(text)
}

/// Writes the second in which `at` lies; a time after the year 9999 as the last one that can be written.
pub(super) fn write(at: Millis) -> HeaderValue {
    const LAST: u64 = 253_402_300_799;
    let since = Duration::from_secs((at / 1000).min(LAST));
    let text = HttpDate::from(UNIX_EPOCH + since).to_string();
    HeaderValue::from_maybe_shared(text.into_bytes()).unwrap_or_else(|_| HeaderValue::from_static(""))
}
