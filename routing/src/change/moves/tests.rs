//! Promises about what a change is said to move.

use std::{collections::BTreeMap, time::Instant};

use proptest::prelude::*;

use super::*;
use crate::{
    fixture::{START, build, chaos, fleet, id, owners, pinned, plain, ramp, stamp, tenant, tenant_of_every_slot},
    table::{PinMode, State, Tenants},
};

fn drained(table: &Table, at: usize, seconds: u32) -> Table {
    let mut table = table.clone();
    table.stamps[at].state = State::Draining;
    table.stamps[at].ramp = Some(Ramp { seconds, ..ramp(1_000, 0, START).unwrap() });
    table
}

#[test]
fn a_drain_moves_its_own_slots_at_once_or_over_its_ramp() {
    let calm = fleet(&[("weu", 3), ("eus", 3)]);
    let before = plain(&calm);
    for (seconds, takes) in [(0, 0), (300, 300_000)] {
        let found = moves(&before, &plain(&drained(&calm, 2, seconds)), START);
        let [weu, eus] = found.regions.as_slice() else { panic!("{found:?}") };
        assert!((weu.percent - 33.3).abs() < 1.0 && (eus.moved, eus.at_once) == (0, 0), "{found:?}");
        assert_eq!((found.takes, weu.at_once), (takes, if seconds == 0 { weu.moved } else { 0 }));
        let ways: Vec<_> = weu.ways.iter().map(|way| (way.from.clone(), way.to.clone().unwrap())).collect();
        assert!(ways.iter().all(|(from, _)| *from == Some(id("weu", 3))) && ways.len() == 2, "{ways:?}");
    }
}

#[test]
fn what_another_ramp_moves_anyway_is_not_counted() {
    let mut running = drained(&fleet(&[("weu", 6)]), 0, 300);
    let before = plain(&running);
    running.stamps[5].weight = 90;
    let found = moves(&before, &plain(&running), START + 100_000);
    assert!(found.regions[0].percent < 3.0, "{found:?}");
    // but what a cut takes from the drain is
    running.stamps[5].weight = 100;
    running.stamps[0].ramp = Some(Ramp { seconds: 0, from: 0, ..ramp(0, 0, START).unwrap() });
    let cut = &moves(&before, &plain(&running), START + 100_000).regions[0];
    assert_eq!(cut.moved, cut.at_once);
    assert!((cut.percent - 100.0 / 6.0 * 2.0 / 3.0).abs() < 1.0, "{cut:?}");
}

#[test]
fn a_first_stamp_takes_nothing_away_from_anybody() {
    let empty = fleet(&[("weu", 0)]);
    let mut one = empty.clone();
    one.stamps.push(stamp("weu", 1, State::Active));
    let found = &moves(&plain(&empty), &plain(&one), START).regions[0];
    assert_eq!((found.moved, found.at_once), (0, 0));
    assert_eq!((found.ways[0].from.as_ref(), found.ways[0].slots), (None, 65_536));
    let lost = &moves(&plain(&one), &plain(&empty), START).regions[0];
    assert_eq!((lost.moved, lost.at_once, lost.ways[0].to.as_ref()), (65_536, 65_536, None));
}

#[test]
fn pins_move_listed_tenants_and_no_slots() {
    let table = fleet(&[("weu", 4)]);
    let free: Tenants = [(tenant("acme"), Default::default())].into();
    let before = build(&table, &free);
    let home = before.owner(&tenant("acme"), RegionIndex(0), START).unwrap();
    let other = before.table().stamps.iter().find(|stamp| stamp.id != before.stamp(home).id).unwrap().id.clone();
    let bound: Tenants = [(tenant("acme"), pinned(&other, PinMode::Strict))].into();
    let found = moves(&before, &build(&table, &bound), START);
    assert_eq!((found.listed_tenants, found.regions[0].moved), (1, 0));
    assert_eq!((found.regions[0].ways[0].to.as_ref(), found.regions[0].ways[0].listed_tenants), (Some(&other), 1));
}

#[test]
fn another_seed_moves_everything() {
    let table = fleet(&[("weu", 2)]);
    let other = Table { seed: crate::table::Seed(7), ..table.clone() };
    let found = moves(&plain(&table), &plain(&other), START);
    assert!(found.reseeded && found.regions[0].at_once == 65_536 && found.regions[0].ways.is_empty(), "{found:?}");
}

#[test]
fn what_is_counted_is_what_tenants_meet() {
    for seed in 0..6 {
        let (mut table, _) = chaos(seed);
        table.scope = Scope::Region;
        table.stamps.truncate(30);
        let mut next = table.clone();
        for stamp in next.stamps.iter_mut().step_by(3).filter(|stamp| stamp.state == State::Active) {
            stamp.state = State::Draining;
            stamp.ramp = ramp(1_000, 0, START);
        }
        let (before, after) = (plain(&table), plain(&next));
        let tenants = tenant_of_every_slot(table.seed);
        let names = Names::new(&before, &after);
        let end = |placement| Side::new(placement, &names, START).end;
        let (was, would) = (owners(&before, &tenants, START), owners(&before, &tenants, end(&before)));
        let (becomes, ends) = (owners(&after, &tenants, START), owners(&after, &tenants, end(&after)));
        let mut expected: BTreeMap<(Option<StampId>, Option<StampId>), u32> = BTreeMap::new();
        let mut at_once = 0;
        for slot in 0..tenants.len() {
            at_once += u32::from(was[slot].is_some() && was[slot] != becomes[slot]);
            if ends[slot] != was[slot] && (ends[slot] != would[slot] || becomes[slot] != was[slot]) {
                *expected.entry((was[slot].clone(), ends[slot].clone())).or_default() += 1;
            }
        }
        let found = &moves(&before, &after, START).regions[0];
        let counted = found.ways.iter().map(|way| ((way.from.clone(), way.to.clone()), way.slots)).collect();
        assert_eq!((expected, at_once), (counted, found.at_once), "seed {seed}");
    }
}

#[test]
fn the_largest_fleet_is_compared_in_well_under_a_second() {
    let calm = fleet(&[("weu", 1_000)]);
    let (before, after) = (plain(&calm), plain(&drained(&calm, 500, 300)));
    let started = Instant::now();
    let found = moves(&before, &after, START);
    let took = started.elapsed();
    assert!(found.regions[0].moved > 0 && found.regions[0].moved < 200, "{}", found.regions[0].moved);
    assert!(took.as_millis() < 1_000, "{took:?}");
}

/// A fleet in which nothing ramps.
fn settled(seed: u64) -> (Table, Tenants) {
    let (mut table, tenants) = chaos(seed);
    table.stamps.iter_mut().for_each(|stamp| stamp.ramp = None);
    (table, tenants)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn there_and_back_is_the_same_way(seed in any::<u64>(), picks in proptest::collection::vec((0usize..60, 0u16..=1_000), 0..6)) {
        let (table, tenants) = settled(seed);
        let mut next = table.clone();
        let count = next.stamps.len();
        for (at, weight) in picks.into_iter().filter(|_| count > 0) {
            let stamp = &mut next.stamps[at % count];
            stamp.weight = weight;
            stamp.state = if weight % 3 == 0 { State::Ready } else { State::Active };
        }
        let (before, after) = (build(&table, &tenants), build(&next, &tenants));
        let (there, back) = (moves(&before, &after, START), moves(&after, &before, START));
        prop_assert_eq!(there.listed_tenants, back.listed_tenants);
        for (there, back) in there.regions.iter().zip(&back.regions) {
            let sorted = |moves: &RegionMoves, turned: bool| -> BTreeMap<_, _> {
                let way = |way: &Way| if turned { (way.to.clone(), way.from.clone()) } else { (way.from.clone(), way.to.clone()) };
                moves.ways.iter().map(|w| (way(w), (w.slots, w.listed_tenants))).collect()
            };
            prop_assert_eq!(sorted(there, false), sorted(back, true));
            for moves in [there, back] {
                let leaving: u32 = moves.ways.iter().filter(|way| way.from.is_some()).map(|way| way.slots).sum();
                prop_assert_eq!((moves.moved, moves.at_once, moves.more_ways), (leaving, leaving, 0));
                prop_assert!(moves.ways.iter().all(|way| way.from != way.to));
            }
        }
    }
}
