//! The walk: every stamp that a tenant could meet, in order of preference, and whether each of them holds it.
//!
//! Invariants: what a drain releases never lands on another drain, and a stamp that takes its slots back receives them
//! from where they went, not by way of a third one. Both follow from one rule: a Draining stamp holds nothing behind a
//! stamp that gives slots away or takes them back.

use std::{collections::BinaryHeap, sync::atomic::Ordering};

use super::{Member, Pace, Placement, RegionIndex, StampIndex, columns::Columns, regions::Itinerary};
use crate::{
    id::TenantId,
    rank::{self, Place, STORED},
    table::Millis,
};

/// Why a stamp is met on the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The tenant is pinned to it.
    Pinned,
    /// Its rank in its region (or in the fleet), from 1.
    Rank(u16),
}

/// Whether a stamp holds what it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Its share is 1, or the pin is strict.
    Whole,
    /// Within its share.
    Within,
    /// Outside its share: not received yet, or released.
    Outside,
    /// Draining behind a stamp that gives slots away or takes them back: it receives nothing.
    Barred,
}

impl Hold {
    /// Whether it holds it.
    #[must_use]
    pub fn holds(self) -> bool {
        matches!(self, Self::Whole | Self::Within)
    }
}

/// One step of the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Who.
    pub stamp: StampIndex,
    /// Why it is met.
    pub role: Role,
    /// Whether it holds the tenant.
    pub hold: Hold,
    /// Whether it is on its way out.
    pub draining: bool,
}

impl Passed {
    /// Active with a share of 1: a place where the tenant is at home. Three of them end the walk of a hand.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.hold == Hold::Whole && !self.draining
    }
}

/// A tenant at an entry, with everything that the documents say of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) slot: u32,
    pub(super) pin: Option<u16>,
    pub(super) strict: bool,
    pub(super) itinerary: Itinerary<'a>,
}

impl Placement {
    fn member(&self, stamp: u16) -> &Member {
        &self.members[usize::from(stamp)]
    }

    /// The pin, when it can serve: Active or Draining, in an allowed region.
    #[inline]
    pub(super) fn pin_in_service(&self, seat: &Seat<'_>) -> Option<u16> {
        seat.pin.filter(|pin| {
            let member = self.member(*pin);
            member.serves && seat.itinerary.allows(member.region)
        })
    }

    /// The stamps of the walk without what they hold: the pin, then the ranks of one region after the other.
    pub(super) fn passage<'a>(&'a self, seat: &'a Seat<'a>) -> impl Iterator<Item = (u16, Role)> + 'a {
        let pin = self.pin_in_service(seat);
        let sets = seat.itinerary.sets().take_while(|_| !seat.strict);
        let ranked = sets.flat_map(|set| self.ranked(set, seat.slot)).filter(move |(stamp, _)| Some(*stamp) != pin);
        pin.map(|pin| (pin, Role::Pinned)).into_iter().chain(ranked)
    }

    /// The walk itself. Computed as far as it is followed.
    pub(super) fn walk<'a>(&'a self, seat: &'a Seat<'a>, now: Millis) -> impl Iterator<Item = Passed> + 'a {
        let mut barred = false;
        self.passage(seat).map(move |(stamp, role)| {
            let member = self.member(stamp);
            let hold = if seat.strict { Hold::Whole } else { hold(member, role, seat, now, barred) };
            barred |= member.draining || member.coming_back;
            Passed { stamp: StampIndex(stamp), role, hold, draining: member.draining }
        })
    }

    /// First holder; else the first Active stamp, which serves until somebody holds; else the first Draining one.
    #[inline]
    pub(super) fn owner_of(&self, seat: &Seat<'_>, now: Millis) -> Option<StampIndex> {
        // the usual end of the walk is its first step: a stamp that holds everything always
        let first = self.pin_in_service(seat).or_else(|| self.first_rank(seat))?;
        if seat.strict || self.member(first).is_steady() {
            return Some(StampIndex(first));
        }
        self.first_holder(seat, now)
    }

    #[inline(never)]
    fn first_holder(&self, seat: &Seat<'_>, now: Millis) -> Option<StampIndex> {
        let (mut active, mut last_resort) = (None, None);
        for passed in self.walk(seat, now) {
            if passed.hold.holds() {
                return Some(passed.stamp);
            }
            let place = if passed.draining { &mut last_resort } else { &mut active };
            place.get_or_insert(passed.stamp);
        }
        active.or(last_resort)
    }

    /// The rank with which the walk begins when no pin comes before it.
    fn first_rank(&self, seat: &Seat<'_>) -> Option<u16> {
        let mut sets = seat.itinerary.sets().take_while(|_| !seat.strict);
        sets.find_map(|set| self.columns.get(usize::from(set))?.rank(0, seat.slot))
    }

    /// The ranks of one set of columns, from 1: stored ones first, then by ranking all of its takers.
    pub(super) fn ranked(&self, set: u8, slot: u32) -> impl Iterator<Item = (u16, Role)> {
        let columns = self.columns.get(usize::from(set));
        let ranked = columns.map(|columns| Ranked { placement: self, columns, slot, next: 0, beyond: None });
        ranked.into_iter().flatten().zip(1..).map(|(stamp, rank)| (stamp, Role::Rank(rank)))
    }
}

fn hold(member: &Member, role: Role, seat: &Seat<'_>, now: Millis, barred: bool) -> Hold {
    if member.draining && barred {
        return Hold::Barred;
    }
    if matches!(member.pace, Pace::Full) {
        return Hold::Whole;
    }
    let share = member.share(now);
    if share.is_full() {
        return Hold::Whole;
    }
    let mix = match role {
        Role::Pinned => member.salts.pin(seat.tenant),
        Role::Rank(_) => member.salts.slot(seat.slot),
    };
    if share.holds(mix) { Hold::Within } else { Hold::Outside }
}

struct Ranked<'a> {
    placement: &'a Placement,
    columns: &'a Columns,
    slot: u32,
    next: usize,
    /// A heap gives the next rank without sorting those that nobody asks for.
    beyond: Option<BinaryHeap<Place>>,
}

impl Iterator for Ranked<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        let rank = self.next;
        self.next += 1;
        if rank < STORED {
            return self.columns.rank(rank, self.slot);
        }
        let takers = &self.columns.takers;
        if takers.len() <= STORED {
            return None;
        }
        let beyond = self.beyond.get_or_insert_with(|| {
            self.placement.full_rankings.fetch_add(1, Ordering::Relaxed);
            let mut all: BinaryHeap<Place> = takers.iter().map(|taker| Place::of(taker, self.slot)).collect();
            for _ in 0..STORED {
                all.pop();
            }
            all
        });
        beyond.pop().map(|place| place.stamp)
    }
}

impl Placement {
    /// Who owns the tenants of each slot that have no rule of their own, in the order of the slots.
    pub(crate) fn owners_of_slots(&self, entry: RegionIndex, now: Millis) -> Vec<Option<StampIndex>> {
        // a seat has a tenant, but only pins ask for it
        let Ok(anybody) = TenantId::parse(b"anybody") else { return Vec::new() };
        let itinerary = self.itinerary(None, entry);
        let seat = |slot| Seat { tenant: &anybody, slot, pin: None, strict: false, itinerary };
        (0..1 << self.table.slots_log2).map(|slot| self.owner_of(&seat(slot), now)).collect()
    }
}

/// The ranks of one region, as an explanation shows them.
#[derive(Clone, Debug)]
pub(crate) struct RankedRegion {
    /// `None`: the whole fleet.
    pub(crate) region: Option<RegionIndex>,
    pub(crate) takers: usize,
    /// Stamp, score, distance.
    pub(crate) ranks: Vec<(StampIndex, u64, u64)>,
}

impl Placement {
    /// The whole walk of a tenant.
    pub(crate) fn passed(&self, tenant: &TenantId, entry: RegionIndex, now: Millis) -> Vec<Passed> {
        self.walk(&self.seat(tenant, entry), now).collect()
    }

    /// Whether the tenant's pin can serve it.
    pub(crate) fn pin_serves(&self, tenant: &TenantId, entry: RegionIndex) -> bool {
        self.pin_in_service(&self.seat(tenant, entry)).is_some()
    }

    /// The first `count` ranks of every region in the order of the tenant's regions.
    pub(crate) fn ranked_regions(&self, tenant: &TenantId, entry: RegionIndex, count: usize) -> Vec<RankedRegion> {
        let seat = self.seat(tenant, entry);
        let sets = seat.itinerary.sets().filter_map(|set| Some((set, self.columns.get(usize::from(set))?)));
        sets.map(|(set, columns)| {
            let place = |(stamp, _): (u16, Role)| {
                let taker = columns.takers.iter().find(|taker| taker.stamp == stamp)?;
                let score = Place::of(taker, seat.slot).score();
                Some((StampIndex(stamp), score, rank::distance(score)))
            };
            RankedRegion {
                region: (usize::from(set) < self.table.regions.len()).then_some(RegionIndex(set)),
                takers: columns.takers.len(),
                ranks: self.ranked(set, seat.slot).take(count).filter_map(place).collect(),
            }
        })
        .collect()
    }
}
