//! What the client gets of a stored answer: the whole of it, or the word that it has it already (RFC 9111 §4.3.2).

use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{
        CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE, IF_MODIFIED_SINCE,
        IF_NONE_MATCH, LAST_MODIFIED,
    },
};

use super::{
    Millis, SECONDS_MAX, Seconds,
    date::{self, Field},
    status, tag,
};

/// What a request's own conditions make of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The answer, or the [range](super::range) of it that was asked for.
    Whole,
    /// 304 with the [fields](kept_in_304) of the answer.
    NotModified,
}

/// Judges `If-None-Match`, else `If-Modified-Since` (RFC 9110 §13.2.2), for GET and HEAD.
///
/// `stored` is the head of the stored answer, of `status`, received at `received`. A cache does not evaluate `If-Match`
/// and `If-Unmodified-Since` (RFC 9111 §4.3.2): requests with them [pass it by](super::Bypass::Precondition).
#[must_use]
pub fn conditional(request: &HeaderMap, status: StatusCode, stored: &HeaderMap, received: Millis) -> Reply {
    // RFC 9110 §13.2.1: conditions are about what would be sent otherwise, and only if that is a success
    if !status.is_success() {
        return Reply::Whole;
    }
    let unchanged = if request.contains_key(IF_NONE_MATCH) {
        none_match(request, stored)
    } else {
        modified_since(request, stored, received)
    };
    if unchanged { Reply::NotModified } else { Reply::Whole }
}

/// RFC 9110 §13.1.2: whether one of the tags is that of the answer.
fn none_match(request: &HeaderMap, stored: &HeaderMap) -> bool {
    let tag = tag::of(stored);
    request.get_all(IF_NONE_MATCH).iter().any(|line| {
        let line = line.as_bytes().trim_ascii();
        line == b"*" || tag.is_some_and(|tag| tag::list(line).any(|theirs| theirs.is_weakly(&tag)))
    })
}

/// RFC 9110 §13.1.3, RFC 9111 §4.3.2: whether the answer is not younger than the date.
fn modified_since(request: &HeaderMap, stored: &HeaderMap, received: Millis) -> bool {
    let mut lines = request.get_all(IF_MODIFIED_SINCE).iter();
    // one member, or it says nothing
    let (Some(line), None) = (lines.next(), lines.next()) else { return false };
    let Some(since) = date::parse(line.as_bytes()) else { return false };
    let changed = match (date::field(stored, &LAST_MODIFIED), date::field(stored, &DATE)) {
        (Field::At(modified), _) => modified,
        // there is a date of change, but nobody can tell which
        (Field::Invalid, _) => return false,
        (Field::Absent, Field::At(sent)) => sent,
        (Field::Absent, _) => received / 1000,
    };
    changed <= since
}

/// Whether a field of the stored answer goes out with its 304 (RFC 9110 §15.4.5): not those that describe a body which
/// is not sent, and no date of change where there is a tag.
#[must_use]
pub fn kept_in_304(name: &HeaderName, stored: &HeaderMap) -> bool {
    match *name {
        CONTENT_ENCODING | CONTENT_LANGUAGE | CONTENT_LENGTH | CONTENT_RANGE | CONTENT_TYPE => false,
        LAST_MODIFIED => tag::of(stored).is_none(),
        _ => true,
    }
}

/// The value of `Age` (RFC 9111 §5.1), at most 2^31; the first thousand allocate nothing.
#[must_use]
pub fn age(age: Seconds) -> HeaderValue {
    status::small(age).unwrap_or_else(|| HeaderValue::from(age.min(SECONDS_MAX)))
}
