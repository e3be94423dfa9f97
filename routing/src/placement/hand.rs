//! The hand of a tenant: everything that may serve it, in order of choice.
//!
//! A hand is a shuffle shard: failover stays inside it. Invariants: its first member is the owner; no member is a stamp
//! that the receiver's rule ([`Placement::accepts`]) would turn away; a Draining stamp is never a destination, only the
//! last resort.

use arrayvec::ArrayVec;
use serde::Serialize;

use super::{Passed, Placement, RegionIndex, Role, StampIndex};
use crate::{id::TenantId, table::Millis};

/// So many Active stamps with a share of 1 end the walk: k of the shuffle shard.
pub const FULL_MAX: usize = 3;

/// Most members of a hand.
pub const HAND_MAX: usize = 8;

/// A member of a hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Who.
    pub stamp: StampIndex,
    /// Why it is in the hand.
    pub role: Role,
    /// Whether it holds the tenant now.
    pub holds: bool,
    /// Draining and not the owner: only when nothing else is left.
    pub last_resort: bool,
}

/// Everything that may serve a tenant, in order of choice: 1 to 8 candidates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hand {
    candidates: ArrayVec<Candidate, HAND_MAX>,
}

/// Why nothing may serve a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum NoStamp {
    /// No stamp takes slots.
    #[error("no stamp takes slots: activate one")]
    NoStamp,
    /// None in the regions in which the tenant may be served.
    #[error("no stamp takes slots in the regions of this tenant: activate one there")]
    NoStampInRegion,
    /// The stamp of its strict pin serves nothing.
    #[error(
        "the stamp to which this tenant is strictly pinned neither is Active nor Draining: activate it or move the pin"
    )]
    PinnedStampDown,
}

impl Hand {
    /// The owner.
    #[must_use]
    pub fn first(&self) -> Option<Candidate> {
        self.candidates.first().copied()
    }

    /// In order of choice.
    pub fn iter(&self) -> impl Iterator<Item = Candidate> + '_ {
        self.candidates.iter().copied()
    }

    /// Whether a stamp is a candidate.
    #[must_use]
    pub fn contains(&self, stamp: StampIndex) -> bool {
        self.candidates.iter().any(|candidate| candidate.stamp == stamp)
    }

    /// How many candidates.
    #[must_use]
    pub fn len(&self) -> usize {
        self.candidates.len()
    }

    /// Never true of a hand that was dealt.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }

    /// Orders what was passed: the owner, then Active stamps that hold, then Active stamps that do not, then Draining.
    fn deal(passed: &[Passed]) -> Self {
        let of = |wanted: fn(&Passed) -> bool| passed.iter().position(wanted);
        let owner = of(|p| p.hold.holds()).or_else(|| of(|p| !p.draining)).unwrap_or(0);
        let group = |at: usize, p: &Passed| match (at == owner, p.draining, p.hold.holds()) {
            (true, ..) => 0,
            (_, false, true) => 1,
            (_, false, false) => 2,
            (_, true, _) => 3,
        };
        let mut order: ArrayVec<(u8, Candidate), HAND_MAX> = passed
            .iter()
            .enumerate()
            .map(|(at, p)| {
                let (holds, last_resort) = (p.hold.holds(), p.draining && at != owner);
                (group(at, p), Candidate { stamp: p.stamp, role: p.role, holds, last_resort })
            })
            .take(HAND_MAX)
            .collect();
        order.sort_by_key(|(group, _)| *group); // stable: rank order within a group
        Self { candidates: order.into_iter().map(|(_, candidate)| candidate).collect() }
    }
}

impl Placement {
    /// Everything that may serve the tenant, in order of choice, for a request that came in at `entry`.
    ///
    /// The walk ends after three Active stamps with a share of 1; all that was passed is in the hand. Where that is more
    /// than eight, the owner and the full stamps stay and the last Draining, then the last ramping stamps go.
    ///
    /// # Errors
    /// [`NoStamp`]: why there is none.
    pub fn hand(&self, tenant: &TenantId, entry: RegionIndex, now: Millis) -> Result<Hand, NoStamp> {
        let seat = self.seat(tenant, entry);
        let mut passed: ArrayVec<Passed, HAND_MAX> = ArrayVec::new();
        let (mut full, mut owned) = (0, false);
        for next in self.walk(&seat, now) {
            let is_owner = next.hold.holds() && !owned;
            owned |= next.hold.holds();
            if passed.try_push(next).is_err() {
                make_room(&mut passed, next, is_owner);
            }
            full += usize::from(next.is_full());
            if full == FULL_MAX {
                break;
            }
        }
        if !passed.is_empty() {
            return Ok(Hand::deal(&passed));
        }
        Err(if seat.strict {
            NoStamp::PinnedStampDown
        } else if seat.itinerary.is_restricted() {
            NoStamp::NoStampInRegion
        } else {
            NoStamp::NoStamp
        })
    }
}

/// Takes `next` into a hand that is full in place of the last of those that matter least, if any matters less. An Active
/// stamp must not be crowded out by Draining ones, nor the owner by anyone.
fn make_room(passed: &mut ArrayVec<Passed, HAND_MAX>, next: Passed, is_owner: bool) {
    let owner = passed.iter().position(|p| p.hold.holds());
    let matters = |p: &Passed, owns: bool| match (owns || p.is_full(), p.draining) {
        (true, _) => 2,
        (false, false) => 1,
        (false, true) => 0,
    };
    let ranked = passed.iter().enumerate().map(|(at, p)| (matters(p, Some(at) == owner), at));
    let Some((least, at)) = ranked.min_by_key(|(matters, at)| (*matters, usize::MAX - at)) else { return };
    if least < matters(&next, is_owner) {
        passed.remove(at);
        passed.push(next);
    }
}
