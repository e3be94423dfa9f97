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
#[cfg(test)]
mod tests;

pub use logarithm::distance;

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
        let score = score(slot, taker.salt);
        Self { key: score | u64::from(taker.tie), distance: distance(score), weight: taker.weight, stamp: taker.stamp }
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
        let own = u128::from(self.distance) * u128::from(other.weight);
        let others = u128::from(other.distance) * u128::from(self.weight);
        others.cmp(&own).then(self.key.cmp(&other.key))
    }
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

/// Slots that are ranked together: their places fit the first-level cache. Divides every number of slots.
pub(crate) const BLOCK: usize = 128;

/// Computes the stored ranks of slot after slot for one set of takers.
pub(crate) enum Ranker<'a> {
    /// All weights are equal: the largest scores, without logarithms. `by_tie` finds the stamp of a key's low bits.
    Equal { takers: &'a [Taker], by_tie: Vec<u16> },
    /// The general case.
    Weighted(&'a [Taker]),
}

impl<'a> Ranker<'a> {
    pub(crate) fn new(takers: &'a [Taker]) -> Self {
        if !takers.windows(2).all(|pair| pair[0].weight == pair[1].weight) {
            return Self::Weighted(takers);
        }
        let mut by_tie = vec![NOBODY; 1 << TIE_BITS];
        for taker in takers {
            by_tie[usize::from(taker.tie)] = taker.stamp;
        }
        Self::Equal { takers, by_tie }
    }

    /// The stamps of the first [`STORED`] ranks of the slots from `first` on; [`NOBODY`] where there are fewer takers.
    pub(crate) fn rank(&self, first: u32, rows: &mut [[u16; STORED]; BLOCK]) {
        match self {
            Self::Equal { takers, by_tie } => {
                let mut best = [[0u64; STORED]; BLOCK];
                // stamps outside, slots inside: what hashing derives from the salt is derived once, and neighbouring
                // slots do not wait for each other
                let (early, late) = takers.split_at(takers.len().min(4 * STORED));
                for taker in early {
                    for (slot, best) in (first..).zip(&mut best) {
                        insert(best, score(slot, taker.salt) | u64::from(taker.tie));
                    }
                }
                for taker in late {
                    for (slot, best) in (first..).zip(&mut best) {
                        let key = score(slot, taker.salt) | u64::from(taker.tie);
                        // by now most keys are too small, so that a branch pays
                        if key > best[STORED - 1] {
                            insert(best, key);
                        }
                    }
                }
                for (row, best) in rows.iter_mut().zip(best) {
                    *row = best.map(|key| by_tie[(key & TIE_MASK) as usize]);
                }
            }
            Self::Weighted(takers) => {
                for (slot, row) in (first..).zip(rows) {
                    *row = nearest(takers, slot);
                }
            }
        }
    }
}

/// Inserts without branches: which scores are large is chance, a branch would be mispredicted.
#[inline]
fn insert(best: &mut [u64; STORED], mut key: u64) {
    for place in best {
        (*place, key) = (key.max(*place), key.min(*place));
    }
}

/// The general case: the nearest takers of a slot, whatever their weights.
fn nearest(takers: &[Taker], slot: u32) -> [u16; STORED] {
    let mut best = [Place::NOWHERE; STORED];
    for taker in takers {
        let place = Place::of(taker, slot);
        if place <= best[STORED - 1] {
            continue;
        }
        let above = best.iter().take_while(|other| **other > place).count();
        best[above..].rotate_right(1);
        best[above] = place;
    }
    best.map(|place| place.stamp)
}
