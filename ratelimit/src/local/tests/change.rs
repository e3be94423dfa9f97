use super::*;

#[test]
fn a_reload_that_changes_nothing_keeps_the_buckets() {
    let before = limiter(quota(5, 60, 5));
    let _ = admitted(&before, [SECOND; 3]);
    let again = Limiter::new(before.quota(), before.keys.clone(), Arc::clone(&before.cells));
    let replaced = before.with_quota(before.quota(), SECOND);
    assert_eq!([again.peek(key("a", 1), SECOND), replaced.peek(key("a", 1), SECOND)].map(|at| at.remaining()), [2, 2]);
}

#[test]
fn a_quota_that_is_raised_helps_at_once_but_not_with_a_fresh_bucket() {
    let slow = limiter(quota(500, 60, 500));
    assert_eq!(admitted(&slow, [SECOND; 600]).len(), 500);
    let fast = slow.with_quota(quota(5_000, 60, 500), SECOND);
    assert_eq!(fast.peek(key("a", 1), SECOND).remaining(), 0);
    assert!(!fast.decide(key("a", 1), SECOND).is_allowed());
    let next = fast.peek(key("a", 1), SECOND).retry();
    assert!(next < SECOND / 50, "{next} ns");
    assert!(fast.decide(key("a", 1), SECOND + next).is_allowed());
    // nor has a key that was not seen before more than it would have had
    let larger = slow.with_quota(quota(1_000, 60, 600), SECOND);
    assert_eq!(larger.peek(key("a", 2), SECOND).remaining(), 500);
    assert_eq!((0..700).filter(|_| larger.decide(key("a", 2), SECOND).is_allowed()).count(), 500);
}

#[test]
fn a_quota_that_is_lowered_locks_nobody_out_for_longer_than_its_own_bucket_takes() {
    let large = limiter(quota(5_000, 60, 500));
    assert_eq!(admitted(&large, [SECOND; 600]).len(), 500);
    let small = large.with_quota(quota(5, 60, 1), SECOND);
    assert!(!small.decide(key("a", 1), SECOND).is_allowed());
    assert_eq!(small.peek(key("a", 1), SECOND).retry(), 12 * SECOND);
}

#[test]
fn a_large_burst_before_a_change_and_a_high_rate_after_it_do_not_add_up() {
    let bursts = limiter(quota(100, 10, 100));
    assert_eq!(admitted(&bursts, [SECOND; 100]).len(), 100);
    let rate = bursts.with_quota(quota(100, 10, 1), 6 * SECOND);
    assert_eq!(admitted(&rate, (6_000..11_000).map(|at| at * 1_000_000)).len(), 0, "within 10 s of the burst");
    assert!(!admitted(&rate, (11_000..17_000).map(|at| at * 1_000_000)).is_empty());
}

#[test]
fn a_key_that_goes_to_another_tier_keeps_what_it_has_spent() {
    let starter = limiter(quota(100, 60, 10));
    let larger = Limiter::new(quota(1_000, 60, 10), starter.keys.clone(), Arc::clone(&starter.cells));
    let _ = admitted(&starter, [SECOND; 7]);
    assert_eq!(larger.peek(key("a", 1), SECOND).remaining(), 3);
    assert_eq!(admitted(&larger, [SECOND; 7]).len(), 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_window_with_a_change_in_it_admits_what_the_more_generous_quota_does(
        (old, new) in (quotas(), quotas()), before in steps(0), after in steps(0), sweep: bool, any in 1..30 * SECOND
    ) {
        let limiter = limiter(old);
        let mut now = 1;
        let instants = before.into_iter().map(|at| { now = step(now, old, at).max(now); now });
        let mut passed = admitted(&limiter, instants.collect::<Vec<_>>());
        let limiter = limiter.with_quota(new, now);
        if sweep {
            limiter.cells.sweep(Cells::SHARDS, now);
        }
        let instants = after.into_iter().map(|at| { now = step(now, new, at).max(now); now });
        passed.extend(admitted(&limiter, instants.collect::<Vec<_>>()));
        for window in [any, window(old), window(new)] {
            prop_assert!(most(&passed, window) <= bound(old, window).max(bound(new, window)));
        }
    }
}

#[test]
fn who_comes_for_the_first_time_does_not_miss_what_a_bucket_had_grown_by_and_lost_again() {
    let grown = limiter(quota(4, 3_600, 4)).with_quota(quota(6, 3_600, 6), SECOND);
    assert_eq!(grown.peek(key("new", 1), SECOND).remaining(), 4);
    let shrunk = grown.with_quota(quota(2, 3_600, 2), 2 * SECOND);
    assert_eq!(shrunk.peek(key("new", 1), 2 * SECOND).remaining(), 2);
    let grown = shrunk.with_quota(quota(5, 3_600, 5), 3 * SECOND);
    assert_eq!(grown.peek(key("new", 1), 3 * SECOND).remaining(), 2);
}

#[test]
fn a_limiter_is_settled_when_nobody_misses_what_its_bucket_has_grown_by() {
    let small = limiter(quota(4, 3_600, 4));
    assert!(small.is_settled(0) && small.with_quota(quota(2, 3_600, 2), SECOND).is_settled(SECOND));
    // two of an hour each
    let grown = small.with_quota(quota(6, 3_600, 6), SECOND);
    assert!(!grown.is_settled(SECOND) && !grown.is_settled(7_200 * SECOND) && grown.is_settled(7_201 * SECOND));
    assert_eq!(grown.with_quota(grown.quota(), SECOND).is_settled(SECOND), grown.is_settled(SECOND));
}
