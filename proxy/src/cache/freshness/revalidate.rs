//! Asking the origin whether a stored answer still holds (RFC 9111 §4.3).

use http::{
    HeaderMap, HeaderName, StatusCode,
    header::{
        CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH,
        IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE,
    },
};

use super::{
    Millis,
    date::{self, Field},
    stored, tag,
};

/// What an answer to a validating request means for the stored one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds: [`merge`], then [`Terms::of`](super::Terms::of).
    Holds,
    /// It is another one's 304: ask again without conditions (RFC 9111 §4.3.4).
    Other,
}

/// What an answer to HEAD means for the stored answer to GET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadSays {
    /// It holds: [`merge`], then [`Terms::of`](super::Terms::of) with an [`Ask`](super::Ask) that is not `head`.
    Holds,
    /// It has changed: from now on it is stale, and its validators are those of the past.
    Changed,
    /// Nothing: the answer is an error or of another kind.
    Nothing,
}

/// Takes the client's own conditions out of a request, and its range: what the origin sends is then the whole answer, to
/// be stored, and [the reply](super::reply::conditional) to the client is made from that.
pub fn put_aside(request: &mut HeaderMap) {
    for name in [IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE] {
        request.remove(name);
    }
}

/// Makes of a request one that validates the stored answer (RFC 9111 §4.3.1). False when the answer has no validator:
/// the request then asks for a whole answer.
pub fn ask(stored: &HeaderMap, request: &mut HeaderMap) -> bool {
    put_aside(request);
    let mut any = false;
    if tag::of(stored).is_some() {
        any |= copy(stored, &ETAG, request, IF_NONE_MATCH);
    }
    if date::field(stored, &LAST_MODIFIED).at().is_some() {
        any |= copy(stored, &LAST_MODIFIED, request, IF_MODIFIED_SINCE);
    }
    any
}

fn copy(stored: &HeaderMap, from: &HeaderName, request: &mut HeaderMap, to: HeaderName) -> bool {
    stored.get(from).is_some_and(|value| {
        request.insert(to, value.clone());
        true
    })
}

/// Whether the origin's answer is an error that a stale answer may hide (RFC 5861 §4).
#[must_use]
pub fn failed(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502..=504)
}

/// Whether a 304 is about the stored answer that [`ask`] was made from (RFC 9111 §4.3.4).
///
/// A 304 without any validator is taken as being about it: the request named no other answer. Section 4.3.4 would have
/// it only for an answer without validators, but many origins send none with a 304, and what else could it mean?
#[must_use]
pub fn verdict(stored: &HeaderMap, answer: &HeaderMap) -> Verdict {
    let same = match tag::of(answer) {
        Some(new) if new.is_weak() => tag::of(stored).is_some_and(|old| old.is_weakly(&new)),
        Some(new) => tag::of(stored).is_some_and(|old| old.is_strongly(&new)),
        None => match (date::field(answer, &LAST_MODIFIED), date::field(stored, &LAST_MODIFIED)) {
            (Field::At(new), Field::At(old)) => new == old,
            (Field::Absent, _) => true,
            _ => false,
        },
    };
    if same { Verdict::Holds } else { Verdict::Other }
}

/// What an answer to HEAD says about the stored answer to GET, which has `length` bytes (RFC 9111 §4.3.5).
#[must_use]
pub fn head(stored: &HeaderMap, length: u64, status: StatusCode, answer: &HeaderMap) -> HeadSays {
    if status != StatusCode::OK {
        return HeadSays::Nothing;
    }
    let same_length = answer.get(CONTENT_LENGTH).is_none_or(|said| said.as_bytes() == length.to_string().as_bytes());
    // each validator that it has must be the stored one
    let same_tag = tag::of(answer).is_none_or(|new| tag::of(stored).is_some_and(|old| old.is_same(&new)));
    let same_date = match (date::field(answer, &LAST_MODIFIED), date::field(stored, &LAST_MODIFIED)) {
        (Field::Absent, _) => true,
        (Field::At(new), Field::At(old)) => new == old,
        _ => false,
    };
    if same_length && same_tag && same_date { HeadSays::Holds } else { HeadSays::Changed }
}

/// Updates a stored head by that of a 304 or of an answer to HEAD, received at `received` (RFC 9111 §3.2).
///
/// Every field of the answer takes the place of the stored ones, but for those that are not stored and those that
/// describe the stored bytes: their length, their range, their coding. What the answer dates not was made when it came.
/// The result may hold `Set-Cookie` and `Age`: it is for [`Terms::of`](super::Terms::of) and this one client; what is
/// stored again goes through [`keep`](super::keep) first.
pub fn merge(stored: &mut HeaderMap, answer: &HeaderMap, received: Millis) {
    let listed = stored::listed_by_connection(answer);
    let kept = |name: &HeaderName| {
        matches!(*name, CONTENT_ENCODING | CONTENT_LENGTH | CONTENT_RANGE)
            || stored::never(name)
            || listed.contains(name)
    };
    for name in answer.keys().filter(|name| !kept(name)) {
        stored.remove(name);
        for value in answer.get_all(name) {
            stored.append(name, value.clone());
        }
    }
    if date::field(answer, &DATE).at().is_none() {
        stored.insert(DATE, date::write(received));
    }
}
