//! An emergency: everything goes at once, and what is overridden is told.

use super::*;

#[test]
fn isolating_a_stamp_takes_everything_from_it_at_once_and_says_what_it_overrides() {
    let it = id("weu-003");
    let guards = Guards { active_min: 3, active_min_per_region: 3 };
    let fleet = fleet(&["weu-001", "weu-002", "weu-003"]);
    let pinned = fleet.pin(tenant("acme"), &it, PinMode::Strict, NOW).unwrap().fleet;
    assert!(matches!(pinned.drain(&it, below(), &guards, NOW), Err(Refused::StrictlyPinned { .. })));
    let out = pinned.isolate(&it, false, &guards, NOW).unwrap();
    publishable(&out);
    let stamp = out.fleet.find(&it).unwrap();
    assert_eq!((stamp.state, ramp::share(stamp, NOW).per_mille()), (State::Draining, 0));
    let warned = out.warnings.join("; ");
    assert!(warned.contains("minimum 3") && warned.contains("acme may be served by synaxis-weu-003 only"), "{warned}");
    // one that comes in, or goes out slowly
    for slow in [
        fleet.drain(&it, drain(), &Guards::default(), NOW).unwrap().fleet,
        fleet
            .drain(&it, drain(), &Guards::default(), NOW)
            .unwrap()
            .fleet
            .activate(&it, 300, NOW + 150_000)
            .unwrap()
            .fleet,
    ] {
        let at = NOW + 200_000;
        assert!(!ramp::share(slow.find(&it).unwrap(), at).is_none());
        let out = slow.isolate(&it, false, &Guards::default(), at).unwrap();
        publishable(&out);
        assert!(ramp::share(out.fleet.find(&it).unwrap(), at).is_none());
    }
}

#[test]
fn the_last_active_stamp_is_isolated_only_when_told_so_and_one_that_takes_nothing_is_not() {
    let it = id("weu-001");
    let fleet = fleet(&["weu-001"]);
    let refused = fleet.isolate(&it, false, &Guards::default(), NOW).unwrap_err();
    assert!(refused.to_string().contains("--last"), "{refused}");
    let out = fleet.isolate(&it, true, &Guards::default(), NOW).unwrap().fleet;
    assert!(matches!(out.isolate(&it, true, &Guards::default(), NOW), Err(Refused::Nothing(_))));
    let created = fleet.register(new("weu-002"), NOW).unwrap().fleet;
    assert!(matches!(created.isolate(&id("weu-002"), true, &Guards::default(), NOW), Err(Refused::Nothing(_))));
    assert!(matches!(fleet.isolate(&id("weu-009"), true, &Guards::default(), NOW), Err(Refused::UnknownStamp(_))));
}
