//! A part of a stored answer (RFC 9110 §14).

use http::{
    HeaderMap, HeaderValue,
    header::{DATE, IF_RANGE, LAST_MODIFIED, RANGE},
};

use super::{date, directives::members, tag};

/// What a request's `Range` makes of a stored 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// 200: no range, several, one that cannot be read, or of another representation.
    Whole,
    /// 206: these bytes, both inclusive.
    Part {
        /// The first.
        from: u64,
        /// The last; below the length.
        to: u64,
    },
    /// 416: the answer has no such byte.
    Unsatisfiable,
}

/// Judges `Range` and `If-Range` of a GET against a stored 200 of `length` bytes. To be asked after the
/// [conditions](super::reply::conditional) (RFC 9110 §13.2.2).
#[must_use]
pub fn of(request: &HeaderMap, stored: &HeaderMap, length: u64) -> Range {
    let mut lines = request.get_all(RANGE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return Range::Whole };
    let Some(wanted) = single(line.as_bytes()) else { return Range::Whole };
    if !same_representation(request, stored) {
        return Range::Whole;
    }
    match wanted {
        // RFC 9110 §14.1.2: the last bytes of nothing are nothing, and no 206 can say so
        Wanted::Last(1..) if length == 0 => Range::Whole,
        Wanted::Last(0) => Range::Unsatisfiable,
        Wanted::Last(count) => Range::Part { from: length.saturating_sub(count), to: length - 1 },
        Wanted::From(from) | Wanted::Between(from, _) if from >= length => Range::Unsatisfiable,
        Wanted::From(from) => Range::Part { from, to: length - 1 },
        Wanted::Between(from, to) => Range::Part { from, to: to.min(length - 1) },
    }
}

/// `Content-Range` of a 206, or of a 416 (RFC 9110 §14.4); None for a whole answer.
#[must_use]
pub fn content_range(range: Range, length: u64) -> Option<HeaderValue> {
    let text = match range {
        Range::Whole => return None,
        Range::Part { from, to } => format!("bytes {from}-{to}/{length}"),
        Range::Unsatisfiable => format!("bytes */{length}"),
    };
    HeaderValue::from_maybe_shared(text.into_bytes()).ok()
}

/// One member of the field (RFC 9110 §14.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    From(u64),
    Between(u64, u64),
    Last(u64),
}

/// The range, if it is one of bytes, and one.
fn single(written: &[u8]) -> Option<Wanted> {
    let (unit, set) = written.trim_ascii().split_at_checked(6)?;
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return None;
    }
    let mut ranges = members(set);
    let (Some(range), None) = (ranges.next(), ranges.next()) else { return None };
    let dash = range.iter().position(|byte| *byte == b'-')?;
    match (&range[..dash], &range[dash + 1..]) {
        (b"", count) => number(count).map(Wanted::Last),
        (from, b"") => number(from).map(Wanted::From),
        (from, to) => {
            let (from, to) = (number(from)?, number(to)?);
            (from <= to).then_some(Wanted::Between(from, to))
        }
    }
}

/// Digits; a number that is too large is larger than any length.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |number: u64, digit| number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
}

/// `If-Range` (RFC 9110 §13.1.5): the client's part and ours are of the same bytes, surely.
fn same_representation(request: &HeaderMap, stored: &HeaderMap) -> bool {
    let mut lines = request.get_all(IF_RANGE).iter();
    let Some(line) = lines.next() else { return true };
    if lines.next().is_some() {
        return false;
    }
    if let Some(theirs) = tag::single(line.as_bytes()) {
        return tag::of(stored).is_some_and(|tag| tag.is_strongly(&theirs));
    }
    let theirs = date::parse(line.as_bytes());
    let modified = date::field(stored, &LAST_MODIFIED).at();
    let sent = date::field(stored, &DATE).at();
    // RFC 9110 §8.8.2.2: a date is a strong validator when no second change can have happened in its second
    theirs.is_some() && theirs == modified && modified.zip(sent).is_some_and(|(modified, sent)| modified < sent)
}
