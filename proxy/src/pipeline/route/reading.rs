//! The ways in which an app may read a path, so that all of them lead to the same route.
//!
//! A path goes up byte for byte, and nobody knows how the app there reads it: whether it decodes `%2F` before it splits,
//! merges `//`, drops `;parameters`, resolves `..`. Matching on one normalised copy would be right for one kind of app and
//! a way past the routes for every other. So: dot segments, plain or encoded, are refused, as no well-behaved client
//! sends them (RFC 3986 §6.2.2.3); and where the strictest and the most lenient reading lead to different routes, the
//! request is refused. Prefixes hold no `%`, `;` or `//`, so whatever a reading matches a more lenient one matches too,
//! and the readings in between agree when these two do.
//!
//! A path is decoded once. An app that decodes twice is open to itself, behind any proxy.

use std::borrow::Cow;

use super::LocalReply;

/// Whether a path has only one reading: no escapes, no parameters, no empty segments, none that begins with a dot.
pub(super) fn is_plain(path: &str) -> bool {
    let mut previous = 0;
    path.bytes().fold(true, |plain, byte| {
        let opens = std::mem::replace(&mut previous, byte) == b'/';
        plain & !((byte == b'%') | (byte == b';') | (opens & ((byte == b'/') | (byte == b'.'))))
    })
}

/// Decoded where it does not matter: `%2F` is no separator (RFC 3986 §2.2).
pub(super) fn strict(path: &str) -> Cow<'_, [u8]> {
    if path.contains('%') { Cow::Owned(decode(path.as_bytes(), false)) } else { Cow::Borrowed(path.as_bytes()) }
}

/// Decoded altogether, without parameters and empty segments.
///
/// # Errors
/// `target_invalid` for a segment that is `.` or `..` by any reading.
pub(super) fn lenient(path: &str) -> Result<Vec<u8>, LocalReply> {
    let decoded = decode(path.as_bytes(), true);
    let mut read = Vec::with_capacity(decoded.len());
    let mut segments = decoded.split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let bare = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        if matches!(bare, b"." | b"..") {
            return Err(LocalReply::TargetInvalid("a . or .. segment"));
        }
        read.extend_from_slice(bare);
        if segments.peek().is_some() && read.last() != Some(&b'/') {
            read.push(b'/');
        }
    }
    Ok(read)
}

/// One pass of percent-decoding; what is no escape stays.
fn decode(path: &[u8], slashes: bool) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [first, after @ ..] = rest {
        match (first, after) {
            (b'%', [high, low, after @ ..])
                if let (Some(high), Some(low)) = (digit(*high), digit(*low))
                    && (slashes || high * 16 + low != b'/') =>
            {
                decoded.push(high * 16 + low);
                rest = after;
            }
            _ => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    decoded
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
