//! Weighted rendezvous hashing in integers: which stamps a slot prefers, in which order.
//!
//! Invariant: two builds of this code, on any platform, order the stamps of a slot in the same way. Hence no floating
//! point anywhere (`f64::ln` differs between platforms and compiler versions), and golden vectors in the tests.
//!
//! A stamp's score for a slot is a hash `h`; its distance is `L(h) / weight`, `L(h) = -log2((h + 1/2) / 2^64)` in fixed
//! point. The nearest stamp is rank 1. With `L` being an exponential clock, a stamp wins `weight / sum of weights` of
//! the slots, and changing one stamp moves only what that stamp gains or loses (Thaler & Ravishankar 1998; the
//! logarithm method of weighted rendezvous hashing). Equal weights reduce to "the largest score wins": the fast path
//! of a build, with the same result.

use std::cmp::Ordering;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::{
    id::{StampId, TenantId},
    table::{Seed, Stamp, State},
};

mod logarithm;
mod ranker;
#[cfg(test)]
mod tests;

pub use logarithm::distance;
pub(crate) use ranker::{BLOCK, Ranker};

/// Ranks a region keeps ready in columns; further ones are computed when they are asked for.
pub const STORED: usize = 4;

/// The low bits of a score make room for the order among stamps that share a key: 2^10 is more than
/// [`crate::table::STAMPS_MAX`]. Two different keys then tie once in 2^54 slots.
const TIE_BITS: u32 = 10;
const TIE_MASK: u64 = (1 << TIE_BITS) - 1;

/// The seeded hash of a tenant: its top bits are the slot, all of it is the key of the listed tenants.
#[inline]
#[must_use]
pub fn tenant_hash(seed: Seed, tenant: &TenantId) -> u64 {
    xxh3_64_with_seed(tenant.as_bytes(), seed.0)
}

/// The slot of a tenant hash: its top `slots_log2` bits (1 to 32).
#[inline]
#[must_use]
pub fn slot(tenant_hash: u64, slots_log2: u8) -> u32 {
    (tenant_hash >> (64 - u32::from(slots_log2))) as u32
}

/// What a placement key contributes to all its scores.
#[must_use]
pub fn salt(placement_key: &StampId) -> u64 {
    xxh3_64(placement_key.as_str().as_bytes())
}

/// The score `h` of a placement key for a slot; its low ten bits are zero.
#[inline]
#[must_use]
pub fn score(slot: u32, salt: u64) -> u64 {
    xxh3_64_with_seed(&slot.to_le_bytes(), salt) & !TIE_MASK
}

/// A stamp that takes slots, as ranking sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taker {
    /// Index into the table's stamps.
    pub(crate) stamp: u16,
    salt: u64,
    weight: u16,
    /// 1023 for the first among equals, counting down.
    tie: u16,
}

impl Taker {
    /// Its score, with the tie order in the low bits.
    #[inline]
    fn key(&self, slot: u32) -> u64 {
        score(slot, self.salt) | u64::from(self.tie)
    }
}

/// The stamps of `stamps` that take slots and that `belongs` admits, ready to be ranked. More than 1,000 are ignored:
/// [`crate::sanity`] refuses such a table before.
pub(crate) fn takers(stamps: &[Stamp], belongs: impl Fn(&Stamp) -> bool) -> Vec<Taker> {
    let mut chosen: Vec<(u16, &Stamp)> = (0u16..)
        .zip(stamps)
        .take(crate::table::STAMPS_MAX)
        .filter(|(_, stamp)| stamp.takes_slots() && belongs(stamp))
        .collect();
    chosen.sort_by(|(_, a), (_, b)| tie_order(a, b));
    (0u16..)
        .zip(chosen)
        .map(|(place, (stamp, of))| Taker {
            stamp,
            salt: salt(&of.placement_key),
            weight: of.weight,
            tie: TIE_MASK as u16 - place,
        })
        .collect()
}

/// Stamps that share a key have equal scores. The one that gives slots away (Draining, or taking them back after a
/// cancelled drain) comes first, so that the other one receives exactly what it releases; then the id decides.
fn tie_order(a: &Stamp, b: &Stamp) -> Ordering {
    let gives = |stamp: &Stamp| stamp.state == State::Draining || crate::ramp::is_coming_back(stamp);
    a.placement_key.cmp(&b.placement_key).then(gives(b).cmp(&gives(a))).then_with(|| a.id.cmp(&b.id))
}

/// A stamp's place in one slot. The greater one is preferred.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Score, with the tie order in its low bits: no two places of a slot are equal.
    key: u64,
    distance: u64,
    weight: u16,
    pub(crate) stamp: u16,
}

impl Place {
    /// Farther away than every real place.
    const NOWHERE: Self = Self { key: 0, distance: u64::MAX, weight: 1, stamp: NOBODY };

    pub(crate) fn of(taker: &Taker, slot: u32) -> Self {
        Self::at(taker.key(slot), taker.weight, taker.stamp)
    }

    fn at(key: u64, weight: u16, stamp: u16) -> Self {
        Self { key, distance: distance(key & !TIE_MASK), weight, stamp }
    }

    /// The score without the tie order.
    pub(crate) fn score(&self) -> u64 {
        self.key & !TIE_MASK
    }
}

impl Ord for Place {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        // L/w < L'/w'  <=>  L*w' < L'*w; equal distances fall back to the score, of which L is a coarser, monotone view:
        // that makes equal weights exactly "the largest score wins"
        let own = product(self.distance, other.weight);
        let others = product(other.distance, self.weight);
        others.cmp(&own).then(self.key.cmp(&other.key))
    }
}

/// Exact: 80 bits at most. Wrapping, so that it is one multiplication where overflow is checked too.
#[inline]
fn product(distance: u64, weight: u16) -> u128 {
    u128::from(distance).wrapping_mul(u128::from(weight))
}

impl PartialOrd for Place {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Place {}

/// No stamp at this rank.
pub(crate) const NOBODY: u16 = 0x3fff;
