//! Levels set by hand: what an operator may say, and when it leaves.

use super::*;
use crate::degradation::{LASTS_MAX, Level};

const HOUR: Millis = 3_600_000;

fn of(text: &str) -> Whom {
    Whom::Stamp(id(text))
}

fn level(fleet: &Fleet, text: &str, now: Millis) -> Option<Level> {
    fleet.table.degradation_of(&id(text), now).map(|it| it.level)
}

#[test]
fn a_level_holds_for_whom_it_was_set_and_ends_by_itself() {
    let fleet = fleet(&["weu-001", "weu-002"]);
    let changed = fleet.degrade(&of("weu-002"), Level::Maintenance, HOUR, "disks", NOW).unwrap();
    publishable(&changed);
    assert_eq!(changed.summary, "degrade synaxis-weu-002 to maintenance for 3600 s: disks");
    assert_eq!(
        changed.differences.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["~ table  degradation: none → synaxis-weu-002 maintenance until 2026-01-10T00:06:40Z (disks)"]
    );
    let stamp = changed.fleet;
    assert_eq!((stamp.table.version, stamp.table.needs()), (2, 2));
    assert_eq!((level(&stamp, "weu-001", NOW), level(&stamp, "weu-002", NOW)), (None, Some(Level::Maintenance)));
    let both = stamp.degrade(&Whom::Fleet, Level::ReadOnly, 2 * HOUR, "", NOW + 1).unwrap().fleet;
    assert_eq!(level(&both, "weu-001", NOW + 1), Some(Level::ReadOnly));
    assert_eq!(level(&both, "weu-002", NOW + HOUR), Some(Level::ReadOnly));
    // what ended leaves with the next edit, and with the last one the need of a newer reader
    let pin = |fleet: &Fleet, now| fleet.pin(tenant("acme"), &id("weu-001"), PinMode::Preferred, now).unwrap();
    let first = pin(&both, NOW + HOUR);
    assert!(first.fleet.table.degradation.as_ref().unwrap().stamps.is_empty());
    let last = pin(&both, NOW + 2 * HOUR + 1);
    assert_eq!((last.fleet.table.degradation.as_ref(), last.fleet.table.version), (None, 1));
    publishable(&last);
}

#[test]
fn clearing_takes_away_what_was_named_and_tells_what_is_left() {
    let fleet = fleet(&["weu-001", "weu-002"]);
    let fleet = fleet.degrade(&Whom::Fleet, Level::AiDegraded, HOUR, "", NOW).unwrap().fleet;
    let both = fleet.degrade(&of("weu-001"), Level::ReadOnly, HOUR, "", NOW).unwrap().fleet;
    let cleared = both.clear_degradation(&Whom::Fleet, NOW).unwrap();
    assert_eq!(level(&cleared.fleet, "weu-001", NOW), Some(Level::ReadOnly));
    assert!(cleared.warnings[0].contains("still set: synaxis-weu-001 read-only"), "{:?}", cleared.warnings);
    let nothing = cleared.fleet.degrade(&of("weu-001"), Level::Full, 1, "", NOW).unwrap();
    assert_eq!(nothing.fleet.table.degradation, None);
    assert!(nothing.warnings.is_empty());
    for whom in [Whom::Fleet, of("weu-001")] {
        let refused = nothing.fleet.clear_degradation(&whom, NOW).unwrap_err();
        assert!(matches!(refused, Refused::Nothing(_)), "{refused}");
        assert!(matches!(both.clear_degradation(&whom, NOW + HOUR), Err(Refused::Nothing(_))), "it has ended");
    }
    assert!(matches!(nothing.fleet.clear_degradation(&of("weu-009"), NOW), Err(Refused::UnknownStamp(_))));
}

#[test]
fn what_cannot_be_set_is_refused_in_words() {
    let fleet = fleet(&["weu-001", "weu-002", "weu-003"]);
    let set = |lasts, reason: &str| fleet.degrade(&Whom::Fleet, Level::Maintenance, lasts, reason, NOW);
    for lasts in [0, LASTS_MAX + 1, Millis::MAX] {
        assert!(matches!(set(lasts, ""), Err(Refused::Invalid(_))), "{lasts}");
    }
    assert!(matches!(set(1, &"x".repeat(201)), Err(Refused::Invalid(_))));
    assert!(matches!(set(1, "\x1b[2J"), Err(Refused::Invalid(_))));
    publishable(&set(LASTS_MAX, &"x".repeat(200)).unwrap());
    let it = id("weu-003");
    let gone = fleet.drain(&it, drain(), &Guards::default(), NOW).unwrap().fleet.delete(&it, true, NOW).unwrap().fleet;
    let refused = gone.degrade(&of("weu-003"), Level::ReadOnly, 1, "", NOW).unwrap_err();
    assert!(refused.to_string().contains("blocked while it is deleted"), "{refused}");
    assert!(matches!(gone.degrade(&of("weu-009"), Level::ReadOnly, 1, "", NOW), Err(Refused::UnknownStamp(_))));
}

#[test]
fn a_lower_level_for_a_stamp_than_for_the_fleet_is_told_to_be_in_vain() {
    let fleet = fleet(&["weu-001", "weu-002"]).degrade(&Whom::Fleet, Level::ReadOnly, HOUR, "", NOW).unwrap().fleet;
    let warned = |level, now| !fleet.degrade(&of("weu-001"), level, HOUR, "", now).unwrap().warnings.is_empty();
    assert!(
        warned(Level::AiDegraded, NOW) && !warned(Level::Maintenance, NOW) && !warned(Level::AiDegraded, NOW + HOUR)
    );
}

#[test]
fn a_level_goes_with_its_stamp_and_stays_through_a_rollback() {
    let before = fleet(&["weu-001", "weu-002", "weu-003"]);
    let it = id("weu-003");
    let set = before.degrade(&of("weu-003"), Level::ReadOnly, HOUR, "", NOW).unwrap().fleet;
    let set = set.degrade(&Whom::Fleet, Level::AiDegraded, HOUR, "", NOW).unwrap().fleet;
    let back = set.rollback(&before, Overrides::default(), NOW).unwrap();
    assert_eq!(back.fleet.table.degradation, set.table.degradation, "a rollback is of stamps and tenants");
    publishable(&back);
    let cleared = set.clear_degradation(&Whom::Fleet, NOW).unwrap().fleet;
    let back = cleared.rollback(&set, Overrides::default(), NOW).unwrap();
    assert_eq!(back.fleet.table.degradation_of_fleet(NOW), None, "what was ended does not come back");
    let drained = set.drain(&it, drain(), &Guards::default(), NOW).unwrap().fleet;
    let deleted = drained.delete(&it, true, NOW).unwrap();
    assert!(deleted.fleet.table.degradation.as_ref().unwrap().stamps.is_empty());
    publishable(&deleted);
    // a table from a proxy or a file brings its own
    let restored = Fleet::restore(&set, None, &[], "recover", NOW).unwrap();
    assert_eq!(level(&restored.fleet, "weu-003", NOW), Some(Level::ReadOnly));
    let late = Fleet::restore(&set, None, &[], "recover", NOW + HOUR).unwrap();
    assert_eq!(late.fleet.table.degradation, None);
}
