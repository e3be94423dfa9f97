//! Which tenants a change moves, from where to where.
//!
//! Invariant: an owner is what the two [`Placement`]s say; nothing is decided here. A slot counts when its owner in the
//! end, after every ramp, is another one than now, and would not become that one without the change too.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;

use crate::{
    id::{Region, StampId, TenantId},
    placement::{Placement, RegionIndex, StampIndex},
    table::{Millis, Ramp, Scope, Stamp, Table},
};

/// Most ways that are listed of a region; further ones are counted.
pub const WAYS_MAX: usize = 1_000;

/// What a change moves.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Moves {
    /// By the region in which requests arrive, in the table's order; one entry for the whole fleet under scope fleet.
    pub regions: Vec<RegionMoves>,
    /// Listed tenants that move, wherever their requests arrive.
    pub listed_tenants: usize,
    /// Milliseconds until the last one has moved; 0: all at once.
    pub takes: Millis,
    /// Whether tenants get other slots (another seed or number of slots). Then everything counts as moved, and no ways
    /// are listed.
    pub reseeded: bool,
}

/// What moves of the requests that arrive in one region.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RegionMoves {
    /// The region; `None`: the fleet.
    pub region: Option<Region>,
    /// How many slots there are.
    pub slots: u32,
    /// Slots that leave their owner, in the end.
    pub moved: u32,
    /// The same as a share of all slots, per cent.
    pub percent: f64,
    /// Slots whose owner changes with the publication itself.
    pub at_once: u32,
    /// The same as a share of all slots, per cent.
    pub percent_at_once: f64,
    /// From where to where, the widest first.
    pub ways: Vec<Way>,
    /// How many further ways there are.
    pub more_ways: usize,
}

/// What goes from one stamp to another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Way {
    /// The owner now; `None`: nobody, so that nothing leaves anybody.
    pub from: Option<StampId>,
    /// The owner in the end; `None`: nobody.
    pub to: Option<StampId>,
    /// Slots, without the listed tenants that have rules of their own.
    pub slots: u32,
    /// The same as a share of all slots, per cent.
    pub percent: f64,
    /// Listed tenants.
    pub listed_tenants: u32,
}

/// Compares the owners of all slots and of all listed tenants of two tables, `now` and when their ramps have ended.
#[must_use]
pub fn moves(before: &Placement, after: &Placement, now: Millis) -> Moves {
    let names = Names::new(before, after);
    let (before, after) = (Side::new(before, &names, now), Side::new(after, &names, now));
    let (old, new) = (before.placement.table(), after.placement.table());
    let reseeded = old.seed != new.seed || old.slots_log2 != new.slots_log2;
    let tenants: BTreeSet<&TenantId> =
        before.placement.tenants().keys().chain(after.placement.tenants().keys()).collect();
    let mut moving = BTreeSet::new();
    let mut regions = Vec::new();
    for region in arrivals(old, new) {
        let (from, to) = (before.entry(region), after.entry(region));
        let mut count = Count::default();
        if reseeded {
            count.everything(&before.slots(from, now));
        } else {
            let (was, would) = (before.slots(from, now), before.slots(from, before.end));
            let (becomes, ends) = (after.slots(to, now), after.slots(to, after.end));
            for (((was, would), becomes), ends) in was.into_iter().zip(would).zip(becomes).zip(ends) {
                count.slot(&Owners { was, would, becomes, ends });
            }
        }
        for tenant in &tenants {
            let owners = Owners {
                was: before.owner(tenant, from, now),
                would: before.owner(tenant, from, before.end),
                becomes: after.owner(tenant, to, now),
                ends: after.owner(tenant, to, after.end),
            };
            if let Some(way) = owners.way() {
                moving.insert(*tenant);
                count.ways.entry(way).or_default().1 += 1;
            }
        }
        regions.push(count.summary(region.cloned(), 1 << old.slots_log2, &names));
    }
    let gradual = regions.iter().any(|region| region.moved > region.at_once);
    let takes = if gradual { begun(old, new).saturating_sub(now) } else { 0 };
    Moves { regions, listed_tenants: moving.len(), takes, reseeded }
}

/// Where requests arrive, as far as it makes a difference.
fn arrivals<'a>(old: &'a Table, new: &'a Table) -> Vec<Option<&'a Region>> {
    if old.scope == Scope::Fleet && new.scope == Scope::Fleet {
        return vec![None];
    }
    let gone = old.regions.iter().filter(|region| !new.regions.contains(region));
    new.regions.iter().chain(gone).map(Some).collect()
}

/// When a ramp ends; `None` for one that is held: it never does.
fn end(ramp: &Ramp) -> Option<Millis> {
    let length = u64::from(ramp.seconds) * 1_000;
    ramp.held_at.is_none().then(|| ramp.started_at.saturating_add(length))
}

/// When the last of a table's ramps ends; 0 without one.
pub(super) fn last_end(table: &Table) -> Millis {
    table.stamps.iter().filter_map(|stamp| end(stamp.ramp.as_ref()?)).max().unwrap_or_default()
}

/// When the last of the ramps ends that are not in the old table.
fn begun(old: &Table, new: &Table) -> Millis {
    let known = |stamp: &Stamp| old.stamp(stamp.id.as_str()).and_then(|before| before.ramp);
    let ramps = new.stamps.iter().filter(|stamp| stamp.ramp != known(stamp)).filter_map(|stamp| stamp.ramp);
    ramps.filter_map(|ramp| end(&ramp)).max().unwrap_or_default()
}

/// A stamp's number in both tables; [`NOBODY`] where nothing owns.
pub(super) type Number = u16;
pub(super) const NOBODY: Number = Number::MAX;

/// The stamps of two tables under common numbers: at most 2,000.
pub(super) struct Names<'a> {
    ids: Vec<&'a StampId>,
    numbers: HashMap<&'a str, Number>,
}

impl<'a> Names<'a> {
    pub(super) fn new(before: &'a Placement, after: &'a Placement) -> Self {
        let mut names = Self { ids: Vec::new(), numbers: HashMap::new() };
        for stamp in before.table().stamps.iter().chain(&after.table().stamps) {
            let next = Number::try_from(names.ids.len()).unwrap_or(NOBODY);
            if *names.numbers.entry(stamp.id.as_str()).or_insert(next) == next {
                names.ids.push(&stamp.id);
            }
        }
        names
    }

    pub(super) fn number(&self, id: &StampId) -> Option<Number> {
        self.numbers.get(id.as_str()).copied()
    }

    pub(super) fn id(&self, number: Number) -> Option<StampId> {
        self.ids.get(usize::from(number)).map(|id| (*id).clone())
    }
}

/// One of the two tables.
pub(super) struct Side<'a> {
    placement: &'a Placement,
    /// Common numbers by index.
    numbers: Vec<Number>,
    /// When the last of its ramps has ended.
    end: Millis,
}

impl<'a> Side<'a> {
    pub(super) fn new(placement: &'a Placement, names: &Names<'_>, now: Millis) -> Self {
        let stamps = &placement.table().stamps;
        let number = |stamp: &Stamp| names.numbers.get(stamp.id.as_str()).copied().unwrap_or(NOBODY);
        let end = last_end(placement.table()).max(now);
        Self { placement, numbers: stamps.iter().map(number).collect(), end }
    }

    /// When the last of its ramps has ended.
    pub(super) fn end(&self) -> Millis {
        self.end
    }

    /// As a proxy of that region enters: by the table's first region when the table does not know it.
    pub(super) fn entry(&self, region: Option<&Region>) -> RegionIndex {
        region.and_then(|region| self.placement.region(region)).unwrap_or(RegionIndex(0))
    }

    fn number(&self, owner: Option<StampIndex>) -> Number {
        owner.and_then(|owner| self.numbers.get(usize::from(owner.0)).copied()).unwrap_or(NOBODY)
    }

    pub(super) fn slots(&self, entry: RegionIndex, at: Millis) -> Vec<Number> {
        self.placement.owners_of_slots(entry, at).into_iter().map(|owner| self.number(owner)).collect()
    }

    pub(super) fn owner(&self, tenant: &TenantId, entry: RegionIndex, at: Millis) -> Number {
        self.number(self.placement.owner(tenant, entry, at))
    }
}

/// Who owns something: with the old table now and in its end, with the new table now and in its end.
pub(super) struct Owners {
    pub(super) was: Number,
    pub(super) would: Number,
    pub(super) becomes: Number,
    pub(super) ends: Number,
}

impl Owners {
    /// From where to where it goes because of the change.
    pub(super) fn way(&self) -> Option<(Number, Number)> {
        let moves = self.ends != self.was && (self.ends != self.would || self.becomes != self.was);
        moves.then_some((self.was, self.ends))
    }
}

#[derive(Default)]
struct Count {
    moved: u32,
    at_once: u32,
    /// Slots and listed tenants by way.
    ways: HashMap<(Number, Number), (u32, u32)>,
}

impl Count {
    fn slot(&mut self, owners: &Owners) {
        // what nobody served leaves nobody
        let leaves = owners.was != NOBODY;
        self.at_once += u32::from(leaves && owners.becomes != owners.was);
        if let Some(way) = owners.way() {
            self.moved += u32::from(leaves);
            self.ways.entry(way).or_default().0 += 1;
        }
    }

    fn everything(&mut self, owners: &[Number]) {
        let owned = owners.iter().filter(|owner| **owner != NOBODY).count();
        self.moved = u32::try_from(owned).unwrap_or(u32::MAX);
        self.at_once = self.moved;
    }

    fn summary(self, region: Option<Region>, slots: u32, names: &Names<'_>) -> RegionMoves {
        let Self { moved, at_once, ways } = self;
        let mut ways: Vec<_> = ways.into_iter().collect();
        ways.sort_by_key(|(way, count)| (std::cmp::Reverse(*count), *way));
        let more_ways = ways.len().saturating_sub(WAYS_MAX);
        ways.truncate(WAYS_MAX);
        let way = |((from, to), (count, listed_tenants))| Way {
            from: names.id(from),
            to: names.id(to),
            slots: count,
            percent: percent(count, slots),
            listed_tenants,
        };
        RegionMoves {
            region,
            slots,
            moved,
            percent: percent(moved, slots),
            at_once,
            percent_at_once: percent(at_once, slots),
            ways: ways.into_iter().map(way).collect(),
            more_ways,
        }
    }
}

/// With two decimals, as it is shown.
fn percent(part: u32, whole: u32) -> f64 {
    (f64::from(part) * 10_000.0 / f64::from(whole.max(1))).round() / 100.0
}

#[cfg(test)]
mod tests;
