//! The routing table as built: which stamps may serve a tenant, in which order.
//!
//! Read [`Placement::owner`] for the hot path, `walk` for the order in which stamps are passed and what each of them
//! holds, `hand` for what may serve a tenant, `accept` for the receiver's side of it. Invariant: owner, hand, acceptance
//! and explanation all follow the same walk; none of them has a rule of its own.
//!
//! A placement is immutable and built aside; share it as an `Arc`.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::{
    digest::{self, Digest},
    endpoint::Endpoint,
    id::TenantId,
    ramp::{self, Salts, Share},
    rank,
    sanity::{self, Refusal},
    table::{Millis, Ramp, Scope, Stamp, State, Table, Tenants},
    version::Version,
};

mod accept;
mod columns;
mod hand;
mod listed;
mod owned;
mod regions;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod walk;

pub use accept::{Acceptance, EDGE, Exclusion};
pub use hand::{Candidate, FULL_MAX, HAND_MAX, Hand, NoStamp};
pub use walk::{Hold, Passed, Role};

use columns::Columns;
use listed::Listed;
use regions::Itinerary;
use walk::Seat;

/// A stamp's index in [`Table::stamps`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StampIndex(pub u16);

/// A region's index in [`Table::regions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegionIndex(pub u8);

/// A built routing table.
#[derive(Debug)]
pub struct Placement {
    table: Table,
    tenants: Arc<Tenants>,
    digest: Digest,
    members: Box<[Member]>,
    endpoints: Box<[Option<Endpoint>]>,
    /// Stamps in the order of their ids.
    by_id: Box<[StampIndex]>,
    /// One set of columns a region, in the table's order, and under scope fleet one more over all stamps.
    columns: Box<[Columns]>,
    /// By entry region: the columns in which an unlisted tenant's owner stands.
    nearest: Box<[u8]>,
    listed: Listed,
    full_rankings: AtomicU64,
}

/// What the walk needs to know of a stamp.
#[derive(Clone, Copy, Debug)]
struct Member {
    /// Index of its region.
    region: u8,
    /// Active or Draining: may serve what it is offered.
    serves: bool,
    draining: bool,
    /// Takes back what it gave away.
    coming_back: bool,
    pace: Pace,
    salts: Salts,
}

/// How a stamp's share behaves in time, so that steady ones cost nothing.
#[derive(Clone, Copy, Debug)]
enum Pace {
    Full,
    Empty,
    Moves(Ramp),
}

impl Member {
    fn new(table: &Table, stamp: &Stamp) -> Self {
        let region = table.regions.iter().position(|region| *region == stamp.region);
        let pace = match (stamp.state, stamp.ramp) {
            (State::Active | State::Draining, Some(ramp)) if ramp.from != ramp.to && ramp.seconds > 0 => {
                Pace::Moves(ramp)
            }
            // without movement any instant is like any other
            _ => match ramp::share(stamp, 0) {
                share if share.is_full() => Pace::Full,
                share if share.is_none() => Pace::Empty,
                _ => stamp.ramp.map_or(Pace::Empty, Pace::Moves),
            },
        };
        Self {
            region: region.and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX),
            serves: matches!(stamp.state, State::Active | State::Draining),
            draining: stamp.state == State::Draining,
            coming_back: ramp::is_coming_back(stamp),
            pace,
            salts: Salts::new(table.seed, &stamp.id),
        }
    }

    fn share(&self, now: Millis) -> Share {
        match &self.pace {
            Pace::Full => Share::FULL,
            Pace::Empty => Share::NONE,
            Pace::Moves(ramp) => ramp::at(ramp, now),
        }
    }

    /// Active and p = 1, at every instant.
    fn is_steady(&self) -> bool {
        self.serves && !self.draining && matches!(self.pace, Pace::Full)
    }
}

impl Placement {
    /// Checks both documents and builds.
    ///
    /// # Errors
    /// A [`Refusal`] of [`sanity::check`].
    pub fn build(table: Table, tenants: Tenants) -> Result<Self, Refusal> {
        Self::build_shared(table, Arc::new(tenants))
    }

    /// [`Placement::build`] with tenants that another placement may hold too.
    ///
    /// # Errors
    /// As [`Placement::build`].
    pub fn build_shared(table: Table, tenants: Arc<Tenants>) -> Result<Self, Refusal> {
        sanity::check(&table, &tenants)?;
        Ok(Self::build_checked(table, tenants))
    }

    /// Builds from documents that passed [`sanity::check`].
    pub(crate) fn build_checked(table: Table, tenants: Arc<Tenants>) -> Self {
        let members: Box<[Member]> = table.stamps.iter().map(|stamp| Member::new(&table, stamp)).collect();
        let endpoints = table.stamps.iter().map(|stamp| Endpoint::parse(&stamp.endpoint).ok()).collect();
        let mut by_id: Box<[StampIndex]> = (0u16..).take(table.stamps.len()).map(StampIndex).collect();
        by_id.sort_by_key(|index| &table.stamps[usize::from(index.0)].id);
        let (listed, listed_slots) = Listed::build(&table, &tenants, &by_id);
        let fleet = (table.scope == Scope::Fleet).then_some(None);
        let columns: Box<[Columns]> = table
            .regions
            .iter()
            .map(Some)
            .chain(fleet)
            .map(|region| {
                let takers = rank::takers(&table.stamps, |stamp| region.is_none_or(|region| stamp.region == *region));
                Columns::build(takers, table.slots_log2, &members, &listed_slots)
            })
            .collect();
        let mut placement = Self {
            table,
            tenants,
            digest: Digest::default(),
            members,
            endpoints,
            by_id,
            columns,
            nearest: Box::default(),
            listed,
            full_rankings: AtomicU64::new(0),
        };
        placement.nearest = (0u8..)
            .take(placement.table.regions.len())
            .map(|entry| {
                let mut sets = placement.itinerary(None, RegionIndex(entry)).sets();
                sets.find(|set| placement.columns[usize::from(*set)].has_takers()).unwrap_or(u8::MAX)
            })
            .collect();
        placement.digest = digest::of(&placement);
        placement
    }

    /// `(term, epoch)`.
    #[must_use]
    pub fn version(&self) -> Version {
        self.table.version()
    }

    /// The stamps document it was built from.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The listed tenants.
    #[must_use]
    pub fn tenants(&self) -> &Tenants {
        &self.tenants
    }

    /// The listed tenants, to build another placement with.
    #[must_use]
    pub fn tenants_shared(&self) -> Arc<Tenants> {
        Arc::clone(&self.tenants)
    }

    /// The decision digest; see [`crate::digest`].
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The stamp at an index of this placement.
    ///
    /// # Panics
    /// When the index comes from another placement and lies beyond this one's stamps.
    #[must_use]
    pub fn stamp(&self, index: StampIndex) -> &Stamp {
        &self.table.stamps[usize::from(index.0)]
    }

    /// The index of a stamp, by its id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<StampIndex> {
        find(&self.table, &self.by_id, id)
    }

    /// All stamps in the order of their ids.
    pub fn stamps_by_id(&self) -> impl Iterator<Item = StampIndex> {
        self.by_id.iter().copied()
    }

    /// The index of a region, by its name.
    #[must_use]
    pub fn region(&self, name: &str) -> Option<RegionIndex> {
        let at = self.table.regions.iter().position(|region| &**region == name)?;
        u8::try_from(at).ok().map(RegionIndex)
    }

    /// The endpoint of a stamp, parsed once; `None` for a stamp that has none yet and for tombstones without one.
    #[must_use]
    pub fn endpoint(&self, index: StampIndex) -> Option<&Endpoint> {
        self.endpoints.get(usize::from(index.0))?.as_ref()
    }

    /// The slot of a tenant.
    #[must_use]
    pub fn slot(&self, tenant: &TenantId) -> u32 {
        rank::slot(rank::tenant_hash(self.table.seed, tenant), self.table.slots_log2)
    }

    /// The share of its slots that a stamp holds.
    #[must_use]
    pub fn share(&self, index: StampIndex, now: Millis) -> Share {
        self.members[usize::from(index.0)].share(now)
    }

    /// How often the stored ranks did not suffice and a slot was ranked over all stamps of a region, since the build.
    /// For a metric: it rises when many stamps ramp at once.
    #[must_use]
    pub fn full_rankings(&self) -> u64 {
        self.full_rankings.load(Ordering::Relaxed)
    }

    /// First choice by placement alone: always the first of [`Placement::hand`]. One hash and one array read when the
    /// slot's first rank neither ramps nor drains and no listed tenant shares the slot. `None`: ask `hand` for the
    /// reason.
    #[inline]
    #[must_use]
    pub fn owner(&self, tenant: &TenantId, entry: RegionIndex, now: Millis) -> Option<StampIndex> {
        let hash = rank::tenant_hash(self.table.seed, tenant);
        let slot = rank::slot(hash, self.table.slots_log2);
        let nearest = self.nearest.get(usize::from(entry.0)).copied().unwrap_or(u8::MAX);
        let plain = self.columns.get(usize::from(nearest)).and_then(|columns| columns.plain_owner(slot));
        if plain.is_some() {
            return plain;
        }
        self.owner_of(&self.seat_of(tenant, hash, slot, entry), now)
    }

    fn seat<'a>(&'a self, tenant: &'a TenantId, entry: RegionIndex) -> Seat<'a> {
        let hash = rank::tenant_hash(self.table.seed, tenant);
        self.seat_of(tenant, hash, rank::slot(hash, self.table.slots_log2), entry)
    }

    #[inline]
    fn seat_of<'a>(&'a self, tenant: &'a TenantId, hash: u64, slot: u32, entry: RegionIndex) -> Seat<'a> {
        let rule = self.listed.find(hash, tenant);
        let itinerary = self.itinerary(rule.map(|rule| rule.plan), entry);
        let pin = rule.and_then(|rule| rule.pin);
        Seat { tenant, slot, pin, strict: rule.is_some_and(|rule| rule.strict), itinerary }
    }

    fn itinerary(&self, plan: Option<u32>, entry: RegionIndex) -> Itinerary<'_> {
        self.listed.plan(plan).itinerary(entry)
    }

    /// The stored ranks of a slot in every set of columns that has takers.
    pub(crate) fn stored_ranks(&self, slot: u32) -> impl Iterator<Item = (usize, [u16; rank::STORED])> {
        let taken = self.columns.iter().enumerate().filter(|(_, columns)| columns.has_takers());
        taken.map(move |(set, columns)| (set, columns.stored(slot)))
    }
}

fn find(table: &Table, by_id: &[StampIndex], id: &str) -> Option<StampIndex> {
    let name = |index: &StampIndex| table.stamps[usize::from(index.0)].id.as_str();
    by_id.binary_search_by(|index| name(index).cmp(id)).ok().map(|at| by_id[at])
}
