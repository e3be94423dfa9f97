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

/// Keyed hash of (tenant, limit, parts): 64 bits for the tenant, 64 for what is limited within it.
///
/// SipHash-2-4 (Aumasson and Bernstein 2012), a pseudorandom function: who chooses tenants and parts but does not know the
/// secret can neither aim at the key of another nor find two of his own that are equal but by trying, and learns nothing
/// from keys that he sees. XXH3 is four times as fast and was not chosen: pairs of parts are known that are equal for one
/// secret in 2^27. Not claimed: that keys never collide. Two buckets of one tenant coincide by chance once in 2^64 pairs,
/// and then share what they may.
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
