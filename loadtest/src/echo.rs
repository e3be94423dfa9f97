//! What a request and its answer say of each other, so that a mix-up shows.
//!
//! Invariant: every eight bytes of a body follow from its request's id and their place alone, and no word of a body stands
//! in it twice or at the same place in the body of another id: a piece that was exchanged, moved or lost is found out, and
//! a single foreign byte unless it happens to be the same. Client and origin share nothing but this file.
//!
//! A shared resource is answered to many requests, perhaps by a cache that the origin does not see: in its answer, tenant and
//! resource ([`subject`]) stand where the id of the request stands in others.

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The request's unique id, a number. An origin records only requests that have one, and echoes it.
pub const ID: &str = "x-load-id";
/// The bytes that the answer should have.
pub const BYTES: &str = "x-load-bytes";
/// In an answer: the stamp whose origin gave it.
pub const STAMP: &str = "x-load-stamp";
/// In an answer: the tenant that the origin was asked for.
pub const TENANT: &str = "x-load-tenant";
/// In an answer: the shared resource that the origin was asked for, in place of [`ID`] and [`UPLOAD`].
pub const RESOURCE: &str = "x-load-resource";
/// In an answer: [`digest`] of the upload that the origin read.
pub const UPLOAD: &str = "x-load-upload";
/// The tenant as the platform names it.
pub const TENANT_ID: &str = "x-tenant-id";

/// Where a tenant's shared resources are.
pub const SHARED: &str = "/shared";

/// Uploads and answers of one request differ by this.
const UPLOAD_SALT: u64 = 0xA5A5_A5A5_A5A5_A5A5;

/// Bytes of a word.
const WORD: usize = 8;

/// The step of splitmix64, the golden ratio: odd, so no two places have the same word.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// The finaliser of splitmix64 (Steele, Lea and Flood 2014): every number becomes another one, and neighbours far ones.
const fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

/// The words of a body.
#[derive(Clone, Copy, Debug)]
struct Words {
    key: u64,
}

impl Words {
    fn of(seed: u64) -> Self {
        // mixed, so that the words of one id are not those of another some places further on
        Self { key: mix(seed) }
    }

    fn at(self, place: usize) -> u64 {
        mix(self.key.wrapping_add((place as u64).wrapping_mul(STEP)))
    }

    /// `length` bytes from a place on.
    fn bytes(self, place: usize, length: usize) -> Bytes {
        let mut bytes = vec![0; length.next_multiple_of(WORD)];
        let (words, _) = bytes.as_chunks_mut();
        words.iter_mut().zip(place..).for_each(|(word, place)| *word = self.at(place).to_le_bytes());
        bytes.truncate(length);
        bytes.into()
    }
}

fn size(bytes: u32) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// The path of a tenant's shared resource; the tenant is not in it.
#[must_use]
pub fn path(resource: u32) -> String {
    format!("{SHARED}/{resource}")
}

/// The shared resource that a path is of, if it is of one.
#[must_use]
pub fn resource(path: &str) -> Option<u32> {
    path.strip_prefix(SHARED)?.strip_prefix('/')?.parse().ok()
}

/// What stands for a tenant's shared resource where the id of a request stands for another answer. Those of two tenants or
/// resources are the same, or a request's id, by an accident of 64 bits only.
#[must_use]
pub fn subject(tenant: &str, resource: u32) -> u64 {
    xxh3_64_with_seed(tenant.as_bytes(), mix(u64::from(resource) + 1))
}

/// The body of the answer to a request.
#[must_use]
pub fn answer(id: u64, bytes: u32) -> Bytes {
    Words::of(id).bytes(0, size(bytes))
}

/// Longest piece of [`pieces`]: whole words.
const PIECE: usize = 64 << 10;

/// The body of the answer to a request in pieces of at most 64 KiB, each made when it is asked for.
pub fn pieces(id: u64, bytes: u32) -> impl Iterator<Item = Bytes> + Send + 'static {
    let (words, bytes) = (Words::of(id), size(bytes));
    (0..bytes).step_by(PIECE).map(move |at| words.bytes(at / WORD, (bytes - at).min(PIECE)))
}

/// The body of an upload.
#[must_use]
pub fn upload(id: u64, bytes: u32) -> Bytes {
    Words::of(id ^ UPLOAD_SALT).bytes(0, size(bytes))
}

/// Tells uploads apart, those of two requests even where their few bytes are the same.
#[must_use]
pub fn digest(id: u64, upload: &[u8]) -> u64 {
    xxh3_64_with_seed(upload, mix(id))
}

/// Compares an answer's body with what it must be, piece by piece.
#[derive(Clone, Debug)]
pub struct Matcher {
    words: Words,
    seen: usize,
    /// Bits that were not as they must be.
    differ: u64,
}

impl Matcher {
    /// For the answer to the request `id`.
    #[must_use]
    pub fn new(id: u64) -> Self {
        Self { words: Words::of(id), seen: 0, differ: 0 }
    }

    /// The next piece.
    pub fn feed(&mut self, piece: &[u8]) {
        // the end of a word that the piece before began
        let (end, rest) = piece.split_at(piece.len().min(self.seen.next_multiple_of(WORD) - self.seen));
        self.part(end);
        let (words, begin) = rest.as_chunks();
        for (word, place) in words.iter().zip(self.seen / WORD..) {
            self.differ |= u64::from_le_bytes(*word) ^ self.words.at(place);
        }
        self.seen += words.len() * WORD;
        self.part(begin);
    }

    /// Bytes within one word.
    fn part(&mut self, bytes: &[u8]) {
        let wanted = self.words.at(self.seen / WORD).to_le_bytes();
        for (byte, wanted) in bytes.iter().zip(&wanted[self.seen % WORD..]) {
            self.differ |= u64::from(byte ^ wanted);
        }
        self.seen += bytes.len();
    }

    /// Whether nothing came that does not belong to it.
    #[must_use]
    pub fn matches(&self) -> bool {
        self.differ == 0
    }

    /// Whether all of it came and nothing else.
    #[must_use]
    pub fn is_whole(&self, bytes: u32) -> bool {
        self.matches() && self.seen == size(bytes)
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

    /// Another id: any, or one that differs in a bit or by a step.
    fn others() -> impl Strategy<Value = (u64, u64)> {
        let other = prop_oneof![
            any::<u64>().prop_map(|other| (other, true)),
            (0..64u32).prop_map(|bit| (1 << bit, false)),
            Just((STEP, true)),
            Just((UPLOAD_SALT, false)),
        ];
        let pair =
            |(id, (other, step)): (u64, (u64, bool))| (id, if step { id.wrapping_add(other) } else { id ^ other });
        (any::<u64>(), other).prop_map(pair).prop_filter("two ids", |(id, other)| id != other)
    }

    proptest! {
        #[test]
        fn a_body_matches_in_any_pieces_and_nothing_shorter_or_longer_does(id: u64, bytes in 1..200u32, pieces in 1..50usize) {
            let body = answer(id, bytes);
            prop_assert!(fed(id, &body, pieces).is_whole(bytes));
            prop_assert_eq!(super::pieces(id, bytes).collect::<Vec<_>>().concat(), &body[..]);
            prop_assert!(!fed(id, &body[..body.len() - 1], pieces).is_whole(bytes), "too short");
            prop_assert!(!fed(id, &answer(id, bytes + 1), pieces).is_whole(bytes), "too long");
            let moved = answer(id, bytes + 8).split_off(WORD);
            prop_assert!(!fed(id, &moved, pieces).is_whole(bytes), "a word was lost before it");
        }

        #[test]
        fn a_single_byte_that_is_not_its_own_is_found(id: u64, bytes in 1..200u32, pieces in 1..50usize, at: usize, bits in 1u8..) {
            let mut body = answer(id, bytes).to_vec();
            let at = at % body.len();
            body[at] ^= bits;
            prop_assert!(!fed(id, &body, pieces).is_whole(bytes));
        }

        #[test]
        fn a_word_of_another_id_is_found(ids in others(), words in 1..32usize, pieces in 1..50usize, at: usize) {
            let (id, other) = ids;
            let bytes = u32::try_from(words * WORD).unwrap();
            let (mut body, at) = (answer(id, bytes).to_vec(), at % words * WORD);
            body[at..at + WORD].copy_from_slice(&answer(other, bytes)[at..at + WORD]);
            prop_assert!(!fed(id, &body, pieces).is_whole(bytes));
        }

        #[test]
        fn two_words_that_changed_places_are_found(id: u64, words in 2..64usize, pieces in 1..50usize, one: usize, two: usize) {
            let (one, two) = (one % words, two % words);
            prop_assume!(one != two);
            let bytes = u32::try_from(words * WORD).unwrap();
            let mut body = answer(id, bytes).to_vec();
            (0..WORD).for_each(|byte| body.swap(one * WORD + byte, two * WORD + byte));
            prop_assert!(!fed(id, &body, pieces).is_whole(bytes));
        }

        #[test]
        fn no_body_is_that_of_another_id_or_way(ids in others(), bytes in 8..200u32, pieces in 1..50usize) {
            let (id, other) = ids;
            prop_assert!(!fed(id, &answer(other, bytes), pieces).is_whole(bytes));
            prop_assert!(!fed(id, &upload(id, bytes), pieces).is_whole(bytes));
        }

        #[test]
        fn uploads_of_two_requests_have_two_digests_from_the_first_byte_on(ids in others(), bytes in 0..64u32) {
            let (id, other) = ids;
            let own = digest(id, &upload(id, bytes));
            prop_assert_ne!(own, digest(other, &upload(other, bytes)));
            prop_assert_ne!(own, digest(other, &upload(id, bytes)), "the same bytes in another's name");
            prop_assume!(upload(id, bytes) != upload(other, bytes));
            prop_assert_ne!(own, digest(id, &upload(other, bytes)), "another's bytes in its name");
        }
    }

    #[test]
    fn a_resource_is_one_tenants_and_its_path_says_which() {
        let mut seen = std::collections::HashSet::new();
        for (tenant, number) in (0..100).flat_map(|tenant| (0..100).map(move |number| (tenant, number))) {
            assert_eq!(resource(&path(number)), Some(number));
            assert!(seen.insert(subject(&crate::workload::tenant(tenant), number)), "{number} of {tenant}");
        }
        for other in
            ["/load", "/shared", "/shared/", "/shared/x", "/shared/-1", "/shared7", "/shared/7/8", "/shared/4294967296"]
        {
            assert_eq!(resource(other), None, "{other}");
        }
    }

    #[test]
    fn neighbours_have_few_bytes_in_common() {
        let bytes = 4_096;
        for id in 0..100 {
            let (one, two) = (answer(id, bytes), answer(id + 1, bytes));
            let same = one.iter().zip(&two).filter(|(one, two)| one == two).count();
            // one byte in 256 by chance
            assert!(same < 48, "{id}: {same} of {bytes}");
        }
    }

    #[test]
    fn a_large_answer_in_pieces_is_the_same_answer_and_no_piece_comes_twice() {
        let piece = u32::try_from(PIECE).unwrap();
        for bytes in [piece - 1, piece, piece + 1, 5 * piece + 17] {
            let pieces: Vec<Bytes> = pieces(9, bytes).collect();
            assert_eq!(pieces.concat(), answer(9, bytes)[..]);
            assert!(pieces.iter().all(|piece| piece.len() <= PIECE));
            assert!(pieces.windows(2).all(|two| two[0] != two[1]));
        }
    }
}
