//! Whose bucket: 128 bits that stand for a tenant, a limit and what the limit tells apart.
//!
//! Invariant: the same secret and the same words give the same key in every process and version; the entry and the stamp
//! that serves compare keys without having told each other the words.

#![expect(
    deprecated,
    reason = "std's `SipHasher` is SipHash-2-4 by its documentation; its successor's algorithm is open"
)]

use std::{
    fmt,
    hash::{Hash, Hasher, SipHasher},
};

/// Stands for the number of parts where there are none to count: no key has that many.
const SHARED: u32 = u32::MAX;

/// Two keys of SipHash, shared by the processes that must agree on buckets. Whoever knows it can make collisions.
#[derive(Clone)]
pub struct Secret {
    tenants: SipHasher,
    cells: SipHasher,
}

impl Secret {
    /// From 32 bytes that nobody can guess.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        let [[a, b], [c, d]] = [0, 16].map(|from| [from, from + 8].map(|at| word(&bytes, at)));
        Self { tenants: SipHasher::new_with_keys(a, b), cells: SipHasher::new_with_keys(c, d) }
    }

    /// The half of a key that all keys of this tenant have.
    #[must_use]
    pub fn tenant(&self, name: &str) -> Tenant {
        let mut hasher = self.tenants.clone();
        hasher.write(name.as_bytes());
        Tenant(hasher.finish())
    }
}

fn word(bytes: &[u8; 32], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Keyed hash of a tenant's name.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tenant(pub(crate) u64);

impl Tenant {
    /// In whose name limits count that do not tell tenants apart. No tenant's, but for a chance of one in 2^64.
    pub const NOBODY: Self = Self(0);
}

/// Keyed hash of (tenant, limit, parts): 64 bits for the tenant, 64 for what is limited within it.
///
/// SipHash-2-4 (Aumasson and Bernstein 2012), a pseudorandom function: who chooses tenants and parts but does not know the
/// secret can neither aim at the key of another nor find two of his own that are equal but by trying, and learns nothing
/// from keys that he sees. XXH3 is several times as fast and was not chosen: its authors know pairs of inputs that are equal
/// for one random secret in 2^27. Not claimed: that keys never collide. Two buckets of one tenant coincide by chance once in
/// 2^64 pairs, and then share what they may.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key {
    pub(crate) tenant: u64,
    pub(crate) cell: u64,
}

impl Key {
    /// As 128 bits, the tenant's half above; printed as 32 hexadecimal digits it can go into a header.
    #[must_use]
    pub fn to_u128(self) -> u128 {
        u128::from(self.tenant) << 64 | u128::from(self.cell)
    }

    /// What [`to_u128`](Self::to_u128) gave.
    #[must_use]
    pub fn from_u128(bits: u128) -> Self {
        Self { tenant: (bits >> 64) as u64, cell: bits as u64 }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.cell);
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.to_u128())
    }
}

/// Makes the keys of one limit.
#[derive(Clone)]
pub struct Keys {
    /// Has read the limit's name.
    limit: SipHasher,
}

impl Keys {
    /// Of the limit of this name.
    #[must_use]
    pub fn new(secret: &Secret, limit: &str) -> Self {
        let mut hasher = secret.cells.clone();
        write(&mut hasher, limit.as_bytes());
        Self { limit: hasher }
    }

    /// The key of these parts of this tenant, in their order: a user, a route, an address, whatever the limit tells apart;
    /// none for the tenant as a whole.
    ///
    /// Each part goes in with its length, so ["ab", "c"] is not ["a", "bc"].
    #[must_use]
    pub fn key(&self, tenant: Tenant, parts: &[&[u8]]) -> Key {
        let mut hasher = self.limit.clone();
        hasher.write(&tenant.0.to_le_bytes());
        // never as many as 2^32
        hasher.write(&(parts.len() as u32).to_le_bytes());
        for part in parts {
            write(&mut hasher, part);
        }
        Key { tenant: tenant.0, cell: hasher.finish() }
    }

    /// The key of all of this tenant's that have no bucket of their own.
    pub(crate) fn shared(&self, tenant: u64) -> Key {
        let mut hasher = self.limit.clone();
        hasher.write(&tenant.to_le_bytes());
        hasher.write(&SHARED.to_le_bytes());
        Key { tenant, cell: hasher.finish() }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(..)")
    }
}

fn write(hasher: &mut SipHasher, part: &[u8]) {
    hasher.write(&(part.len() as u64).to_le_bytes());
    hasher.write(part);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(secret: u8, tenant: &str, limit: &str, parts: &[&[u8]]) -> u128 {
        let mut bytes = [0; 32];
        bytes.iter_mut().zip(secret..).for_each(|(byte, number)| *byte = number);
        let secret = Secret::new(bytes);
        Keys::new(&secret, limit).key(secret.tenant(tenant), parts).to_u128()
    }

    /// By the definition of SipHash-2-4, apart from this code.
    #[test]
    fn all_versions_make_the_same_keys() {
        let bytes: Vec<u8> = (0..=255).collect();
        for (tenant, limit, parts, expected) in [
            ("acme", "tenant", &[][..], "12a98bc0c9b00b84d05dc8bc2bbed834"),
            ("acme", "user", &[b"u-1".as_slice()][..], "12a98bc0c9b00b84e007dd6c5df823c8"),
            ("globex", "user", &[b"u-1"], "d682fcc51051f353e94e1c3e7fc2086c"),
            ("acme", "user-route", &[b"u-1", b"/v1/orders"], "12a98bc0c9b00b84e42b7268b3276e7d"),
            ("", "", &[b""], "726fdb47dd0e0e31e661e9b392b07a28"),
            ("zürich", "user", &[&bytes], "e262b117ba8aff1ada13bac5f4a654cf"),
        ] {
            assert_eq!(format!("{:032x}", key(0, tenant, limit, parts)), expected, "{tenant} {limit}");
        }
    }

    #[test]
    fn a_key_survives_the_way_through_a_header() {
        let bits = key(0, "acme", "user", &[b"u-1"]);
        assert_eq!(Key::from_u128(bits).to_u128(), bits);
        assert_eq!(format!("{:?}", Key::from_u128(bits)), format!("{bits:032x}"));
    }

    #[test]
    fn who_does_not_know_the_secret_does_not_know_a_bit_of_a_key() {
        let differing = key(0, "acme", "user", &[b"u-1"]) ^ key(1, "acme", "user", &[b"u-1"]);
        assert!((40..=88).contains(&differing.count_ones()), "{differing:032x}");
        assert_eq!(format!("{:?}", Secret::new([7; 32])), "Secret(..)");
    }

    #[test]
    fn only_the_tenant_is_in_the_upper_half() {
        let upper = |tenant, user: &[u8]| key(0, tenant, "user", &[user]) >> 64;
        assert_eq!(upper("acme", b"u-1"), upper("acme", b"u-2"));
        assert_ne!(upper("acme", b"u-1"), upper("globex", b"u-1"));
        // nor do the lower halves of one user of two tenants meet in one shard
        assert_ne!(key(0, "acme", "user", &[b"u-1"]) as u64, key(0, "globex", "user", &[b"u-1"]) as u64);
    }

    #[test]
    fn the_shared_cell_of_a_tenant_is_that_of_no_parts() {
        let (secret, none): (_, &[&[u8]]) = (Secret::new([3; 32]), &[]);
        let (keys, tenant) = (Keys::new(&secret, "user"), secret.tenant("acme"));
        let shared = keys.shared(tenant.0);
        assert_ne!(shared, keys.key(tenant, none));
        assert_ne!(shared, keys.key(tenant, &[b""]));
        assert_ne!(shared, Keys::new(&secret, "route").shared(tenant.0));
        assert_ne!(shared.cell, keys.shared(secret.tenant("globex").0).cell);
    }

    proptest! {
        /// Words of one letter, so that many lists read the same when they run together.
        #[test]
        fn parts_do_not_run_into_each_other(
            a in prop::collection::vec("a{0,3}", 1..5), b in prop::collection::vec("a{0,3}", 1..5)
        ) {
            let parts = |list: &[String]| {
                let list: Vec<&[u8]> = list.iter().map(|part| part.as_bytes()).collect();
                key(0, "acme", str::from_utf8(list[0]).unwrap(), &list[1..])
            };
            prop_assert_eq!(parts(&a) == parts(&b), a == b);
        }
    }
}
