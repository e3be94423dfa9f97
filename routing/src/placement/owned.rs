//! What a stamp owns at an instant, slot by slot: for whoever has to know since when a tenant is its own.

use super::{Pace, Placement, RegionIndex, StampIndex};
use crate::{
    id::TenantId,
    table::{Millis, Tenant},
};

impl Placement {
    /// By slot: whether tenants without a rule of their own that come in at `entry` belong to `stamp`.
    #[must_use]
    pub fn owned_slots(&self, stamp: StampIndex, entry: RegionIndex, now: Millis) -> Vec<bool> {
        self.owners_of_slots(entry, now).into_iter().map(|owner| owner == Some(stamp)).collect()
    }

    /// The tenants whose owner may be another one than their slot's.
    pub fn ruled_tenants(&self) -> impl Iterator<Item = &TenantId> {
        self.tenants.iter().filter(|(_, rules)| has_rule(rules)).map(|(tenant, _)| tenant)
    }

    /// Whether the share of any stamp may change between two instants.
    #[must_use]
    pub fn moves_between(&self, from: Millis, to: Millis) -> bool {
        self.members.iter().any(|member| match &member.pace {
            Pace::Full | Pace::Empty => false,
            Pace::Moves(ramp) => {
                let end = ramp.started_at.saturating_add(u64::from(ramp.seconds) * 1_000);
                from <= ramp.held_at.map_or(end, |held| held.min(end)) && ramp.started_at <= to
            }
        })
    }
}

/// Whether a listed tenant may be placed elsewhere than its slot.
pub(super) fn has_rule(tenant: &Tenant) -> bool {
    tenant.pin.is_some() || tenant.home.is_some() || tenant.regions.is_some()
}
