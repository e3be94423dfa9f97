//! Ramps: a stamp comes in or goes out slot by slot, at a pace that everybody computes alone.
//!
//! One formula: a stamp holds slot `s` iff `mix(seed, s, stamp) < p(now)`, with `p` linear from `from` to `to` over
//! `seconds` since `started_at`, frozen at `held_at`. Invariant: the order in which slots come and go depends only on
//! the seed and the stamp, never on the ramp; so a ramp moves a tenant at most once, and a ramp that runs backwards
//! gives the slots back in reverse. Comparisons are exact: `p` is a fraction, not a rounded number of per mille.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{
    id::{StampId, TenantId},
    table::{Millis, Ramp, Seed, Stamp, State},
};

/// All, in per mille.
pub const WHOLE: u16 = 1_000;

/// Longest ramp that a table may carry: seven days, in seconds.
pub const SECONDS_MAX: u32 = 7 * 24 * 3_600;

/// The share of its slots that a stamp holds at an instant: an exact fraction between 0 and 1.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    numerator: u64,
    denominator: u64,
}

impl Share {
    /// Everything.
    pub const FULL: Self = Self { numerator: 1, denominator: 1 };
    /// Nothing.
    pub const NONE: Self = Self { numerator: 0, denominator: 1 };

    /// Whether what mixes to `mix` is held. Monotone: a larger share holds all that a smaller one holds.
    #[inline]
    #[must_use]
    pub fn holds(self, mix: u64) -> bool {
        // mix / 2^64 < numerator / denominator
        u128::from(mix).wrapping_mul(u128::from(self.denominator)) < u128::from(self.numerator) << 64
    }

    /// Whether the share is 1.
    #[inline]
    #[must_use]
    pub fn is_full(self) -> bool {
        self.numerator >= self.denominator
    }

    /// Whether the share is 0.
    #[must_use]
    pub fn is_none(self) -> bool {
        self.numerator == 0
    }

    /// The share in per mille, rounded down.
    fn per_mille_down(self) -> u16 {
        let floor = u128::from(self.numerator) * u128::from(WHOLE) / u128::from(self.denominator.max(1));
        u16::try_from(floor.min(u128::from(WHOLE))).unwrap_or(WHOLE)
    }

    /// The share in per mille, rounded up: more than nothing never reads as 0.
    #[must_use]
    pub fn per_mille(self) -> u16 {
        let whole = u128::from(WHOLE);
        let rounded = (u128::from(self.numerator) * whole).div_ceil(u128::from(self.denominator.max(1)));
        u16::try_from(rounded.min(whole)).unwrap_or(WHOLE)
    }
}

/// `p(now)` of a ramp.
#[inline]
#[must_use]
pub fn at(ramp: &Ramp, now: Millis) -> Share {
    let length = u64::from(ramp.seconds) * 1_000;
    if length == 0 {
        return Share { numerator: u64::from(ramp.to), denominator: u64::from(WHOLE) };
    }
    let instant = ramp.held_at.map_or(now, |held| held.min(now));
    let elapsed = instant.saturating_sub(ramp.started_at).min(length);
    let numerator = u64::from(ramp.from) * (length - elapsed) + u64::from(ramp.to) * elapsed;
    Share { numerator, denominator: u64::from(WHOLE) * length }
}

/// The share of its slots that a stamp holds: that of its ramp; without one all when Active and nothing when Draining;
/// nothing in any other state.
#[must_use]
pub fn share(stamp: &Stamp, now: Millis) -> Share {
    match (stamp.state, &stamp.ramp) {
        (State::Active | State::Draining, Some(ramp)) => at(ramp, now),
        (State::Active, None) => Share::FULL,
        _ => Share::NONE,
    }
}

/// A ramp from what the stamp holds now to `to` per mille, over `seconds`.
///
/// Rising from a drain (its cancellation) it starts at 1 per mille at least: that is how a stamp that takes back what it
/// gave away is told from a stamp that comes in for the first time ([`is_coming_back`]).
#[must_use]
pub fn onward(stamp: &Stamp, to: u16, now: Millis, seconds: u32) -> Ramp {
    let share = share(stamp, now);
    // a drain gives up a fraction of a per mille at once rather than take slots for a moment
    let held = if to == 0 { share.per_mille_down() } else { share.per_mille() };
    let from = if stamp.state == State::Draining && to > 0 { held.max(1) } else { held };
    Ramp { from, to, started_at: now, seconds, held_at: None }
}

/// Whether the stamp takes back what it gave away in a drain that was cancelled: Active, on a ramp that rises from more
/// than nothing. It stays true after the ramp's end, when it no longer changes anything.
#[must_use]
pub fn is_coming_back(stamp: &Stamp) -> bool {
    stamp.state == State::Active && stamp.ramp.is_some_and(|ramp| ramp.from > 0 && ramp.to > ramp.from)
}

/// What a stamp contributes to its mixes. Words keep slots, pins and ranks independent of each other, whatever the seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Salts {
    slots: u64,
    pins: u64,
}

impl Salts {
    pub(crate) fn new(seed: Seed, stamp: &StampId) -> Self {
        let salt = |word: &str| xxh3_64_with_seed(format!("{word}:{stamp}").as_bytes(), seed.0);
        Self { slots: salt("ramp"), pins: salt("pin") }
    }

    /// `mix(seed, slot, stamp)`, uniform over u64.
    #[inline]
    pub(crate) fn slot(self, slot: u32) -> u64 {
        xxh3_64_with_seed(&slot.to_le_bytes(), self.slots)
    }

    /// `mix(tenant, stamp)`: when a preferred pin moves.
    #[inline]
    pub(crate) fn pin(self, tenant: &TenantId) -> u64 {
        xxh3_64_with_seed(tenant.as_bytes(), self.pins)
    }
}

#[cfg(test)]
mod tests;
