//! The order of the way out. That everybody keeps to it is tested with real processes.

use super::*;

#[test]
fn the_phase_only_rises_and_both_ways_to_look_agree() {
    let shutdown = Shutdown::default();
    for (phase, moves, expected) in [
        (Phase::Serving, false, Phase::Serving),
        (Phase::LameDuck, true, Phase::LameDuck),
        (Phase::LameDuck, false, Phase::LameDuck),
        (Phase::Draining, true, Phase::Draining),
        (Phase::LameDuck, false, Phase::Draining),
        (Phase::Cut, true, Phase::Cut),
        (Phase::Draining, false, Phase::Cut),
    ] {
        assert_eq!(shutdown.advance(phase), moves, "{phase:?}");
        assert_eq!((shutdown.phase(), *shutdown.0.changes.borrow()), (expected, expected));
    }
}

#[test]
fn any_run_of_connections_is_told_evenly_and_each_stays_told() {
    for first in [0, 1, 7, 1_000, 12_345, u32::MAX - 40] {
        let shutdown = Shutdown::default();
        let places: Vec<Place> = (0..64).map(|number| Place::of(first.wrapping_add(number))).collect();
        let told = || places.iter().filter(|place| shutdown.tells(**place)).count();
        assert_eq!(told(), 0, "nobody while it serves");
        shutdown.advance(Phase::LameDuck);
        for percent in 0..=100 {
            shutdown.tell(f64::from(percent) / 100.0);
            let expected = 64.0 * f64::from(percent) / 100.0;
            assert!((told() as f64 - expected).abs() <= 6.0, "{} told at {percent} % from {first}", told());
        }
        shutdown.tell(0.5);
        assert_eq!(told(), 64, "nobody is told that it may stay after all");
    }
}

#[test]
fn in_the_drain_everybody_is_told() {
    let shutdown = Shutdown::default();
    let last = Place(u32::MAX);
    shutdown.advance(Phase::LameDuck);
    shutdown.tell(f64::NAN);
    assert!(!shutdown.tells(Place(0)), "a lame duck of no length says nothing");
    shutdown.tell(0.999_999);
    assert!(!shutdown.tells(last));
    shutdown.advance(Phase::Draining);
    assert!(shutdown.tells(last));
}

#[test]
fn a_websocket_is_told_in_its_turn_and_early_enough_for_its_goodbye() {
    let began = Instant::now();
    let millis = Duration::from_millis;
    for (lasts, tunnels, last) in [
        (millis(540_000), millis(60_000), millis(60_000)),
        (millis(60_000), millis(60_000), millis(58_000)),
        (millis(5_000), millis(60_000), millis(3_000)),
        (millis(3_000), millis(60_000), millis(1_500)),
        (millis(100), millis(60_000), millis(50)),
        (millis(100), millis(10), millis(10)),
        (millis(540_000), Duration::ZERO, Duration::ZERO),
        (Duration::ZERO, millis(60_000), Duration::ZERO),
    ] {
        let drain = Drain::new(began, lasts, tunnels);
        assert_eq!(drain.turn(0.0), began);
        assert_eq!(drain.turn(0.5), began + last / 2, "{lasts:?}");
        assert_eq!(drain.turn(1.0), began + last, "{lasts:?}");
    }
}
