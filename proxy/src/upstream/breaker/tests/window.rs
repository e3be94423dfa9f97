//! What the windows remember, and for how long.

use super::super::{quorum::TenantSet, traffic::Traffic, window::Window};

const W: u64 = 10_000;

fn sum(window: &Window<u64>, now: u64) -> u64 {
    window.fold(W, now, |a, b| a + b)
}

#[test]
fn a_window_forgets_by_the_tenth_and_never_holds_what_is_older_than_itself() {
    let mut window = Window::default();
    let traffic = Traffic::new();
    for now in [50_000, 50_999, 51_000] {
        *window.at(W, now) += 1;
        traffic.count(W, 7, now);
    }
    for (now, expected) in [(51_000, 3), (59_999, 3), (60_000, 1), (60_999, 1), (61_000, 0), (1 << 50, 0)] {
        assert_eq!(sum(&window, now), expected, "{now}");
        assert_eq!(traffic.sum(W, now).0, expected, "{now}");
    }
}

#[test]
fn a_bucket_that_comes_round_again_begins_with_nothing() {
    let mut window = Window::default();
    let traffic = Traffic::new();
    for (turn, tenant) in [(0, 1_u64 << 60), (1, 1 << 61), (7, 1 << 62)] {
        *window.at(W, 5_000 + turn * W) += 1;
        traffic.count(W, tenant, 5_000 + turn * W);
        assert_eq!(sum(&window, 5_000 + turn * W), 1);
        assert_eq!(traffic.sum(W, 5_000 + turn * W), (1, TenantSet::of(tenant)));
    }
}

#[test]
fn a_reader_whose_clock_is_behind_sees_what_is_a_little_ahead() {
    let mut window = Window::default();
    *window.at(W, 51_000) += 1;
    assert_eq!(sum(&window, 50_990), 1);
    *window.at(W, 50_990) += 1;
    assert_eq!(sum(&window, 51_000), 2);
}

#[test]
fn a_window_of_another_length_begins_with_nothing_and_counts_on() {
    let traffic = Traffic::new();
    traffic.count(W, 7, 50_000_000);
    for other in [100, 3 * W, 1_000 * W, 0] {
        assert_eq!(traffic.sum(other, 50_000_000).0, 0, "{other}");
        traffic.count(other, 7, 50_000_000);
        assert_eq!(traffic.sum(other, 50_000_000).0, 1, "{other}");
    }
}

#[test]
fn no_instant_and_no_length_breaks_a_window() {
    let mut window: Window<u64> = Window::default();
    let traffic = Traffic::new();
    for now in [0, u64::MAX, 1, u64::MAX / 2, 0] {
        for length in [0, 1, 9, W, u64::MAX] {
            *window.at(length, now) += 1;
            traffic.count(length, now, now);
            assert!(window.fold(length, now, |a, b| a + b) >= 1 && traffic.sum(length, now).0 >= 1);
        }
    }
}

#[test]
fn tenants_are_counted_exactly_when_few_and_roughly_when_many() {
    let few = |count| (0..count).map(super::tenant).map(TenantSet::of).fold(TenantSet::default(), TenantSet::union);
    for count in 0..=7 {
        assert_eq!(few(count).estimate() as u64, count);
    }
    assert_eq!(few(64).estimate(), 266);
    // the standard error at 64 of 64 bits is 13 %; three of them
    let mut chance = super::simulation::Chance(1);
    for _ in 0..200 {
        let set = (0..64).map(|_| TenantSet::of(chance.next())).fold(TenantSet::default(), TenantSet::union);
        assert!((64 - 25..=64 + 25).contains(&set.estimate()), "{set:?}");
    }
}
