//! Entity tags (RFC 9110 §8.8.3).

use http::{HeaderMap, header::ETAG};

/// `"abc"` or `W/"abc"`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tag<'a> {
    weak: bool,
    /// With its quotes.
    opaque: &'a [u8],
}

impl Tag<'_> {
    /// RFC 9110 §8.8.3.2: the same representation, byte for byte.
    pub(super) fn is_strongly(&self, other: &Tag<'_>) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// RFC 9110 §8.8.3.2: as good as the same.
    pub(super) fn is_weakly(&self, other: &Tag<'_>) -> bool {
        self.opaque == other.opaque
    }

    /// Written the same.
    pub(super) fn is_same(&self, other: &Tag<'_>) -> bool {
        self.weak == other.weak && self.opaque == other.opaque
    }

    pub(super) fn is_weak(&self) -> bool {
        self.weak
    }
}

/// The tag of a representation; None when there is none, it is not written as one, or two lines disagree.
pub(super) fn of(headers: &HeaderMap) -> Option<Tag<'_>> {
    let mut lines = headers.get_all(ETAG).iter();
    let first = lines.next()?;
    if lines.any(|line| line != first) {
        return None;
    }
    single(first.as_bytes())
}

/// One tag and nothing else.
pub(super) fn single(written: &[u8]) -> Option<Tag<'_>> {
    let (tag, rest) = first(written.trim_ascii())?;
    rest.is_empty().then_some(tag)
}

/// The tags of a list, up to the first thing that is none.
pub(super) fn list(mut rest: &[u8]) -> impl Iterator<Item = Tag<'_>> {
    std::iter::from_fn(move || {
        while let [b' ' | b'\t' | b',', after @ ..] = rest {
            rest = after;
        }
        let (tag, after) = first(rest)?;
        rest = after;
        Some(tag)
    })
}

/// The tag at the beginning and what follows it.
fn first(written: &[u8]) -> Option<(Tag<'_>, &[u8])> {
    let (weak, quoted) = match written {
        [b'W', b'/', quoted @ ..] => (true, quoted),
        quoted => (false, quoted),
    };
    let [b'"', inside @ ..] = quoted else { return None };
    let length = inside.iter().position(|byte| *byte == b'"')?;
    // RFC 9110 §8.8.3: no spaces, no control characters
    if !inside[..length].iter().all(|byte| *byte > b' ' && *byte != 0x7f) {
        return None;
    }
    let (opaque, rest) = quoted.split_at(length + 2);
    Some((Tag { weak, opaque }, rest))
}
