//! Whole tables: rollback, restore, and what the differences say.

use super::*;

#[test]
fn a_rollback_brings_content_back_but_never_a_deleted_stamp() {
    let old = fleet(&["weu-001", "weu-002", "weu-003"]);
    let it = id("weu-003");
    let mut now = old.drain(&it, drain(), &Guards::default(), NOW).unwrap().fleet;
    let back = now.rollback(&old, Overrides::default(), NOW).unwrap();
    assert_eq!(state(&back.fleet, "weu-003"), State::Active);
    assert_eq!(back.fleet.version(), now.version().next());
    assert_eq!(back.fleet.table.previous, Previous { epoch: now.table.epoch, takers: 3 });
    publishable(&back);

    now = now.standby(&it, None, NOW).unwrap().fleet.delete(&it, false, NOW).unwrap().fleet;
    let back = now.rollback(&old, Overrides::default(), NOW).unwrap();
    assert_eq!(state(&back.fleet, "weu-003"), State::Deleted);
    assert!(back.warnings[0].contains("stays deleted"));
    let forgotten = now.register(new("weu-004"), NOW + 31 * DAY).unwrap().fleet;
    let back = forgotten.rollback(&old, Overrides::default(), NOW + 31 * DAY).unwrap();
    assert!(back.fleet.find(&it).is_err());
    publishable(&back);
    assert!(matches!(now.rollback(&now, Overrides::default(), NOW), Err(Refused::Nothing(_))));
}

#[test]
fn a_rollback_to_a_time_without_active_stamps_needs_to_be_told_and_without_takers_is_refused() {
    let fleet = fleet(&["weu-001"]);
    let last = Overrides { below_minimum: false, last: true };
    let drained =
        fleet.drain(&id("weu-001"), Drain { overrides: last, ..drain() }, &Guards::default(), NOW).unwrap().fleet;
    let active = drained.activate(&id("weu-001"), 0, NOW).unwrap().fleet;
    assert!(matches!(active.rollback(&drained, Overrides::default(), NOW), Err(Refused::Guarded(_))));
    assert!(active.rollback(&drained, last, NOW).is_ok());
    let empty = blank(&["weu"]).init(NOW).unwrap().fleet;
    assert!(matches!(fleet.rollback(&empty, last, NOW), Err(Refused::LastTaker(_))));
    let it = id("weu-001");
    assert_eq!(drained.standby(&it, None, NOW).unwrap_err(), Refused::LastTaker(it.clone()));
    assert_eq!(drained.delete(&it, true, NOW).unwrap_err(), Refused::LastTaker(it));
}

#[test]
fn a_restored_table_is_newer_than_everything_that_was_shown() {
    let content = fleet(&["weu-001", "weu-002"]);
    let shown = [Version::new(3, 100), Version::new(2, 500)];
    let restored = Fleet::restore(&content, None, &shown, "recover", NOW).unwrap();
    assert_eq!(restored.fleet.version(), Version::new(4, 501));
    assert_eq!(restored.fleet.table.previous.takers, 2);
    publishable(&restored);
    let bigger = fleet(&["weu-001", "weu-002", "weu-003", "weu-004"]);
    let restored = Fleet::restore(&content, Some(&bigger), &[], "import", NOW).unwrap();
    assert_eq!(restored.fleet.table.previous.takers, 4, "the yardstick is what it replaces");
    let exhausted = [Version::new(u64::MAX, 1), Version::new(1, u64::MAX)];
    for shown in exhausted {
        let refused = Fleet::restore(&content, None, &[shown], "import", NOW);
        assert!(matches!(refused, Err(Refused::Invalid(_))));
    }
}

#[test]
fn a_foreign_table_is_restored_with_a_warning_that_everything_moves() {
    let current = fleet(&["weu-001", "weu-002"]);
    let mut foreign = current.clone();
    foreign.table.seed = Seed(99);
    let restored = Fleet::restore(&foreign, Some(&current), &[], "import", NOW).unwrap();
    assert!(restored.warnings[0].contains("nearly every tenant moves"));
    let shown = restored.differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(shown.contains("seed: secret → another secret"), "{shown}");
    assert!(!format!("{restored:?}").contains("feedbeef"), "the seed is never shown");
}

#[test]
fn differences_read_as_words() {
    let fleet = fleet(&["weu-001", "weu-002", "weu-003"]);
    let changed = fleet.drain(&id("weu-003"), drain(), &Guards::default(), NOW).unwrap();
    let shown: Vec<String> = changed.differences.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "~ synaxis-weu-003  deadlines: none → connections 2026-01-09T23:16:40Z, drained 2026-01-09T23:46:40Z, stuck \
             2026-01-09T23:51:40Z",
            "~ synaxis-weu-003  ramp: none → 1000‰ to 0‰ in 300 s",
            "~ synaxis-weu-003  state: active → draining",
        ]
    );
    assert_eq!(changed.summary, "drain synaxis-weu-003 over 300 s");
    let pinned = fleet.pin(tenant("acme"), &id("weu-001"), PinMode::Strict, NOW).unwrap();
    assert_eq!(pinned.differences[0].to_string(), "+ tenant acme: pin synaxis-weu-001, pin_mode strict");
    let registered = fleet.register(new("weu-004"), NOW).unwrap();
    assert_eq!(
        registered.differences[0].to_string(),
        "+ synaxis-weu-004: endpoint https://weu-004.stamp.internal:8443, region weu, state creating, weight 100"
    );
}

#[test]
fn differences_are_capped_and_counted() {
    let mut many = fleet(&["weu-001", "weu-002"]);
    let before = many.clone();
    many.tenants = (0..3_000).map(|i| (tenant(&format!("t{i}")), Tenant::default())).collect();
    let restored = Fleet::restore(&many, Some(&before), &[], "import", NOW).unwrap();
    assert_eq!((restored.differences.len(), restored.more), (DIFFERENCES_MAX, 2_000));
}

#[test]
fn instants_read_as_rfc_3339() {
    for (at, expected) in [
        (0, "1970-01-01T00:00:00Z"),
        (951_782_399_999, "2000-02-28T23:59:59Z"),
        (951_782_400_000, "2000-02-29T00:00:00Z"),
        (NOW, "2026-01-09T23:06:40Z"),
        (4_102_444_799_000, "2099-12-31T23:59:59Z"),
    ] {
        assert_eq!(utc(at), expected);
    }
    assert!(!utc(Millis::MAX).is_empty());
}
