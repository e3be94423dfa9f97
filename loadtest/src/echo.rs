//! What a request and its answer say of each other, so that a mix-up shows.
//!
//! Invariant: a body repeats its request's id, so a piece of another answer is found out unless it has the same digits in
//! the same places. Client and origin share nothing but this file.

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

/// The request's unique id, a number. An origin records only requests that have one, and echoes it.
pub const ID: &str = "x-load-id";
/// The bytes that the answer should have.
pub const BYTES: &str = "x-load-bytes";
/// In an answer: the stamp whose origin gave it.
pub const STAMP: &str = "x-load-stamp";
/// In an answer: the tenant that the origin was asked for.
pub const TENANT: &str = "x-load-tenant";
/// In an answer: [`digest`] of the upload that the origin read.
pub const UPLOAD: &str = "x-load-upload";
/// The tenant as the platform names it.
pub const TENANT_ID: &str = "x-tenant-id";

/// Uploads and answers of one request differ by this.
const UPLOAD_SALT: u64 = 0xA5A5_A5A5_A5A5_A5A5;

const PERIOD: usize = 16;

fn pattern(id: u64) -> [u8; PERIOD] {
    let mut digits = [0; PERIOD];
    for (place, digit) in digits.iter_mut().enumerate() {
        let nibble = (id >> (4 * (PERIOD - 1 - place))) & 0xF;
        *digit = b"0123456789abcdef"[usize::try_from(nibble).unwrap_or_default()];
    }
    digits
}

fn body(seed: u64, bytes: u32) -> Bytes {
    let pattern = pattern(seed);
    let length = usize::try_from(bytes).unwrap_or(usize::MAX);
    let mut body = pattern.repeat(length.div_ceil(PERIOD));
    body.truncate(length);
    body.into()
}

/// The body of the answer to a request.
#[must_use]
pub fn answer(id: u64, bytes: u32) -> Bytes {
    body(id, bytes)
}

/// Longest piece of [`pieces`].
const PIECE: u32 = 64 << 10;

/// The body of the answer to a request in pieces that share their memory, for answers of any size.
pub fn pieces(id: u64, bytes: u32) -> impl Iterator<Item = Bytes> + Send + 'static {
    let piece = answer(id, bytes.min(PIECE));
    (0..bytes).step_by(PIECE as usize).map(move |at| {
        let length = usize::try_from((bytes - at).min(PIECE)).unwrap_or(usize::MAX);
        piece.slice(..length.min(piece.len()))
    })
}

/// The body of an upload.
#[must_use]
pub fn upload(id: u64, bytes: u32) -> Bytes {
    body(id ^ UPLOAD_SALT, bytes)
}

/// Tells uploads apart.
#[must_use]
pub fn digest(upload: &[u8]) -> u64 {
    xxh3_64(upload)
}

/// Compares an answer's body with what it must be, piece by piece.
#[derive(Clone, Debug)]
pub struct Matcher {
    pattern: [u8; PERIOD],
    seen: usize,
    matches: bool,
}

impl Matcher {
    /// For the answer to the request `id`.
    #[must_use]
    pub fn new(id: u64) -> Self {
        Self { pattern: pattern(id), seen: 0, matches: true }
    }

    /// The next piece.
    pub fn feed(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while !rest.is_empty() && self.matches {
            let wanted = &self.pattern[self.seen % PERIOD..];
            let (now, later) = rest.split_at(rest.len().min(wanted.len()));
            self.matches = *now == wanted[..now.len()];
            self.seen += now.len();
            rest = later;
        }
    }

    /// Whether nothing came that does not belong to it.
    #[must_use]
    pub fn matches(&self) -> bool {
        self.matches
    }

    /// Whether all of it came and nothing else.
    #[must_use]
    pub fn is_whole(&self, bytes: u32) -> bool {
        self.matches && Some(self.seen) == usize::try_from(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fed(id: u64, body: &[u8], pieces: usize) -> Matcher {
        let mut matcher = Matcher::new(id);
        body.chunks(pieces).for_each(|piece| matcher.feed(piece));
        matcher
    }

    proptest! {
        #[test]
        fn its_own_body_matches_in_any_pieces_and_no_other_does(id: u64, bytes in 1..200u32, pieces in 1..50usize, at: usize, other: u64) {
            let body = answer(id, bytes);
            prop_assert!(fed(id, &body, pieces).is_whole(bytes));
            prop_assert_eq!(super::pieces(id, bytes).collect::<Vec<_>>().concat(), &body[..]);
            prop_assert!(!fed(id, &body[1..], pieces).is_whole(bytes), "too short");
            prop_assert!(!fed(id, &[&body[..], b"0"].concat(), pieces).is_whole(bytes), "too long");
            let mut wrong = body.to_vec();
            wrong[at % body.len()] ^= 1;
            prop_assert!(!fed(id, &wrong, pieces).is_whole(bytes), "one byte that is not its own");
            prop_assume!(id != other && bytes >= 16);
            prop_assert!(!fed(id, &answer(other, bytes), pieces).is_whole(bytes));
        }
    }

    #[test]
    fn a_large_answer_in_pieces_is_the_same_answer() {
        for bytes in [PIECE - 1, PIECE, PIECE + 1, 5 * PIECE + 17] {
            assert_eq!(pieces(9, bytes).collect::<Vec<_>>().concat(), answer(9, bytes)[..]);
        }
    }

    #[test]
    fn an_upload_is_not_its_answer() {
        assert_ne!(upload(7, 64), answer(7, 64));
        assert_ne!(digest(&upload(7, 64)), digest(&upload(8, 64)));
    }
}
