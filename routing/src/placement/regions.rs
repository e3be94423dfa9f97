//! In which order regions stand in for each other, for one tenant and one entry.
//!
//! `home` first; else, under scope `region`, the entry's own region if it is allowed; then the allowed ones as listed.
//! Under scope `fleet` an unlisted tenant has one set of columns, over all stamps.

use super::RegionIndex;

/// What a tenant's `home` and `regions` come to; shared by all tenants with the same ones.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Plan {
    /// Goes first, whatever the entry.
    pub(super) home: Option<u8>,
    /// Whether the entry's own region goes first.
    pub(super) follows_entry: bool,
    /// Bit per allowed region.
    pub(super) allowed: u64,
    /// Whether the tenant has `regions` of its own.
    pub(super) restricted: bool,
    /// Sets of columns in listed order: regions, or the one of the whole fleet.
    pub(super) sets: Box<[u8]>,
}

impl Plan {
    pub(super) fn itinerary(&self, entry: RegionIndex) -> Itinerary<'_> {
        let entry = (self.follows_entry && self.sets.contains(&entry.0)).then_some(entry.0);
        Itinerary { first: self.home.or(entry), plan: self }
    }
}

/// A plan as one entry follows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Itinerary<'a> {
    first: Option<u8>,
    plan: &'a Plan,
}

impl<'a> Itinerary<'a> {
    /// The sets of columns in the order in which they are asked.
    pub(super) fn sets(self) -> impl Iterator<Item = u8> + use<'a> {
        let rest = self.plan.sets.iter().copied().filter(move |set| Some(*set) != self.first);
        self.first.into_iter().chain(rest)
    }

    /// Whether residency lets a region serve the tenant.
    pub(super) fn allows(self, region: u8) -> bool {
        self.plan.allowed.checked_shr(u32::from(region)).is_some_and(|bits| bits & 1 == 1)
    }

    /// Whether the tenant has `regions` of its own.
    pub(super) fn is_restricted(self) -> bool {
        self.plan.restricted
    }
}
