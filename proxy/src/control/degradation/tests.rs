use synaxis_routing::degradation::LEVELS;

use super::*;
use Level::{AiDegraded, CacheDegraded, Full, Maintenance, ReadOnly};

const LIMITS: Limits = Limits { leave_after_ms: 10_000 };

/// The seeds' three triggers, of which those with these names fail.
fn failing(names: &[&str]) -> [Trigger<'static>; 3] {
    [("llm", AiDegraded), ("redis", CacheDegraded), ("primary-db", ReadOnly)].map(|(name, asks)| Trigger {
        name,
        asks,
        failing: names.contains(&name),
    })
}

fn see(degradation: &mut Degradation, now: u64, names: &[&str]) -> Option<(Level, Level)> {
    let change = degradation.update(now, &LIMITS, &Inputs { triggers: &failing(names), ..Inputs::default() });
    change.map(|change| (change.from, change.to))
}

fn told(degradation: &mut Degradation, now: u64, names: &[&str], overrides: [Option<Override>; 2]) -> Level {
    let [fleet, local] = overrides;
    degradation.update(now, &LIMITS, &Inputs { triggers: &failing(names), fleet, local });
    degradation.level()
}

fn until(until: u64, level: Level) -> Option<Override> {
    Some(Override { level, until })
}

#[test]
fn a_level_is_entered_at_once_and_left_after_ten_seconds_of_health() {
    let mut degradation = Degradation::default();
    assert_eq!(see(&mut degradation, 0, &[]), None);
    assert_eq!(see(&mut degradation, 1_000, &["redis"]), Some((Full, CacheDegraded)));
    assert_eq!(see(&mut degradation, 60_000, &["redis"]), None);
    assert_eq!(see(&mut degradation, 61_000, &[]), None, "it is well from here on");
    assert_eq!(see(&mut degradation, 70_999, &[]), None);
    assert_eq!(see(&mut degradation, 71_000, &[]), Some((CacheDegraded, Full)));
}

#[test]
fn health_counts_from_when_it_was_seen() {
    let mut degradation = Degradation::default();
    see(&mut degradation, 0, &["redis"]);
    assert_eq!(see(&mut degradation, 600_000, &[]), None, "nobody knows since when");
    assert_eq!(see(&mut degradation, 610_000, &[]), Some((CacheDegraded, Full)));
}

#[test]
fn the_highest_trigger_wins_and_each_goes_in_its_own_time() {
    let mut degradation = Degradation::default();
    assert_eq!(see(&mut degradation, 0, &["llm", "primary-db"]), Some((Full, ReadOnly)));
    assert_eq!(see(&mut degradation, 1_000, &["llm", "redis", "primary-db"]), None);
    assert_eq!(see(&mut degradation, 2_000, &["llm", "redis"]), None);
    assert_eq!(see(&mut degradation, 5_000, &["llm"]), None);
    assert_eq!(see(&mut degradation, 12_000, &["llm"]), Some((ReadOnly, CacheDegraded)));
    assert_eq!(see(&mut degradation, 15_000, &["llm"]), Some((CacheDegraded, AiDegraded)));
}

#[test]
fn a_flapping_trigger_does_not_flap_the_level() {
    let mut degradation = Degradation::default();
    let mut changes = 0;
    for second in 0..600 {
        let names: &[&str] = if second % 10 == 0 { &["redis"] } else { &[] };
        changes += usize::from(see(&mut degradation, second * 1_000, names).is_some());
    }
    assert_eq!((degradation.level(), changes), (CacheDegraded, 1));
}

#[test]
fn two_that_take_turns_hold_each_its_own_level() {
    let mut degradation = Degradation::default();
    see(&mut degradation, 0, &["primary-db"]);
    for second in 1..10 {
        assert_eq!(see(&mut degradation, second * 1_000, &["llm"]), None);
    }
    assert_eq!(
        see(&mut degradation, 11_000, &["llm"]),
        Some((ReadOnly, AiDegraded)),
        "another one's trouble is not its own"
    );
}

#[test]
fn an_override_is_the_least_there_is_and_full_replaces_what_triggers_ask_for() {
    for (level, names, expected) in [
        (Maintenance, &[][..], Maintenance),
        (Maintenance, &["primary-db"], Maintenance),
        (Full, &["primary-db"], Full),
        (AiDegraded, &["primary-db"], ReadOnly),
    ] {
        for overrides in [[until(100, level), None], [None, until(100, level)]] {
            let mut degradation = Degradation::default();
            assert_eq!(told(&mut degradation, 0, names, overrides), expected);
            assert_eq!(told(&mut degradation, 99, names, overrides), expected);
        }
    }
}

#[test]
fn an_override_ends_at_its_expiry_without_waiting_for_anything() {
    let mut degradation = Degradation::default();
    let overrides = [until(30_000, Maintenance), None];
    assert_eq!(told(&mut degradation, 29_999, &[], overrides), Maintenance);
    assert_eq!(told(&mut degradation, 30_000, &[], overrides), Full);
    assert_eq!(told(&mut degradation, 30_001, &[], [until(30_001, Maintenance), None]), Full, "it came too late");
}

#[test]
fn triggers_are_followed_under_an_override() {
    let mut degradation = Degradation::default();
    let overrides = [None, until(20_000, Full)];
    assert_eq!(told(&mut degradation, 0, &["redis"], overrides), Full);
    assert_eq!(told(&mut degradation, 15_000, &[], overrides), Full);
    assert_eq!(told(&mut degradation, 20_000, &[], overrides), CacheDegraded, "it has been well for 5 s only");
    assert_eq!(told(&mut degradation, 25_000, &[], overrides), Full);
}

#[test]
fn of_two_overrides_the_higher_one_holds() {
    for (fleet, local, level) in [(Maintenance, Full, Maintenance), (Full, ReadOnly, ReadOnly), (Full, Full, Full)] {
        let mut degradation = Degradation::default();
        let overrides = [until(10, fleet), until(10, local)];
        assert_eq!(told(&mut degradation, 0, &["redis"], overrides), level);
        assert_eq!(degradation.is_fleet_wide(), fleet == level);
    }
}

#[test]
fn maintenance_of_one_stamp_is_not_the_fleets() {
    let mut degradation = Degradation::default();
    told(&mut degradation, 0, &[], [until(10, ReadOnly), until(10, Maintenance)]);
    assert!(!degradation.is_fleet_wide());
    told(&mut degradation, 1, &[], [until(10, Maintenance), None]);
    assert!(degradation.is_fleet_wide());
    told(&mut degradation, 10, &[], [until(10, Maintenance), None]);
    assert!(!degradation.is_fleet_wide());
}

#[test]
fn a_trigger_that_a_reload_removes_asks_for_nothing_and_a_changed_one_for_what_is_new() {
    let mut degradation = Degradation::default();
    let mut triggers = failing(&["redis", "primary-db"]);
    degradation.update(0, &LIMITS, &Inputs { triggers: &triggers, ..Inputs::default() });
    assert_eq!(degradation.level(), ReadOnly);
    degradation.update(1, &LIMITS, &Inputs { triggers: &triggers[..2], ..Inputs::default() });
    assert_eq!(degradation.level(), CacheDegraded);
    triggers[1].asks = Maintenance;
    degradation.update(2, &LIMITS, &Inputs { triggers: &triggers[..2], ..Inputs::default() });
    assert_eq!(degradation.level(), Maintenance);
    degradation.update(3, &LIMITS, &Inputs::default());
    assert_eq!(degradation.level(), Full);
}

#[test]
fn the_explain_page_lists_all_that_ask_and_first_what_decides() {
    let mut degradation = Degradation::default();
    told(&mut degradation, 0, &["llm", "redis", "primary-db"], [None, None]);
    told(&mut degradation, 4_000, &["llm", "redis"], [until(9_000, AiDegraded), until(60_000, Full)]);
    let why: Vec<_> = degradation.why(6_500, &LIMITS).iter().map(ToString::to_string).collect();
    assert_eq!(
        why,
        [
            "primary-db is up again and asks for read-only for another 8 s",
            "redis is down and asks for cache-degraded",
            "an operator has set ai-degraded for the whole fleet, for another 3 s",
            "llm is down and asks for ai-degraded",
            "an operator has set full for this stamp, for another 54 s",
        ]
    );
}

#[test]
fn a_change_says_why() {
    let mut degradation = Degradation::default();
    let triggers = failing(&["llm"]);
    let change = degradation.update(0, &LIMITS, &Inputs { triggers: &triggers, ..Inputs::default() });
    let why = vec![Reason { level: AiDegraded, cause: Cause::Failing { name: "llm".to_owned() } }];
    assert_eq!(change, Some(Change { from: Full, to: AiDegraded, why }));
}

#[test]
fn times_and_limits_at_their_ends_do_no_harm() {
    let mut degradation = Degradation::default();
    let at_once = Limits { leave_after_ms: 0 };
    let (down, well) = (failing(&["redis"]), failing(&[]));
    let (down, well) =
        (Inputs { triggers: &down, ..Inputs::default() }, Inputs { triggers: &well, ..Inputs::default() });
    degradation.update(u64::MAX, &at_once, &down);
    assert_eq!(degradation.level(), CacheDegraded);
    // a clock that is read on another thread may be a little behind
    degradation.update(0, &LIMITS, &well);
    assert_eq!(degradation.level(), CacheDegraded);
    degradation.update(0, &at_once, &well);
    assert_eq!(degradation.level(), Full);
}

#[test]
fn levels_rise_as_they_are_numbered() {
    assert!(LEVELS.is_sorted());
    assert_eq!(LEVELS.map(u8::from), [0, 1, 2, 3, 4]);
    assert_eq!(Limits::default(), LIMITS);
}
