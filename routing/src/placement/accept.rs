//! The receiver's side: may this stamp serve a tenant that another entry sent here?
//!
//! Invariant: whatever an entry with the same table puts into a hand, the stamp named accepts, even when their clocks
//! differ by several seconds. The rule is therefore membership and nothing else, and it is generous where the instant
//! matters: a stamp whose ramp ends or ended within [`EDGE`] does not end the walk.

use serde::Serialize;

use super::{Member, Pace, Placement, RegionIndex, StampIndex, hand::FULL_MAX};
use crate::{
    id::TenantId,
    ramp,
    table::{Millis, State},
};

/// How far around a ramp's ends two proxies may disagree about a stamp being full, in milliseconds.
pub const EDGE: Millis = 60_000;

/// What a receiver says to a forwarded request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// It may serve here.
    Candidate,
    /// This stamp is none of the tenant's candidates.
    NotCandidate,
    /// This stamp must not serve it.
    Excluded(Exclusion),
}

/// Why a stamp must not serve a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Exclusion {
    /// It is Failed.
    Failed,
    /// It is Deleted.
    Deleted,
    /// The tenant is strictly pinned to another one.
    StrictPin,
    /// It lies outside the tenant's regions.
    Residency,
}

impl Member {
    /// Active with a share of 1 for everybody whose clock is within [`EDGE`]: a share moves in one direction only.
    fn is_surely_full(&self, now: Millis) -> bool {
        let Pace::Moves(ramp) = &self.pace else { return self.is_steady() };
        let full = |instant| ramp::at(ramp, instant).is_full();
        self.serves && !self.draining && full(now.saturating_sub(EDGE)) && full(now.saturating_add(EDGE))
    }
}

impl Placement {
    /// Whether stamp `me` accepts the tenant from `entry`, in whose order of regions it is computed.
    #[must_use]
    pub fn accepts(&self, tenant: &TenantId, entry: RegionIndex, me: StampIndex, now: Millis) -> Acceptance {
        let Some(member) = self.members.get(usize::from(me.0)) else { return Acceptance::NotCandidate };
        match self.stamp(me).state {
            State::Failed => return Acceptance::Excluded(Exclusion::Failed),
            State::Deleted => return Acceptance::Excluded(Exclusion::Deleted),
            _ => {}
        }
        let seat = self.seat(tenant, entry);
        if seat.strict && seat.pin != Some(me.0) {
            return Acceptance::Excluded(Exclusion::StrictPin);
        }
        if !seat.itinerary.allows(member.region) {
            return Acceptance::Excluded(Exclusion::Residency);
        }
        let mut full = 0;
        for (stamp, _) in self.passage(&seat) {
            if stamp == me.0 {
                return Acceptance::Candidate;
            }
            full += usize::from(self.members[usize::from(stamp)].is_surely_full(now));
            if full == FULL_MAX {
                break;
            }
        }
        Acceptance::NotCandidate
    }
}
