//! Whole fleets, every slot: what moves when a fleet changes, and that nothing else does.

use std::collections::{HashMap, HashSet};

use super::*;
use crate::{
    fixture::{self, ENTRY, START, fleet, id, owners, plain, ramp, stamp, tenant_of_every_slot},
    id::StampId,
};

type Owners = Vec<Option<StampId>>;

fn shares(owners: &Owners) -> HashMap<StampId, usize> {
    owners.iter().flatten().fold(HashMap::new(), |mut shares, owner| {
        *shares.entry(owner.clone()).or_default() += 1;
        shares
    })
}

fn moved(before: &Owners, after: &Owners) -> usize {
    before.iter().zip(after).filter(|(before, after)| before != after).count()
}

#[test]
fn ten_equal_stamps_have_equal_shares() {
    // fullest stamp, mean over fleets: +1.9 % of 6,553.6 slots expected, +3.8 % at the 99th percentile
    let fleets = 40;
    let peak = |fleet: u32| {
        let mut table = fixture::fleet(&[("weu", 0)]);
        table.stamps = (0..10).map(|n| stamp("weu", 100 + fleet * 10 + n, State::Active)).collect();
        let placement = plain(&table);
        let mut slots = [0u32; 10];
        (0..1 << 16).for_each(|slot| slots[usize::from(placement.columns[0].stored(slot)[0])] += 1);
        f64::from(*slots.iter().max().unwrap()) / 6_553.6 - 1.0
    };
    let peaks: Vec<f64> = (0..fleets).map(peak).collect();
    let mean = peaks.iter().sum::<f64>() / f64::from(fleets);
    let worst = peaks.iter().copied().fold(0.0, f64::max);
    assert!((0.015..0.023).contains(&mean) && worst < 0.05, "mean {mean} worst {worst}");
}

#[test]
fn an_eleventh_stamp_takes_its_share_and_nothing_else_moves() {
    let mut table = fleet(&[("weu", 10)]);
    let tenants = tenant_of_every_slot(table.seed);
    let before = owners(&plain(&table), &tenants, START);
    table.stamps.push(stamp("weu", 11, State::Active));
    let after = owners(&plain(&table), &tenants, START);
    let share = moved(&before, &after) as f64 / 65_536.0;
    assert!((share - 1.0 / 11.0).abs() < 0.01, "{share}");
    let newcomer = Some(id("weu", 11));
    assert!(before.iter().zip(&after).all(|(before, after)| before == after || *after == newcomer));
}

#[test]
fn removing_a_stamp_moves_only_its_own_slots() {
    let mut table = fleet(&[("weu", 10)]);
    let tenants = tenant_of_every_slot(table.seed);
    let before = owners(&plain(&table), &tenants, START);
    let gone = table.stamps.remove(3).id;
    let after = owners(&plain(&table), &tenants, START);
    assert!(before.iter().zip(&after).all(|(before, after)| (before == after) == (*before != Some(gone.clone()))));
    // the survivors share alike: +11.1 % each
    let (before, after) = (shares(&before), shares(&after));
    for (stamp, slots) in after {
        let gain = (slots - before[&stamp]) as f64 / (before[&gone] as f64 / 9.0);
        assert!((gain - 1.0).abs() < 0.15, "{stamp} {gain}");
    }
}

#[test]
fn a_change_of_one_weight_moves_slots_only_to_or_from_that_stamp() {
    let mut table = fleet(&[("weu", 10)]);
    let tenants = tenant_of_every_slot(table.seed);
    let before = owners(&plain(&table), &tenants, START);
    table.stamps[4].weight = 50;
    let after = owners(&plain(&table), &tenants, START);
    let changed = Some(table.stamps[4].id.clone());
    assert!(before.iter().zip(&after).all(|(before, after)| before == after || *before == changed));
    let share = shares(&after)[&table.stamps[4].id] as f64 / 65_536.0;
    assert!((share - 50.0 / 950.0).abs() < 0.003, "{share}");
}

#[test]
fn a_drain_gives_every_slot_away_once_linearly_and_a_cancel_gives_it_back_in_reverse() {
    let mut table = fleet(&[("weu", 10)]);
    let tenants = tenant_of_every_slot(table.seed);
    let calm = owners(&plain(&table), &tenants, START);
    let drained = Some(table.stamps[2].id.clone());
    let all = calm.iter().filter(|owner| **owner == drained).count();
    table.stamps[2].state = State::Draining;
    table.stamps[2].ramp = ramp(1_000, 0, START);
    let placement = plain(&table);
    let (mut before, mut released) = (calm.clone(), Vec::new());
    for second in (0..=300).step_by(15) {
        let now = owners(&placement, &tenants, START + second * 1_000);
        for (slot, (before, now)) in before.iter().zip(&now).enumerate() {
            if before != now {
                assert_eq!(*before, drained, "slot {slot} moved without belonging to the drained stamp");
                released.push((second, slot));
            }
        }
        let left = now.iter().filter(|owner| **owner == drained).count() as f64 / all as f64;
        assert!((left - (1.0 - second as f64 / 300.0)).abs() < 0.025, "{second}: {left}");
        before = now;
    }
    assert_eq!(released.len(), all);
    assert_eq!(released.iter().map(|(_, slot)| slot).collect::<HashSet<_>>().len(), all, "a slot moved twice");

    // cancelled after 200 s: comes back in reverse, over the same ways
    let cancelled_at = START + 200_000;
    table.stamps[2].ramp = Some(ramp::onward(&table.stamps[2], 1_000, cancelled_at, 300));
    table.stamps[2].state = State::Active;
    let back = plain(&table);
    let mut before = owners(&placement, &tenants, cancelled_at);
    let away = before.iter().zip(&calm).filter(|(now, home)| now != home).count();
    let mut returned = Vec::new();
    for second in (0..=300).step_by(15) {
        let now = owners(&back, &tenants, cancelled_at + second * 1_000);
        for (slot, (before, now)) in before.iter().zip(&now).enumerate() {
            if before != now {
                assert_eq!(*now, drained);
                returned.push((second, slot));
            }
        }
        before = now;
    }
    assert_eq!(before, calm);
    // the order in which slots go: by when they were first seen elsewhere, the others of that moment beside them
    let gone: HashMap<usize, u64> = released.iter().map(|(second, slot)| (*slot, *second)).collect();
    assert_eq!(returned.len(), away);
    for ((second, slot), (next_second, next_slot)) in returned.iter().zip(&returned[1..]) {
        let same_moment = second == next_second || gone[slot].abs_diff(gone[next_slot]) <= 15;
        assert!(same_moment || gone[slot] > gone[next_slot], "{slot} went before {next_slot} and came back before it");
    }
}

#[test]
fn a_stamp_that_comes_in_takes_every_slot_once() {
    let mut table = fleet(&[("weu", 10)]);
    table.stamps[7].ramp = ramp(0, 1_000, START);
    let tenants = tenant_of_every_slot(table.seed);
    let placement = plain(&table);
    let newcomer = Some(table.stamps[7].id.clone());
    let mut before = owners(&placement, &tenants, START);
    assert!(!before.contains(&newcomer));
    for second in (0..=300).step_by(20) {
        let now = owners(&placement, &tenants, START + second * 1_000);
        assert!(before.iter().zip(&now).all(|(before, now)| before == now || *now == newcomer));
        before = now;
    }
    table.stamps[7].ramp = None;
    assert_eq!(before, owners(&plain(&table), &tenants, START));
}

/// Two drains and an activation, started so many seconds into the simulation. Returns how often a tenant moved at most.
fn three_ramps(offsets: [u64; 3]) -> usize {
    const STAMPS: [usize; 3] = [1, 5, 9];
    let mut table = fleet(&[("weu", 10)]);
    let tenants = tenant_of_every_slot(table.seed);
    table.stamps[9].state = State::Ready; // comes in
    let mut causes = vec![Vec::new(); tenants.len()];
    let mut placement = plain(&table);
    let mut before = owners(&placement, &tenants, START);
    for second in (0..=720).step_by(10) {
        let now = START + second * 1_000;
        for (at, _) in offsets.iter().enumerate().filter(|(_, offset)| **offset == second) {
            let stamp = &mut table.stamps[STAMPS[at]];
            stamp.state = if at == 2 { State::Active } else { State::Draining };
            stamp.ramp = if at == 2 { ramp(0, 1_000, now) } else { ramp(1_000, 0, now) };
            placement = plain(&table);
        }
        let after = owners(&placement, &tenants, now);
        for (causes, (from, to)) in causes.iter_mut().zip(before.iter().zip(&after)).filter(|(_, (a, b))| a != b) {
            let (from, to) = (
                table.stamp(from.as_ref().unwrap().as_str()).unwrap(),
                table.stamp(to.as_ref().unwrap().as_str()).unwrap(),
            );
            assert_eq!(to.state, State::Active, "{offsets:?}: {from:?} released to a drain");
            // who made it move: the drain that it left or the activation that took it
            let cause = if from.state == State::Draining { &from.id } else { &to.id };
            assert!(*cause == from.id || *cause == table.stamps[9].id, "{offsets:?}: nobody had to move this one");
            assert!(!causes.contains(cause), "{offsets:?}: {cause} moved a tenant twice");
            causes.push(cause.clone());
        }
        before = after;
    }
    let drained = [&table.stamps[1].id, &table.stamps[5].id];
    assert!(before.iter().flatten().all(|owner| !drained.contains(&owner)));
    causes.iter().map(Vec::len).max().unwrap()
}

#[test]
fn each_ramp_moves_a_tenant_at_most_once_and_never_onto_a_drain() {
    for offsets in [[0, 0, 0], [0, 0, 100], [100, 100, 0], [0, 200, 0], [200, 100, 0], [0, 100, 200], [0, 350, 50]] {
        // three times only where the second drain begins after the first one has already given it something
        let most = if offsets[0] == offsets[1] { 2 } else { 3 };
        let moves = three_ramps(offsets);
        assert!(moves <= most, "{offsets:?}: a tenant moved {moves} times");
    }
}

#[test]
fn a_cancelled_drain_beside_another_drain_never_sends_a_tenant_by_way_of_it() {
    let mut table = fleet(&[("weu", 6)]);
    let tenants = tenant_of_every_slot(table.seed);
    for at in [1, 4] {
        table.stamps[at].state = State::Draining;
        table.stamps[at].ramp = ramp(1_000, 0, START);
    }
    let draining = plain(&table);
    let cancelled_at = START + 150_000;
    table.stamps[1].ramp = Some(ramp::onward(&table.stamps[1], 1_000, cancelled_at, 300));
    table.stamps[1].state = State::Active;
    let cancelled = plain(&table);
    let (back, other) = (Some(table.stamps[1].id.clone()), Some(table.stamps[4].id.clone()));
    let mut before = owners(&draining, &tenants, cancelled_at);
    for second in (0..=300).step_by(10) {
        let now = owners(&cancelled, &tenants, cancelled_at + second * 1_000);
        for (before, now) in before.iter().zip(&now).filter(|(before, now)| before != now) {
            assert!(*now == back || (*before == other && *now != other), "{before:?} -> {now:?}");
        }
        before = now;
    }
}

#[test]
fn replacing_a_stamp_moves_only_what_the_old_one_releases() {
    // the replacement may have the smaller or the greater id
    for (old, new) in [(3, 10), (10, 3)] {
        let mut table = fleet(&[("weu", 0)]);
        table.stamps = (1..=10).filter(|n| *n != new).map(|n| stamp("weu", n, State::Active)).collect();
        let tenants = tenant_of_every_slot(table.seed);
        let before = owners(&plain(&table), &tenants, START);
        let mut replacement = stamp("weu", new, State::Active);
        replacement.placement_key = id("weu", old);
        table.stamps.push(replacement);
        let leaving = table.stamps.iter_mut().find(|stamp| stamp.id == id("weu", old)).unwrap();
        leaving.state = State::Draining;
        leaving.ramp = ramp(1_000, 0, START);
        let placement = plain(&table);
        let (old, new) = (Some(id("weu", old)), Some(id("weu", new)));
        let mut was = before.clone();
        for second in [0, 60, 120, 180, 240, 300] {
            let now = owners(&placement, &tenants, START + second * 1_000);
            assert!(was.iter().zip(&now).all(|(was, now)| was == now || (*was == old && *now == new)));
            was = now;
        }
        let after: Owners =
            before.iter().map(|owner| if *owner == old { new.clone() } else { owner.clone() }).collect();
        assert_eq!(was, after);
        // and when the old one has left the ranks, nothing moves any more
        table.stamps.iter_mut().find(|stamp| Some(&stamp.id) == old.as_ref()).unwrap().state = State::Ready;
        assert_eq!(owners(&plain(&table), &tenants, START + 400_000), after);
    }
}

#[test]
fn with_half_the_fleet_on_standby_every_tenant_has_an_owner_at_every_entry() {
    let mut table = fleet(&[("weu", 4), ("eus", 3), ("sea", 3)]);
    // one region is left without any taker
    for at in [1, 3, 7, 8, 9] {
        table.stamps[at].state = State::Ready;
    }
    for scope in [Scope::Region, Scope::Fleet] {
        table.scope = scope;
        let placement = plain(&table);
        for (n, tenant) in tenant_of_every_slot(table.seed).iter().enumerate() {
            let homes: Vec<StampIndex> =
                (0..3).map(|entry| placement.owner(tenant, RegionIndex(entry), START).unwrap()).collect();
            assert!(homes.iter().all(|home| placement.stamp(*home).state == State::Active), "{n}");
            if scope == Scope::Fleet {
                assert!(homes.windows(2).all(|pair| pair[0] == pair[1]), "one stamp worldwide");
            } else {
                let regions: Vec<&str> = homes.iter().map(|home| &*placement.stamp(*home).region).collect();
                assert_eq!(regions, ["weu", "eus", "weu"]);
            }
        }
    }
}

#[test]
fn a_lone_stamp_that_comes_in_serves_everything() {
    let mut table = fleet(&[("weu", 1)]);
    table.stamps[0].ramp = ramp(0, 1_000, START);
    let placement = plain(&table);
    for tenant in tenant_of_every_slot(table.seed).iter().step_by(64) {
        assert_eq!(placement.owner(tenant, ENTRY, START), Some(StampIndex(0)));
    }
}
