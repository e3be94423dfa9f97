//! Edits of stamps and tenants; whole tables are in `whole`.

mod degrade;
mod isolate;
mod whole;

use super::*;
use crate::{
    bundle::Bundle,
    lifecycle::{CONNECTIONS, DRAINED, STUCK},
    ramp,
    table::{PinMode, Tenant},
};

const NOW: Millis = 1_768_000_000_000;
const DAY: Millis = 24 * 3_600_000;

fn id(text: &str) -> StampId {
    StampId::parse(&format!("synaxis-{text}")).unwrap()
}

fn tenant(text: &str) -> TenantId {
    TenantId::parse(text.as_bytes()).unwrap()
}

fn regions(names: &[&str]) -> Vec<Region> {
    names.iter().map(|name| Region::parse(name).unwrap()).collect()
}

fn blank(names: &[&str]) -> Fleet {
    Fleet::blank(regions(names), Scope::Region, Seed(0xfeed_beef_0000_0001), 16).unwrap()
}

fn new(text: &str) -> Register {
    let endpoint = format!("https://{text}.stamp.internal:8443");
    Register { id: id(text), endpoint, weight: 100, dedicated: false, labels: [].into() }
}

/// Active stamps of the given ids, in the regions of those ids.
fn fleet(stamps: &[&str]) -> Fleet {
    let mut names: Vec<&str> = stamps.iter().map(|text| text.split_once('-').unwrap().0).collect();
    names.dedup();
    stamps.iter().fold(blank(&names), |fleet, text| {
        let registered = fleet.register(new(text), NOW - DAY).unwrap().fleet;
        registered.activate(&id(text), 0, NOW - DAY).unwrap().fleet
    })
}

/// Every outcome must be a table that readers accept.
fn publishable(changed: &Changed) {
    Bundle::encode(&changed.fleet.table, &changed.fleet.tenants, "test").unwrap();
}

fn state(fleet: &Fleet, text: &str) -> State {
    fleet.find(&id(text)).unwrap().state
}

fn drain() -> Drain {
    Drain::default()
}

fn below() -> Drain {
    Drain { overrides: Overrides { below_minimum: true, last: false }, ..drain() }
}

#[test]
fn a_stamp_lives_its_whole_life() {
    let guards = Guards::default();
    let it = id("weu-003");
    let mut fleet = fleet(&["weu-001", "weu-002"]);
    let mut epoch = fleet.table.epoch;
    let mut next = |changed: Result<Changed, Refused>, expected: State| {
        let changed = changed.unwrap();
        publishable(&changed);
        epoch += 1;
        assert_eq!(changed.fleet.table.epoch, epoch, "{}", changed.summary);
        assert_eq!(state(&changed.fleet, "weu-003"), expected, "{}", changed.summary);
        assert_eq!(changed.fleet.find(&it).unwrap().since, NOW);
        changed.fleet
    };
    fleet = next(fleet.register(new("weu-003"), NOW), State::Creating);
    fleet = next(fleet.fail(&it, "no machines".into(), NOW), State::Failed);
    assert_eq!(fleet.find(&it).unwrap().warnings, ["no machines"]);
    fleet = next(fleet.retry(&it, NOW), State::Creating);
    assert!(fleet.find(&it).unwrap().warnings.is_empty());
    fleet = next(fleet.activate(&it, 300, NOW), State::Active);
    fleet = next(fleet.drain(&it, drain(), &guards, NOW), State::Draining);
    fleet = next(fleet.cancel_drain(&it, 300, NOW), State::Active);
    fleet = next(fleet.drain(&it, drain(), &guards, NOW), State::Draining);
    fleet = next(fleet.standby(&it, Some("3 connections were cut".into()), NOW), State::Ready);
    assert_eq!(fleet.find(&it).unwrap().warnings, ["3 connections were cut"]);
    fleet = next(fleet.activate(&it, 0, NOW), State::Active);
    fleet = next(fleet.drain(&it, drain(), &guards, NOW), State::Draining);
    fleet = next(fleet.standby(&it, None, NOW), State::Ready);
    fleet = next(fleet.delete(&it, false, NOW), State::Deleted);

    assert_eq!(fleet.register(new("weu-003"), NOW).unwrap_err(), Refused::Retired(it.clone()));
    let later = NOW + 31 * DAY;
    let fleet = fleet.register(new("weu-004"), later).unwrap().fleet;
    assert!(fleet.find(&it).is_err(), "the tombstone left");
    assert_eq!(fleet.table.retired, std::slice::from_ref(&it));
    assert_eq!(fleet.register(new("weu-003"), later).unwrap_err(), Refused::Retired(it));
}

#[test]
fn every_edit_raises_the_epoch_names_what_stood_before_and_clears_the_reason() {
    let mut fleet = fleet(&["weu-001", "weu-002", "weu-003"]);
    fleet.table.forced = Some("earlier".into());
    let changed = fleet.drain(&id("weu-003"), drain(), &Guards::default(), NOW).unwrap();
    let after = &changed.fleet.table;
    assert_eq!(after.version(), fleet.version().next());
    assert_eq!(after.previous, Previous { epoch: fleet.table.epoch, takers: 3 });
    assert_eq!(after.forced, None);
    let forced = changed.forced("moving house").unwrap();
    assert_eq!(forced.fleet.table.forced.as_deref(), Some("moving house"));
    for bad in ["", "a\nb", &"x".repeat(257)] {
        assert!(matches!(forced.clone().forced(bad), Err(Refused::Invalid(_))), "{bad:?}");
    }
}

#[test]
fn a_new_table_starts_at_one_one() {
    let changed = blank(&["weu", "eus"]).init(NOW).unwrap();
    assert_eq!(changed.fleet.version(), Version::new(1, 1));
    assert_eq!(changed.fleet.table.previous, Previous::default());
    publishable(&changed);
    assert!(matches!(changed.fleet.init(NOW), Err(Refused::Nothing(_))));
    // registering into a blank fleet publishes both as one
    assert_eq!(blank(&["weu"]).register(new("weu-001"), NOW).unwrap().fleet.version(), Version::new(1, 1));

    let seed = Seed(1);
    for (names, slots) in [(vec![], 16), (vec!["weu", "weu"], 16), (vec!["weu"], 17), (vec!["weu"], 0)] {
        let refused = Fleet::blank(regions(&names), Scope::Fleet, seed, slots);
        assert!(matches!(refused, Err(Refused::Invalid(_))), "{names:?} {slots}");
    }
}

#[test]
fn what_cannot_be_registered_is_refused() {
    let fleet = fleet(&["weu-001"]);
    let cases: Vec<(Register, &str)> = vec![
        (new("weu-001"), "registered already, it is active"),
        (new("eus-001"), "there is no region eus in the table; it has weu"),
        (
            Register { endpoint: "https://user@weu-002:8443".into(), ..new("weu-002") },
            "the endpoint of synaxis-weu-002",
        ),
        (Register { endpoint: "ftp://weu-002:8443".into(), ..new("weu-002") }, "the endpoint of"),
        (Register { endpoint: "https://weu-002:8443/path".into(), ..new("weu-002") }, "the endpoint of"),
        (Register { endpoint: String::new(), ..new("weu-002") }, "the endpoint of"),
        (Register { weight: 1_001, ..new("weu-002") }, "a weight is 0 to 1000"),
        (Register { labels: [("a b".into(), "c".into())].into(), ..new("weu-002") }, "a label's name"),
        (Register { labels: [("a".into(), "\x1b[31m".into())].into(), ..new("weu-002") }, "the value of label a"),
        (
            Register { labels: (0..33).map(|i| (format!("l{i}"), "v".to_owned())).collect(), ..new("weu-002") },
            "at most 32 labels",
        ),
    ];
    for (register, expected) in cases {
        let refused = fleet.register(register, NOW).unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    }
}

#[test]
fn a_full_table_takes_no_more_stamps() {
    let mut fleet = fleet(&["weu-001"]);
    let one = fleet.table.stamps[0].clone();
    fleet.table.stamps = (1..=STAMPS_MAX)
        .map(|i| {
            let id = id(&format!("weu-{i:04}"));
            crate::table::Stamp { placement_key: id.clone(), id, ..one.clone() }
        })
        .collect();
    assert!(matches!(fleet.register(new("weu-9999"), NOW), Err(Refused::Full(_))));
}

#[test]
fn an_activation_ramps_in_and_a_drain_ramps_out_from_where_it_is() {
    let fleet = fleet(&["weu-001", "weu-002", "weu-003"]);
    let guards = Guards::default();
    let it = id("weu-003");
    let share = |fleet: &Fleet, now| ramp::share(fleet.find(&it).unwrap(), now).per_mille();
    let drained = fleet.drain(&it, drain(), &guards, NOW).unwrap().fleet;
    for (after, expected) in [(0, 1_000), (150_000, 500), (300_000, 0), (DAY, 0)] {
        assert_eq!(share(&drained, NOW + after), expected, "{after} ms");
    }
    let back = drained.cancel_drain(&it, 100, NOW + 150_000).unwrap().fleet;
    for (after, expected) in [(150_000, 500), (200_000, 750), (250_000, 1_000)] {
        assert_eq!(share(&back, NOW + after), expected, "{after} ms");
    }
    let again = back.drain(&it, drain(), &guards, NOW + 200_000).unwrap().fleet;
    assert_eq!(share(&again, NOW + 200_000), 750, "a drain starts from what the stamp holds");

    let ready = drained.standby(&it, None, NOW + DAY).unwrap().fleet;
    let incoming = ready.activate(&it, 300, NOW + DAY).unwrap().fleet;
    assert_eq!((share(&incoming, NOW + DAY), share(&incoming, NOW + DAY + 300_000)), (0, 1_000));
    assert!(ready.activate(&it, 0, NOW).unwrap().fleet.find(&it).unwrap().ramp.is_none());
}

#[test]
fn a_cancelled_drain_comes_back_from_one_per_mille_at_least() {
    let fleet = fleet(&["weu-001", "weu-002", "weu-003"]);
    let it = id("weu-003");
    let drained = fleet.drain(&it, drain(), &Guards::default(), NOW).unwrap().fleet;
    for cancel in [Fleet::cancel_drain, Fleet::activate] {
        let back = cancel(&drained, &it, 300, NOW + DAY).unwrap().fleet;
        let stamp = back.find(&it).unwrap();
        assert_eq!(stamp.ramp.map(|ramp| (ramp.from, ramp.to)), Some((1, 1_000)));
        assert!(ramp::is_coming_back(stamp));
    }
    assert!(matches!(fleet.cancel_drain(&it, 300, NOW), Err(Refused::Nothing(_))));
}

#[test]
fn a_forced_drain_is_at_once_and_also_ends_one_that_is_under_way() {
    let fleet = fleet(&["weu-001", "weu-002", "weu-003"]);
    let (guards, it, force) = (Guards::default(), id("weu-003"), Drain { force: true, ..drain() });
    let graceful = fleet.drain(&it, drain(), &guards, NOW).unwrap().fleet;
    assert!(matches!(graceful.drain(&it, drain(), &guards, NOW), Err(Refused::Illegal { .. })));
    for (before, since) in [(fleet, NOW + 9), (graceful, NOW)] {
        let after = before.drain(&it, force, &guards, NOW + 9).unwrap().fleet;
        let stamp = after.find(&it).unwrap();
        assert!(ramp::share(stamp, NOW + 9).is_none());
        assert_eq!(stamp.deadlines[DRAINED], NOW + 9);
        assert_eq!(stamp.since, since);
    }
}

#[test]
fn a_drain_writes_its_deadlines() {
    let fleet = fleet(&["weu-001", "weu-002", "weu-003"]);
    const MINUTE: Millis = 60_000;
    let cases = [
        (drain(), [10, 40, 45]),
        (Drain { grace: Some(60 * MINUTE), ..drain() }, [60, 60, 65]),
        (Drain { ramp_seconds: 0, ..drain() }, [10, 40, 45]),
        (Drain { ramp_seconds: 3_900, ..drain() }, [70, 100, 105]),
    ];
    for (how, minutes) in cases {
        let after = fleet.drain(&id("weu-003"), how, &Guards::default(), NOW).unwrap().fleet;
        let deadlines = &after.find(&id("weu-003")).unwrap().deadlines;
        let expected = minutes.map(|minutes| NOW + minutes * MINUTE);
        assert_eq!([CONNECTIONS, DRAINED, STUCK].map(|name| deadlines[name]), expected, "{how:?}");
    }
    for how in [Drain { ramp_seconds: u32::MAX, ..drain() }, Drain { grace: Some(u64::MAX), ..drain() }] {
        assert!(matches!(fleet.drain(&id("weu-003"), how, &Guards::default(), NOW), Err(Refused::Invalid(_))));
    }
}

#[test]
fn guards_keep_enough_active_stamps_and_name_the_flag_that_overrides_them() {
    let last = Drain { overrides: Overrides { below_minimum: false, last: true }, ..drain() };
    let alone = "no active stamp would remain in the whole fleet; activate another stamp first, or repeat with --last";
    // (the fleet, which one leaves, how, the refusal if any)
    let cases: [(&[&str], &str, Drain, Option<&str>); 9] = [
        (&["weu-001", "weu-002", "weu-003"], "weu-001", drain(), None),
        (
            &["weu-001", "weu-002"],
            "weu-001",
            drain(),
            Some(
                "1 active would remain in the fleet (minimum 2); activate another stamp first, or repeat with --below-minimum",
            ),
        ),
        (&["weu-001", "weu-002"], "weu-001", below(), None),
        (&["eus-001", "weu-001", "weu-002"], "eus-001", drain(), Some("0 active would remain in eus (minimum 1)")),
        (&["eus-001", "weu-001"], "eus-001", drain(), Some("(minimum 2) and 0 active would remain in eus (minimum 1)")),
        (&["eus-001", "weu-001"], "eus-001", below(), None),
        (&["weu-001"], "weu-001", drain(), Some(alone)),
        (&["weu-001"], "weu-001", below(), Some(alone)),
        (&["weu-001"], "weu-001", last, None),
    ];
    for (stamps, leaves, how, refusal) in cases {
        let fleet = fleet(stamps);
        let drained = fleet.drain(&id(leaves), how, &Guards::default(), NOW);
        let weighed = fleet.weight(&id(leaves), 0, &Guards::default(), how.overrides, NOW);
        for outcome in [drained, weighed] {
            match (outcome, refusal) {
                // weight 0 leaves no taker where a drain still leaves one
                (Err(Refused::LastTaker(_)), _) if stamps.len() == 1 => {}
                (Ok(_), None) => {}
                (Err(refused @ Refused::Guarded(_)), Some(text)) => {
                    assert!(refused.to_string().contains(text), "{refused}");
                }
                (outcome, _) => panic!("{stamps:?} {leaves} {how:?}: {outcome:?}"),
            }
        }
    }
    let lax = Guards { active_min: 0, active_min_per_region: 0 };
    assert!(fleet(&["weu-001", "eus-001"]).drain(&id("eus-001"), drain(), &lax, NOW).is_ok());
    assert!(fleet(&["weu-001"]).drain(&id("weu-001"), drain(), &lax, NOW).is_err(), "the last one needs --last always");
}

#[test]
fn an_overridden_guard_is_a_warning_and_says_whom_it_strands() {
    let mut fleet = fleet(&["eus-001", "weu-001"]);
    let bound = Tenant { regions: Some(regions(&["eus"])), ..Tenant::default() };
    fleet.tenants =
        [(tenant("acme"), bound.clone()), (tenant("beta"), bound), (tenant("free"), Tenant::default())].into();
    let changed = fleet.drain(&id("eus-001"), below(), &Guards::default(), NOW).unwrap();
    let said = changed.warnings.join("\n");
    assert!(said.contains("2 listed tenants may be served in no other region"), "{said}");
}

#[test]
fn dedicated_stamps_neither_count_nor_are_guarded() {
    let mut fleet = fleet(&["weu-001", "weu-002", "weu-003"]);
    fleet.table.stamps[2].dedicated = true;
    assert!(fleet.drain(&id("weu-003"), drain(), &Guards::default(), NOW).is_ok());
    assert!(matches!(fleet.drain(&id("weu-001"), drain(), &Guards::default(), NOW), Err(Refused::Guarded(_))));
}

#[test]
fn a_strict_pin_holds_a_stamp_back_and_is_listed() {
    let mut fleet = fleet(&["weu-001", "weu-002", "weu-003"]);
    let it = id("weu-003");
    for i in 0..25 {
        fleet = fleet.pin(tenant(&format!("t{i:02}")), &it, PinMode::Strict, NOW).unwrap().fleet;
    }
    fleet = fleet.pin(tenant("soft"), &it, PinMode::Preferred, NOW).unwrap().fleet;
    let refused = fleet.drain(&it, Drain { force: true, ..drain() }, &Guards::default(), NOW).unwrap_err();
    let Refused::StrictlyPinned { tenants, .. } = &refused else { panic!("{refused}") };
    assert_eq!(tenants.len(), 25);
    let text = refused.to_string();
    assert!(text.contains("t00, t01") && text.contains("t19 and 5 more") && !text.contains("soft"), "{text}");

    let fleet = fleet.unpin(&(0..25).map(|i| tenant(&format!("t{i:02}"))).collect::<Vec<_>>(), NOW).unwrap().fleet;
    assert_eq!(fleet.tenants.keys().map(TenantId::as_str).collect::<Vec<_>>(), ["soft"]);
    assert!(fleet.drain(&it, drain(), &Guards::default(), NOW).is_ok());
}

#[test]
fn pins_respect_state_and_residency() {
    let mut fleet = fleet(&["eus-001", "weu-001", "weu-002", "weu-003"]);
    fleet = fleet.drain(&id("weu-003"), drain(), &Guards::default(), NOW).unwrap().fleet;
    fleet = fleet.register(new("weu-004"), NOW).unwrap().fleet;
    let bound = Tenant { regions: Some(regions(&["weu"])), ..Tenant::default() };
    fleet.tenants.insert(tenant("bound"), bound);
    let pin = |who: &str, stamp: &str, mode| fleet.pin(tenant(who), &id(stamp), mode, NOW);
    assert!(matches!(pin("a", "weu-009", PinMode::Strict), Err(Refused::UnknownStamp(_))));
    assert!(matches!(pin("a", "weu-003", PinMode::Preferred), Err(Refused::Blocked { .. })), "draining");
    assert!(matches!(pin("a", "weu-004", PinMode::Strict), Err(Refused::Blocked { .. })), "creating");
    assert!(pin("a", "weu-004", PinMode::Preferred).is_ok());
    for mode in [PinMode::Strict, PinMode::Preferred] {
        assert!(matches!(pin("bound", "eus-001", mode), Err(Refused::Residency { .. })));
    }
    let pinned = pin("bound", "weu-001", PinMode::Strict).unwrap();
    publishable(&pinned);
    let again = pinned.fleet.pin(tenant("bound"), &id("weu-001"), PinMode::Strict, NOW);
    assert!(matches!(again, Err(Refused::Nothing(_))));
    let unpinned = pinned.fleet.unpin(&[tenant("bound")], NOW).unwrap().fleet;
    assert!(unpinned.tenants.contains_key(&tenant("bound")), "its regions still stand");
    assert_eq!(unpinned.unpin(&[tenant("bound")], NOW).unwrap_err(), Refused::NotPinned(Box::new(tenant("bound"))));
}

#[test]
fn a_draining_stamp_is_deleted_only_by_force_and_its_preferred_pins_go() {
    let fleet = fleet(&["weu-001", "weu-002", "weu-003"]);
    let it = id("weu-003");
    let fleet = fleet.pin(tenant("soft"), &it, PinMode::Preferred, NOW).unwrap().fleet;
    assert!(matches!(fleet.delete(&it, true, NOW), Err(Refused::Illegal { .. })), "an active one never");
    let fleet = fleet.drain(&it, drain(), &Guards::default(), NOW).unwrap().fleet;
    assert_eq!(fleet.delete(&it, false, NOW).unwrap_err(), Refused::StillDraining(it.clone()));
    let deleted = fleet.delete(&it, true, NOW).unwrap();
    publishable(&deleted);
    assert!(deleted.fleet.tenants.is_empty());
    assert!(deleted.warnings[0].contains("soft"), "{:?}", deleted.warnings);
}

#[test]
fn a_weight_is_configuration_and_blocked_while_draining() {
    let fleet = fleet(&["weu-001", "weu-002", "weu-003"]);
    let weigh =
        |fleet: &Fleet, weight| fleet.weight(&id("weu-003"), weight, &Guards::default(), Overrides::default(), NOW);
    assert_eq!(weigh(&fleet, 250).unwrap().fleet.find(&id("weu-003")).unwrap().weight, 250);
    assert!(matches!(weigh(&fleet, 100), Err(Refused::Nothing(_))));
    assert!(matches!(weigh(&fleet, 1_001), Err(Refused::Invalid(_))));
    let drained = fleet.drain(&id("weu-003"), drain(), &Guards::default(), NOW).unwrap().fleet;
    assert!(matches!(weigh(&drained, 250), Err(Refused::Blocked { .. })));
}

/// weu-003 comes in over 300 s from `NOW` on.
fn coming_in() -> Fleet {
    let registered = fleet(&["weu-001", "weu-002"]).register(new("weu-003"), NOW).unwrap().fleet;
    registered.activate(&id("weu-003"), 300, NOW).unwrap().fleet
}

/// The same after an edit that has nothing to do with stamps.
fn edited(fleet: &Fleet, now: Millis) -> Fleet {
    fleet.pin(tenant("somebody"), &id("weu-001"), PinMode::Preferred, now).unwrap().fleet
}

#[test]
fn a_ramp_that_ended_long_ago_leaves_and_one_that_may_still_matter_stays() {
    let calm = fleet(&["weu-001", "weu-002", "weu-003"]);
    let coming = coming_in();
    let ramp_of = |fleet: &Fleet| fleet.find(&id("weu-003")).unwrap().ramp;
    assert!(ramp_of(&coming).is_some());
    // any later edit looks
    let later = |fleet: &Fleet, after: Millis| edited(fleet, NOW + after);
    let (end, clocks) = (300_000, 2 * EDGE);
    assert!(ramp_of(&later(&coming, end)).is_some(), "somebody's clock may be behind");
    assert!(ramp_of(&later(&coming, end + clocks)).is_some());
    assert_eq!(ramp_of(&later(&coming, end + clocks + 1)), None);
    let mut held = coming;
    held.table.stamps[2].ramp.as_mut().unwrap().held_at = Some(NOW + 1_000);
    assert!(ramp_of(&later(&held, DAY)).is_some(), "a held ramp has not ended");
    let draining = calm.drain(&id("weu-003"), below(), &Guards::default(), NOW).unwrap().fleet;
    assert!(ramp_of(&later(&draining, DAY)).is_some(), "a drain is not over when its ramp is");
    // took its slots back from the stamp that shares its key: its ramp says who comes first
    let mut shared = draining.cancel_drain(&id("weu-003"), 300, NOW + 150_000).unwrap().fleet;
    assert_eq!(ramp_of(&later(&shared, DAY)), None);
    shared.table.stamps[1].placement_key = id("weu-003");
    assert!(ramp_of(&later(&shared, DAY)).is_some());
}

#[test]
fn dropping_a_ramp_that_has_ended_moves_nobody() {
    let coming = coming_in();
    let then = NOW + DAY;
    let without = edited(&coming, then);
    assert!(coming.table.stamps[2].ramp.is_some() && without.table.stamps[2].ramp.is_none());
    let built = |fleet: &Fleet| crate::placement::Placement::build(fleet.table.clone(), fleet.tenants.clone()).unwrap();
    let (before, after) = (built(&coming), built(&without));
    for number in 0..5_000 {
        let tenant = tenant(&format!("t{number}"));
        let entry = crate::placement::RegionIndex(0);
        assert_eq!(before.owner(&tenant, entry, then), after.owner(&tenant, entry, then));
    }
}

#[test]
fn a_stamp_may_bring_its_region_with_it() {
    let calm = fleet(&["weu-001", "weu-002"]);
    assert!(matches!(calm.register(new("sea-001"), NOW), Err(Refused::UnknownRegion { .. })));
    let changed = calm.register_in_new_region(new("sea-001"), NOW).unwrap();
    publishable(&changed);
    assert_eq!(changed.fleet.table.regions, regions(&["weu", "sea"]));
    let again = changed.fleet.register_in_new_region(new("sea-002"), NOW).unwrap();
    assert_eq!(again.fleet.table.regions.len(), 2);
    let mut full = calm;
    full.table.regions = (0..crate::sanity::REGIONS_MAX).map(|n| Region::parse(&format!("r{n}")).unwrap()).collect();
    assert!(matches!(full.register_in_new_region(new("sea-001"), NOW), Err(Refused::Full(_))));
}

#[test]
fn a_drain_never_takes_a_slot_first() {
    let coming = coming_in();
    // half-way in, at a share that is no whole number of per mille
    let now = NOW + 150_007;
    let held = ramp::share(coming.find(&id("weu-003")).unwrap(), now);
    let drained = coming.drain(&id("weu-003"), below(), &Guards::default(), now).unwrap().fleet;
    let after = ramp::share(drained.find(&id("weu-003")).unwrap(), now);
    for mix in (0..10_000_u64).map(|n| n * (u64::MAX / 10_000)) {
        assert!(held.holds(mix) || !after.holds(mix), "it took what it did not hold");
    }
}
