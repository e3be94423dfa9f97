use std::{sync::atomic::AtomicBool, thread};

use super::*;

const LIMITS: Limits = Limits {
    checks: checks::Limits { healthy: 2, unhealthy: 3 },
    outliers: outlier::Limits { failures: 5, window_ms: 10_000, base_ms: 30_000, max_ms: 300_000 },
    panic_permille: 500,
};

fn serving(health: &Health, now: u64) -> Vec<usize> {
    let mut order: Vec<_> = health.order(0, now, &LIMITS).collect();
    order.sort_unstable();
    let serve: Vec<_> = (0..=ENDPOINTS_MAX).filter(|place| health.serves(*place, now, &LIMITS)).collect();
    assert_eq!(order, serve, "both ways to ask agree outside panic with ejections");
    order
}

/// As many failures as eject one that may be ejected.
fn fail(health: &Health, place: usize, now: u64) -> Option<Ejection> {
    (0..5).filter_map(|_| health.failed(place, now, &LIMITS)).last()
}

fn mark_down(health: &Health, place: usize) {
    assert_eq!(health.checked(place, false, 0, &LIMITS), Some(false));
}

#[test]
fn endpoints_of_which_nothing_is_known_all_serve() {
    for count in [0, 1, 3, ENDPOINTS_MAX] {
        assert_eq!(serving(&Health::new(count).unwrap(), 0), (0..count).collect::<Vec<_>>());
    }
    assert!(Health::new(ENDPOINTS_MAX + 1).is_none());
}

#[test]
fn the_defaults_are_the_designs() {
    assert_eq!(Limits::default(), LIMITS);
}

#[test]
fn an_outlier_is_ejected_for_its_time_and_comes_back_without_any_event() {
    let health = Health::new(3).unwrap();
    assert_eq!(fail(&health, 1, 1_000), Some(Ejection { for_ms: 30_000, times: 1 }));
    assert_eq!(serving(&health, 30_999), [0, 2]);
    assert_eq!(serving(&health, 31_000), [0, 1, 2]);
    assert_eq!(fail(&health, 1, 40_000), Some(Ejection { for_ms: 60_000, times: 2 }));
    assert_eq!(serving(&health, 99_999), [0, 2]);
    assert_eq!(serving(&health, 100_000), [0, 1, 2]);
}

#[test]
fn of_two_ejections_each_ends_at_its_own_time() {
    let health = Health::new(4).unwrap();
    fail(&health, 0, 0);
    fail(&health, 1, 5_000);
    assert_eq!(serving(&health, 29_999), [2, 3]);
    assert_eq!(serving(&health, 30_000), [0, 2, 3]);
    assert_eq!(serving(&health, 34_999), [0, 2, 3]);
    assert_eq!(serving(&health, 35_000), [0, 1, 2, 3]);
}

#[test]
fn a_good_answer_between_failures_keeps_an_endpoint_in_service() {
    let health = Health::new(3).unwrap();
    for _ in 0..10 {
        for _ in 0..4 {
            assert_eq!(health.failed(1, 0, &LIMITS), None);
        }
        health.succeeded(1);
    }
    assert_eq!(serving(&health, 0), [0, 1, 2]);
}

#[test]
fn an_endpoint_that_may_not_be_ejected_is_as_soon_as_it_may() {
    let health = Health::new(2).unwrap();
    assert!(fail(&health, 0, 0).is_some());
    assert!(fail(&health, 1, 0).is_none(), "it is the last one");
    assert_eq!(serving(&health, 0), [1]);
    assert_eq!(serving(&health, 30_000), [0, 1]);
    for _ in 0..4 {
        assert!(health.failed(1, 30_001, &LIMITS).is_none());
    }
    assert!(health.failed(1, 30_001, &LIMITS).is_some());
    assert_eq!(serving(&health, 30_001), [0]);
}

#[test]
fn a_lone_endpoint_is_never_out_whatever_is_said_of_it() {
    let health = Health::new(1).unwrap();
    for now in 0..1_000 {
        assert_eq!(health.failed(0, now, &LIMITS), None);
        health.checked(0, false, now, &LIMITS);
        assert_eq!(serving(&health, now), [0]);
    }
}

#[test]
fn probes_take_endpoints_out_until_too_few_are_left() {
    let health = Health::new(4).unwrap();
    mark_down(&health, 0);
    assert_eq!(serving(&health, 0), [1, 2, 3]);
    mark_down(&health, 1);
    assert_eq!(serving(&health, 0), [2, 3]);
    mark_down(&health, 2);
    assert_eq!(serving(&health, 0), [0, 1, 2, 3], "panic");
    health.checked(2, true, 0, &LIMITS);
    assert_eq!(health.checked(2, true, 0, &LIMITS), Some(true));
    assert_eq!(serving(&health, 0), [2, 3], "the panic is over");
}

#[test]
fn in_panic_traffic_still_ejects_and_the_ejected_are_the_last_resort() {
    let health = Health::new(4).unwrap();
    for place in 0..4 {
        mark_down(&health, place);
    }
    assert!(fail(&health, 0, 0).is_some());
    assert!(fail(&health, 2, 0).is_some());
    assert!(fail(&health, 1, 0).is_none(), "half of them are out");
    assert_eq!(health.order(0, 1, &LIMITS).collect::<Vec<_>>(), [1, 3, 0, 2]);
}

#[test]
fn what_is_said_of_places_that_do_not_exist_is_ignored() {
    let health = Health::new(2).unwrap();
    for place in [2, 63, 64, 65, usize::MAX] {
        assert_eq!(fail(&health, place, 0), None);
        assert_eq!(health.checked(place, false, 0, &LIMITS), None);
        health.succeeded(place);
    }
    assert_eq!(serving(&health, 0), [0, 1]);
}

#[test]
fn a_reload_keeps_what_is_known_of_endpoints_that_stay() {
    let health = Health::new(4).unwrap();
    fail(&health, 0, 0);
    mark_down(&health, 3);
    for _ in 0..4 {
        health.failed(1, 0, &LIMITS);
    }
    // 2 goes, the others change places, one is new, and one refers to a place that never was
    let next = health.succeed_by(&[Some(3), Some(1), None, Some(0), Some(9), None], 1_000, &LIMITS).unwrap();
    assert_eq!(serving(&next, 1_000), [1, 2, 4, 5]);
    assert!(next.failed(1, 1_000, &LIMITS).is_some(), "its fifth failure");
    assert_eq!(serving(&next, 30_000), [2, 3, 4, 5]);
    assert!(health.succeed_by(&[None; ENDPOINTS_MAX + 1], 0, &LIMITS).is_none());
}

#[test]
fn a_reload_that_leaves_only_ejected_endpoints_lets_them_serve() {
    let health = Health::new(4).unwrap();
    fail(&health, 0, 0);
    fail(&health, 1, 0);
    let next = health.succeed_by(&[Some(0), Some(1)], 1, &LIMITS).unwrap();
    assert_eq!(serving(&next, 1), [0, 1]);
}

#[test]
fn a_reload_does_not_forget_a_row_of_failures_that_a_good_answer_ends() {
    let health = Health::new(2).unwrap();
    for _ in 0..4 {
        health.failed(0, 0, &LIMITS);
    }
    let next = health.succeed_by(&[Some(0), Some(1)], 0, &LIMITS).unwrap();
    next.succeeded(0);
    assert_eq!(next.failed(0, 0, &LIMITS), None);
}

#[test]
fn an_operator_sees_what_is_known_of_each_endpoint() {
    let health = Health::new(4).unwrap();
    fail(&health, 0, 0);
    mark_down(&health, 1);
    health.failed(2, 0, &LIMITS);
    let fine = Status { serves: true, passes_checks: None, ejected_for_ms: None, failures: 0 };
    assert_eq!(
        health.status(10_000, &LIMITS),
        [
            Status { serves: false, ejected_for_ms: Some(20_000), ..fine },
            Status { serves: false, passes_checks: Some(false), ..fine },
            Status { failures: 1, ..fine },
            fine,
        ]
    );
}

#[test]
fn whoever_races_with_writers_finds_endpoints_that_serve() {
    let health = Health::new(5).unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for seed in 1..=3_u64 {
            let (health, over) = (&health, &over);
            scope.spawn(move || {
                let (mut x, mut now) = (seed, 0);
                while !over.load(Relaxed) {
                    x ^= x << 13;
                    x ^= x >> 7;
                    x ^= x << 17;
                    now += 10;
                    let place = (x % 5) as usize;
                    match (x >> 8) % 8 {
                        0 => health.succeeded(place),
                        1 => drop(health.checked(place, (x >> 16) % 4 != 0, now, &LIMITS)),
                        _ => drop(health.failed(place, now, &LIMITS)),
                    }
                }
            });
        }
        for turn in 0..200_000 {
            // no time passes here, so that whatever is found was published by a writer
            let found = health.order(turn, 0, &LIMITS).len();
            if !(3..=5).contains(&found) {
                over.store(true, Relaxed);
                panic!("{found} endpoints");
            }
        }
        over.store(true, Relaxed);
    });
}

#[test]
fn one_endpoint_that_passes_is_enough_and_bad_are_only_all() {
    let health = Health::new(3).unwrap();
    let verdict = |place, passed| {
        for _ in 0..3 {
            health.checked(place, passed, 0, &LIMITS);
        }
        health.verdict()
    };
    assert_eq!(health.verdict(), None);
    assert_eq!(verdict(0, false), None, "the others have not been asked");
    assert_eq!(verdict(1, false), None);
    assert_eq!(verdict(2, false), Some(false));
    assert_eq!(verdict(1, true), Some(true));
    assert_eq!(verdict(2, true), Some(true));
    assert_eq!(serving(&health, 0), [1, 2]);
    health.forget_checks(0, &LIMITS);
    assert_eq!((health.verdict(), serving(&health, 0)), (None, vec![0, 1, 2]));
}
