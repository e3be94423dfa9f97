//! Promises of lookup, hand and acceptance.

use std::time::Instant;

use super::*;
use crate::{
    fixture::{ENTRY, START, build, chaos, fleet, id, pinned, plain, ramp, region, sample, stamp, tenant},
    table::{PinMode, Tenant},
};

fn entries(placement: &Placement) -> impl Iterator<Item = RegionIndex> + use<> {
    (0..placement.table().regions.len() as u8 + 1).map(RegionIndex) // one more than there are
}

#[test]
fn the_owner_is_the_first_of_the_hand_and_the_hand_is_in_order() {
    let mut seen = [0u64; 4];
    for seed in 0..80 {
        let (table, tenants) = chaos(seed);
        let placement = build(&table, &tenants);
        for tenant in sample(&tenants, 150) {
            for entry in entries(&placement) {
                let owner = placement.owner(&tenant, entry, START);
                let Ok(hand) = placement.hand(&tenant, entry, START) else {
                    assert_eq!(owner, None, "seed {seed} {tenant}");
                    seen[0] += 1;
                    continue;
                };
                assert_eq!(owner, hand.first().map(|first| first.stamp), "seed {seed} {tenant} {hand:?}");
                assert!((1..=HAND_MAX).contains(&hand.len()));
                let members: Vec<Candidate> = hand.iter().collect();
                seen[1] += u64::from(members.len() == HAND_MAX);
                seen[2] += u64::from(members[0].holds);
                seen[3] += u64::from(!members[0].holds);
                let distinct: std::collections::HashSet<_> = members.iter().map(|member| member.stamp).collect();
                assert_eq!(distinct.len(), members.len());
                let some_active = members.iter().any(|m| placement.stamp(m.stamp).state == State::Active);
                for member in &members {
                    let stamp = placement.stamp(member.stamp);
                    assert!(matches!(stamp.state, State::Active | State::Draining), "seed {seed} {stamp:?}");
                    assert!(stamp.takes_slots() || member.role == Role::Pinned);
                    assert_eq!(member.last_resort, stamp.state == State::Draining && member.stamp != members[0].stamp);
                }
                let first = placement.stamp(members[0].stamp);
                assert!(first.state == State::Active || members[0].holds || !some_active, "seed {seed}");
                assert!(members.iter().map(|m| m.last_resort).is_sorted(), "seed {seed}: a drain before the last");
            }
        }
    }
    assert!(seen.iter().all(|count| *count > 10), "the fleets of chance are too tame: {seen:?}");
}

#[test]
fn every_member_of_a_hand_is_accepted_with_clocks_five_seconds_apart() {
    for seed in 80..150 {
        let (table, tenants) = chaos(seed);
        let placement = build(&table, &tenants);
        for tenant in sample(&tenants, 60) {
            for entry in entries(&placement) {
                let Ok(hand) = placement.hand(&tenant, entry, START) else { continue };
                for member in hand.iter() {
                    for there in [START - 5_000, START - 1, START, START + 1, START + 5_000] {
                        let verdict = placement.accepts(&tenant, entry, member.stamp, there);
                        assert_eq!(verdict, Acceptance::Candidate, "seed {seed} {tenant} {member:?} {there}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_stranger_is_no_candidate_and_the_excluded_are_told_why() {
    let mut table = fleet(&[("weu", 10), ("eus", 2)]);
    table.stamps[9].state = State::Failed;
    let strict = Tenant { regions: Some(vec![region("weu")]), ..pinned(&id("weu", 1), PinMode::Strict) };
    let resident = Tenant { regions: Some(vec![region("eus")]), ..Tenant::default() };
    let tenants = [(tenant("strict"), strict), (tenant("resident"), resident)].into();
    let placement = build(&table, &tenants);
    let at = |id: &str| placement.find(id).unwrap();
    let ask = |name: &str, stamp: &str| placement.accepts(&tenant(name), ENTRY, at(stamp), START);
    assert_eq!(ask("strict", "synaxis-weu-001"), Acceptance::Candidate);
    assert_eq!(ask("strict", "synaxis-weu-002"), Acceptance::Excluded(Exclusion::StrictPin));
    assert_eq!(ask("strict", "synaxis-weu-010"), Acceptance::Excluded(Exclusion::Failed));
    assert_eq!(ask("resident", "synaxis-weu-001"), Acceptance::Excluded(Exclusion::Residency));
    assert_eq!(ask("resident", "synaxis-eus-001"), Acceptance::Candidate);
    assert_eq!(placement.accepts(&tenant("resident"), ENTRY, StampIndex(999), START), Acceptance::NotCandidate);
    let hand = placement.hand(&tenant("acme"), ENTRY, START).unwrap();
    let accepted = placement
        .stamps_by_id()
        .filter(|stamp| placement.accepts(&tenant("acme"), ENTRY, *stamp, START) == Acceptance::Candidate);
    assert_eq!(accepted.collect::<std::collections::BTreeSet<_>>(), hand.iter().map(|member| member.stamp).collect());
    assert_eq!(hand.len(), FULL_MAX);
}

#[test]
fn a_strict_pin_fails_closed_and_a_preferred_one_falls_back() {
    let check = |state: State, mode: PinMode, expected: Result<bool, NoStamp>| {
        let mut table = fleet(&[("weu", 5)]);
        table.stamps[4].state = state;
        table.stamps[4].dedicated = true;
        let tenants = [(tenant("acme"), pinned(&id("weu", 5), mode))].into();
        let placement = build(&table, &tenants);
        let first =
            placement.hand(&tenant("acme"), ENTRY, START).map(|hand| hand.first().unwrap().stamp == StampIndex(4));
        assert_eq!(first, expected, "{state:?} {mode:?}");
    };
    use PinMode::{Preferred, Strict};
    check(State::Active, Strict, Ok(true));
    check(State::Draining, Strict, Ok(true));
    for down in [State::Creating, State::Ready, State::Failed] {
        check(down, Strict, Err(NoStamp::PinnedStampDown));
        check(down, Preferred, Ok(false));
    }
    check(State::Active, Preferred, Ok(true));
    check(State::Draining, Preferred, Ok(false)); // no ramp: released at once
}

#[test]
fn preferred_pins_leave_a_drain_one_after_the_other() {
    let mut table = fleet(&[("weu", 5)]);
    table.stamps[4].state = State::Draining;
    table.stamps[4].dedicated = true;
    table.stamps[4].ramp = ramp(1_000, 0, START);
    let names: Vec<TenantId> = (0..1_000).map(|n| tenant(&format!("p{n}"))).collect();
    let tenants = names.iter().map(|name| (*name, pinned(&id("weu", 5), PinMode::Preferred))).collect();
    let placement = build(&table, &tenants);
    let mut left: Vec<&TenantId> = names.iter().collect();
    for (second, expected) in [(0, 1_000), (75, 750), (150, 500), (225, 250), (300, 0)] {
        let now = START + second * 1_000;
        let before = left.len();
        let there = |name: &&TenantId| placement.owner(name, ENTRY, now) == Some(StampIndex(4));
        assert_eq!(names.iter().filter(|name| there(name)).count(), left.iter().filter(|name| there(name)).count());
        left.retain(|name| there(name));
        assert!(left.len() <= before && left.len().abs_diff(expected) < 60, "{second}: {}", left.len());
    }
}

#[test]
fn regions_are_asked_in_the_documented_order() {
    let check = |scope: Scope, rules: Tenant, entry: u8, expected: &[&str]| {
        let mut table = fleet(&[("weu", 1), ("eus", 1), ("sea", 1)]);
        table.scope = scope;
        let placement = build(&table, &[(tenant("acme"), rules.clone())].into());
        let hand = placement.hand(&tenant("acme"), RegionIndex(entry), START).unwrap();
        let got: Vec<&str> = hand.iter().map(|member| placement.stamp(member.stamp).id.region()).collect();
        assert_eq!(got, expected, "{scope:?} {rules:?} {entry}");
    };
    let rules = |home: Option<&str>, allowed: &[&str]| Tenant {
        tier: Some("starter".to_owned()),
        home: home.map(region),
        regions: (!allowed.is_empty()).then(|| allowed.iter().map(|name| region(name)).collect()),
        ..Tenant::default()
    };
    check(Scope::Region, rules(None, &[]), 0, &["weu", "eus", "sea"]);
    check(Scope::Region, rules(None, &[]), 2, &["sea", "weu", "eus"]);
    check(Scope::Region, rules(None, &[]), 77, &["weu", "eus", "sea"]);
    check(Scope::Region, rules(Some("eus"), &[]), 2, &["eus", "weu", "sea"]);
    check(Scope::Region, rules(None, &["sea", "weu"]), 0, &["weu", "sea"]);
    check(Scope::Region, rules(None, &["sea", "weu"]), 1, &["sea", "weu"]);
    check(Scope::Region, rules(Some("sea"), &["weu", "sea"]), 0, &["sea", "weu"]);
    check(Scope::Fleet, rules(None, &["sea", "weu"]), 0, &["sea", "weu"]);
    check(Scope::Fleet, rules(Some("eus"), &[]), 0, &["eus", "weu", "sea"]);
}

#[test]
fn nobody_to_serve_is_said_with_its_reason() {
    let mut table = fleet(&[("weu", 2), ("eus", 2)]);
    table.stamps[2..].iter_mut().for_each(|stamp| stamp.state = State::Ready);
    let rules = Tenant { regions: Some(vec![region("eus")]), ..Tenant::default() };
    let tenants = [(tenant("resident"), rules)].into();
    let placement = build(&table, &tenants);
    assert_eq!(placement.hand(&tenant("resident"), ENTRY, START), Err(NoStamp::NoStampInRegion));
    assert_eq!(placement.owner(&tenant("resident"), ENTRY, START), None);
    assert!(placement.hand(&tenant("acme"), RegionIndex(1), START).is_ok(), "the next region stands in");
    let empty = plain(&fleet(&[]));
    assert_eq!(empty.hand(&tenant("acme"), ENTRY, START), Err(NoStamp::NoStamp));
    assert_eq!(empty.owner(&tenant("acme"), ENTRY, START), None);
}

#[test]
fn a_region_in_which_everybody_drains_is_left_for_the_next_one() {
    let mut table = fleet(&[("weu", 9), ("eus", 2)]);
    for stamp in &mut table.stamps[..9] {
        stamp.state = State::Draining;
        stamp.ramp = ramp(1_000, 0, START);
    }
    let placement = plain(&table);
    for n in 0..2_000 {
        let name = tenant(&format!("t{n}"));
        let hand = placement.hand(&name, ENTRY, START + 300_000).unwrap();
        let first = placement.stamp(hand.first().unwrap().stamp);
        assert_eq!(&*first.region, "eus", "nine drains must not crowd out the living");
        let early = placement.stamp(placement.owner(&name, ENTRY, START).unwrap());
        assert_eq!(&*early.region, "weu");
    }
    assert!(placement.full_rankings() > 0, "the stored ranks cannot suffice here, and it is counted");
}

#[test]
fn two_tenants_with_one_hash_are_told_apart() {
    let table = fleet(&[("weu", 3)]);
    let tenants = [(tenant("acme"), pinned(&id("weu", 2), PinMode::Strict))].into();
    let (listed, slots) = Listed::build(&table, &tenants, &[StampIndex(0), StampIndex(1), StampIndex(2)]);
    let hash = rank::tenant_hash(table.seed, &tenant("acme"));
    assert_eq!(slots, [rank::slot(hash, 16)]);
    assert_eq!(listed.find(hash, &tenant("acme")).unwrap().pin, Some(1));
    assert!(listed.find(hash, &tenant("other")).is_none(), "the hash alone is not the tenant");
    let long = "x".repeat(crate::id::TENANT_BYTES_MAX);
    for length in [1, 51, 52, 53, 127, 128] {
        let rules = pinned(&id("weu", 3), PinMode::Preferred);
        let names = [tenant(&long[..length]), tenant(&format!("{}y", &long[..length - 1]))];
        let tenants = names.iter().map(|name| (*name, rules.clone())).collect();
        let listed = Listed::build(&table, &tenants, &[StampIndex(0), StampIndex(1), StampIndex(2)]).0;
        for name in names {
            let hash = rank::tenant_hash(table.seed, &name);
            assert_eq!(listed.find(hash, &name).unwrap().pin, Some(2), "{length}");
            assert!(listed.find(hash, &tenant("other")).is_none());
        }
    }
    assert!(Listed::build(&table, &Tenants::new(), &[]).0.find(hash, &tenant("acme")).is_none());
}

#[test]
fn a_thousand_stamps_and_a_hundred_thousand_tenants_are_found_again() {
    let mut table = fleet(&[("weu", 999)]);
    table.slots_log2 = 16;
    let tenants: Tenants = (0..100_000u32)
        .map(|n| (tenant(&format!("customer-{n}")), pinned(&id("weu", 1 + n % 999), PinMode::Preferred)))
        .collect();
    let placement = build(&table, &tenants);
    for n in (0..100_000u32).step_by(7) {
        let owner = placement.owner(&tenant(&format!("customer-{n}")), ENTRY, START).unwrap();
        assert_eq!(placement.stamp(owner).id, id("weu", 1 + n % 999));
    }
}

#[test]
fn a_stamp_that_is_only_for_pins_takes_no_slots() {
    let mut table = fleet(&[("weu", 3)]);
    table.stamps[0].dedicated = true;
    table.stamps[1].weight = 0;
    table.stamps.push(stamp("weu", 4, State::Creating));
    let placement = plain(&table);
    for n in 0..500 {
        assert_eq!(placement.owner(&tenant(&format!("t{n}")), ENTRY, START), Some(StampIndex(2)));
    }
}

#[test]
fn a_build_takes_milliseconds() {
    // the goals (5 ms at 10 stamps, 50 ms at 100) are judged by the benchmarks; this catches a tenfold mistake
    for (stamps, weights, limit_ms) in
        [(10, 1, 50), (10, 2, 100), (10, 10, 200), (100, 1, 500), (100, 2, 500), (100, 10, 1_000)]
    {
        let mut table = fleet(&[("weu", stamps)]);
        for (stamp, n) in table.stamps.iter_mut().zip(0..) {
            stamp.weight = 100 + n % weights;
        }
        let started = Instant::now();
        let placement = plain(&table);
        let took = started.elapsed();
        assert!(took.as_millis() < limit_ms, "{stamps} stamps: {took:?}");
        assert_eq!(placement.stamps_by_id().count(), stamps as usize);
        eprintln!("{stamps} stamps of {weights} weights: built in {took:?}");
    }
}

#[test]
fn a_lookup_takes_nanoseconds() {
    // the goals (25 ns at 10 stamps, 40 ns with 100,000 listed tenants) are judged by the benchmarks
    let names: Vec<TenantId> = (0..4_096).map(|n| tenant(&format!("customer-{n}"))).collect();
    let listed =
        (0..100_000u32).map(|n| (tenant(&format!("customer-{n}")), pinned(&id("weu", 1 + n % 9), PinMode::Preferred)));
    for (what, tenants) in [("unlisted", Tenants::new()), ("100,000 listed", listed.collect())] {
        let placement = build(&fleet(&[("weu", 10)]), &tenants);
        let rounds = 50;
        let started = Instant::now();
        let found =
            (0..rounds).flat_map(|_| &names).filter(|name| placement.owner(name, ENTRY, START).is_some()).count();
        let each = started.elapsed() / (rounds * names.len() as u32);
        assert_eq!(found, rounds as usize * names.len());
        assert!(each.as_nanos() < 500, "{what}: {each:?}");
        eprintln!("owner, {what}: {each:?}");
    }
}

#[test]
fn what_a_stamp_owns_is_what_its_tenants_are_told_and_changes_only_while_something_moves() {
    let (mut changes, mut still) = (0, 0);
    for seed in 300..340 {
        let (table, tenants) = chaos(seed);
        let placement = build(&table, &tenants);
        let ruled: std::collections::HashSet<TenantId> = placement.ruled_tenants().copied().collect();
        let later = START + seed % 7 * 60_000;
        let is_moving = placement.moves_between(START, later);
        still += u64::from(!is_moving);
        let owned: Vec<Vec<bool>> =
            placement.stamps_by_id().map(|stamp| placement.owned_slots(stamp, ENTRY, START)).collect();
        for tenant in sample(&tenants, 200) {
            let owner = placement.owner(&tenant, ENTRY, START);
            let changed = owner != placement.owner(&tenant, ENTRY, later);
            assert!(is_moving || !changed, "seed {seed} {tenant}");
            changes += u64::from(changed);
            if !ruled.contains(&tenant) {
                for (stamp, slots) in placement.stamps_by_id().zip(&owned) {
                    let owns = slots[placement.slot(&tenant) as usize];
                    assert_eq!(owns, owner == Some(stamp), "seed {seed} {tenant} {stamp:?}");
                }
            }
        }
    }
    assert!(changes > 10 && still > 3, "{changes} {still}");
}
