//! How many requests a change moves, as far as the limits store knows who makes them.
//!
//! Invariant: a tenant that is known by name moves as a whole, by its own owner; what the others of a stamp make is taken to
//! be spread evenly over the slots that the stamp has.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::moves::{NOBODY, Names, Number, Owners, Side};
use crate::{
    id::{Region, StampId},
    placement::Placement,
    table::Millis,
    traffic::{Hours, per_second},
};

/// Hours that count, the last ones that are known.
const HOURS: usize = 24;

/// What a change moves, in requests a second.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Requests {
    /// What the stamps that are known serve, on average of their last 24 known hours.
    pub per_second: f64,
    /// What leaves its stamp.
    pub moving: f64,
    /// The same as a share, per cent.
    pub percent: f64,
    /// From where to where, the most first.
    pub ways: Vec<RequestWay>,
    /// Stamps of which no hour is known.
    pub unknown: Vec<StampId>,
}

/// What goes from one stamp to another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RequestWay {
    /// The owner now.
    pub from: StampId,
    /// The owner in the end; `None`: nobody.
    pub to: Option<StampId>,
    /// Requests a second.
    pub per_second: f64,
}

/// What moves from `before` to `after`, in the end. Requests are taken to arrive in the region of the stamp that served them.
#[must_use]
pub fn requests(before: &Placement, after: &Placement, now: Millis, served: &BTreeMap<StampId, Hours>) -> Requests {
    let names = Names::new(before, after);
    let (old, new) = (Side::new(before, &names, now), Side::new(after, &names, now));
    let mut slots: HashMap<&Region, Vec<(Number, Option<Number>)>> = HashMap::new();
    let mut ways: BTreeMap<(Number, Number), f64> = BTreeMap::new();
    let (mut all, mut unknown) = (0.0, Vec::new());
    for stamp in before.table().stamps.iter().filter(|stamp| stamp.takes_slots() || served.contains_key(&stamp.id)) {
        let Some(rates) = served.get(&stamp.id).and_then(Rates::new) else {
            unknown.push(stamp.id.clone());
            continue;
        };
        all += rates.total;
        let Some(me) = names.number(&stamp.id) else { continue };
        let (from, to) = (old.entry(Some(&stamp.region)), new.entry(Some(&stamp.region)));
        let mut others = rates.total;
        for (tenant, rate) in &rates.tenants {
            others -= rate;
            let owners = Owners {
                was: old.owner(tenant, from, now),
                would: old.owner(tenant, from, old.end()),
                becomes: new.owner(tenant, to, now),
                ends: new.owner(tenant, to, new.end()),
            };
            if let Some(way) = owners.way().filter(|(from, _)| *from == me) {
                *ways.entry(way).or_default() += rate;
            }
        }
        let moving = slots.entry(&stamp.region).or_insert_with(|| {
            let (was, would) = (old.slots(from, now), old.slots(from, old.end()));
            let (becomes, ends) = (new.slots(to, now), new.slots(to, new.end()));
            let owners = was.into_iter().zip(would).zip(becomes).zip(ends);
            let owners = owners.map(|(((was, would), becomes), ends)| Owners { was, would, becomes, ends });
            owners.map(|owners| (owners.was, owners.way().map(|(_, to)| to))).collect()
        });
        let mine = moving.iter().filter(|(owner, _)| *owner == me);
        let count = mine.clone().count().max(1) as f64;
        for to in mine.filter_map(|(_, to)| *to) {
            *ways.entry((me, to)).or_default() += others.max(0.0) / count;
        }
    }
    let moving: f64 = ways.values().sum();
    let way = |((from, to), rate): ((Number, Number), f64)| {
        let to = if to == NOBODY { None } else { names.id(to) };
        Some(RequestWay { from: names.id(from)?, to, per_second: rounded(rate) })
    };
    let mut ways: Vec<RequestWay> = ways.into_iter().filter_map(way).collect();
    ways.sort_by(|a, b| b.per_second.total_cmp(&a.per_second));
    let percent = if all > 0.0 { moving * 100.0 / all } else { 0.0 };
    Requests { per_second: rounded(all), moving: rounded(moving), percent: rounded(percent), ways, unknown }
}

/// Requests a second of one stamp, on average.
struct Rates<'a> {
    total: f64,
    tenants: HashMap<&'a crate::id::TenantId, f64>,
}

impl<'a> Rates<'a> {
    /// `None` if no hour is known.
    fn new(hours: &'a Hours) -> Option<Self> {
        let last = || hours.values().rev().take(HOURS);
        let count = last().count();
        let mut rates = Self { total: 0.0, tenants: HashMap::new() };
        for hour in last() {
            rates.total += per_second(hour.total) / count as f64;
            for (tenant, requests) in &hour.tenants {
                *rates.tenants.entry(tenant).or_default() += per_second(*requests) / count as f64;
            }
        }
        (count > 0).then_some(rates)
    }
}

/// With two decimals, as it is shown.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        change::Fleet,
        fixture::{START, fleet, tenant},
        placement::RegionIndex,
        table::{PinMode, Tenants},
        traffic::Hour,
    };

    fn build(fleet: &Fleet) -> Placement {
        Placement::build(fleet.table.clone(), fleet.tenants.clone()).unwrap()
    }

    /// So many requests a second in every hour of a day, and those of some tenants.
    fn hours(total: u64, tenants: &[(&str, u64)]) -> Hours {
        let tenants = tenants.iter().map(|(name, rate)| (tenant(name), rate * 3_600)).collect();
        (0..24).map(|number| (number, Hour { total: total * 3_600, tenants: BTreeMap::clone(&tenants) })).collect()
    }

    #[test]
    fn a_known_tenant_moves_as_a_whole_and_the_others_by_their_slots() {
        let world = Fleet { table: fleet(&[("weu", 3)]), tenants: Tenants::new() };
        let before = build(&world);
        let stamps: Vec<StampId> = world.table.stamps.iter().map(|stamp| stamp.id.clone()).collect();
        let owner = |name: &str| before.owner(&tenant(name), RegionIndex(0), START).unwrap();
        let name = (0..).map(|number| format!("t{number}")).find(|name| owner(name).0 == 0).unwrap();
        let served: BTreeMap<StampId, Hours> =
            [(stamps[0].clone(), hours(100, &[(&name, 40), ("elsewhere", 10)])), (stamps[1].clone(), hours(50, &[]))]
                .into();
        // the one tenant alone
        let pinned = world.pin(tenant(&name), &stamps[1], PinMode::Strict, START).unwrap().fleet;
        let found = requests(&before, &build(&pinned), START, &served);
        let way = RequestWay { from: stamps[0].clone(), to: Some(stamps[1].clone()), per_second: 40.0 };
        assert_eq!((found.per_second, found.moving, found.percent), (150.0, 40.0, 26.67));
        assert_eq!((found.ways, found.unknown), (vec![way], vec![stamps[2].clone()]));
        // all of a stamp
        let mut without = world;
        without.table.stamps[0].weight = 0;
        let found = requests(&before, &build(&without), START, &served);
        let gone = owner("elsewhere").0 == 0;
        let expected = if gone { 100.0 } else { 90.0 };
        assert!((found.moving - expected).abs() < 0.05, "{found:?}");
        assert!(found.ways.iter().all(|way| way.from == stamps[0]) && found.ways.len() == 2, "{found:?}");
        // nothing
        let found = requests(&before, &before, START, &served);
        assert_eq!((found.moving, found.ways.len()), (0.0, 0));
        let found = requests(&before, &build(&without), START, &BTreeMap::new());
        assert_eq!((found.per_second, found.percent, found.unknown.len()), (0.0, 0.0, 3));
    }
}
