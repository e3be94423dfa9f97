//! When the upstream's breaker opens, how it refuses, and how it comes back.

use super::*;

#[test]
fn refused_connections_open_it_at_the_count_whoever_met_them() {
    let rig = Rig::new(LIMITS);
    for _ in 0..1_000 {
        rig.pass(tenant(0), Success);
    }
    for _ in 1..LIMITS.failures {
        assert_eq!(rig.pass(tenant(0), TransportFailure), Changes::default());
    }
    let until = rig.now + LIMITS.open_ms;
    let changes = rig.pass(tenant(0), TransportFailure);
    assert_eq!(changes, Changes { upstream: Some(State::Open { until }), tenant: None });
}

#[test]
fn failures_count_only_while_the_window_holds_them() {
    let check = |gap, opens| {
        let mut rig = Rig::new(LIMITS);
        for _ in 1..LIMITS.failures {
            rig.pass(tenant(0), TransportFailure);
        }
        rig.now += gap;
        assert_eq!(rig.pass(tenant(0), TransportFailure).upstream.is_some(), opens, "{gap}");
    };
    // the instant at which the rig begins is the first of a tenth
    check(LIMITS.window_ms * 9 / 10, true);
    check(LIMITS.window_ms - 1, true);
    check(LIMITS.window_ms, false);
}

#[test]
fn failing_answers_need_the_count_the_share_and_the_tenants() {
    // healthy requests, their tenants; failing answers, their tenants
    let check = |healthy: u64, of: u64, failing: u64, by: u64, opens: bool| {
        let rig = Rig::new(LIMITS);
        for request in 0..healthy {
            rig.pass(tenant(request % of), Success);
        }
        let opened = (0..failing).any(|failure| {
            let pass = rig.admit(tenant(failure % by));
            pass.is_ok_and(|pass| rig.record(pass, AnswerFailure).upstream.is_some())
        });
        assert_eq!(opened, opens, "{healthy} of {of}, {failing} of {by}");
    };
    check(0, 1, 4, 2, false); // below the count
    check(0, 1, 5, 2, true); // two are all there are
    check(3, 3, 5, 2, false); // three are active
    check(3, 3, 5, 3, true);
    check(44, 40, 5, 3, true); // 49 requests: the count alone
    check(45, 40, 5, 3, true); // 50 requests: 10 % exactly
    check(46, 40, 5, 3, false); // 51 requests: less
    check(46, 40, 6, 3, true);
    check(90, 40, 11, 2, false); // two of forty are not enough
}

#[test]
fn the_share_counts_from_fifty_requests_on() {
    let check = |healthy, opens| {
        let rig = Rig::new(Limits { ratio_per_mille: 500, ..LIMITS });
        for request in 0..healthy {
            rig.pass(tenant(request % 40), Success);
        }
        let opened = (0..5).any(|failure| rig.pass(tenant(failure % 3), AnswerFailure).upstream.is_some());
        assert_eq!(opened, opens, "{healthy}");
    };
    check(44, true);
    check(45, false);
}

#[test]
fn an_open_breaker_refuses_everybody_and_says_for_how_long() {
    let mut rig = Rig::opened(LIMITS);
    rig.now += 10_000;
    for number in 0..10 {
        let refusal = rig.admit(tenant(number)).unwrap_err();
        assert_eq!(refusal, Refusal { retry_after_ms: LIMITS.open_ms - 10_000, scope: Scope::Upstream });
    }
    rig.now += LIMITS.open_ms - 10_001;
    assert_eq!(rig.admit(tenant(0)).unwrap_err().retry_after_ms, 1);
    rig.now += 1;
    assert_eq!(rig.state(), State::HalfOpen);
    assert!(rig.admit(tenant(0)).unwrap().is_trial());
}

#[test]
fn what_was_let_through_before_it_opened_changes_nothing_afterwards() {
    let mut rig = Rig::new(LIMITS);
    let late: Vec<_> = (0..40).map(|number| rig.admit(tenant(number)).unwrap()).collect();
    for _ in 0..LIMITS.failures {
        rig.pass(tenant(0), TransportFailure);
    }
    rig.now += LIMITS.open_ms;
    for number in 0..u64::from(LIMITS.trials) {
        rig.pass(tenant(number), Success);
    }
    for pass in late {
        assert_eq!(rig.record(pass, AnswerFailure), Changes::default());
    }
    assert_eq!(rig.state(), State::Closed);
    assert_eq!(rig.breaker.counts(&rig.limits, rig.now).answer_failures, 0);
}

#[test]
fn opening_again_doubles_the_time_up_to_the_cap() {
    let mut rig = Rig::half_open(LIMITS);
    for expected in [60, 120, 240, 300, 300] {
        let State::Open { until } = rig.pass(tenant(0), TransportFailure).upstream.unwrap() else { panic!("not open") };
        assert_eq!(until - rig.now, expected * 1_000);
        rig.now = until;
    }
}

#[test]
fn only_a_whole_recovery_takes_the_time_back_to_the_first() {
    let check = |closed_for, expected| {
        let mut rig = Rig::closed_again(LIMITS);
        rig.now += closed_for;
        for _ in 1..LIMITS.failures {
            rig.pass(tenant(0), TransportFailure);
        }
        let until = rig.now + expected;
        assert_eq!(rig.pass(tenant(0), TransportFailure).upstream, Some(State::Open { until }));
    };
    check(0, 2 * LIMITS.open_ms);
    check(LIMITS.recovery_ms - 1, 2 * LIMITS.open_ms);
    check(LIMITS.recovery_ms, LIMITS.open_ms);
}

#[test]
fn chance_lengthens_an_open_time_by_a_tenth_at_most() {
    let open_for = |chance| {
        let rig = Rig::new(Limits { failures: 1, ..LIMITS });
        let pass = rig.admit(1).unwrap();
        match rig.breaker.record(&rig.limits, pass, TransportFailure, rig.now, chance).upstream {
            Some(State::Open { until }) => until - rig.now,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!([0, 1 << 31, u32::MAX].map(open_for), [30_000, 31_500, 32_999]);
}

#[test]
fn slots_come_back_from_a_tenth_to_all_in_order_and_none_leaves_again() {
    let mut rig = Rig::closed_again(LIMITS);
    let closed_at = rig.now;
    for (elapsed, share) in [(0, 100), (10_000, 400), (15_000, 550), (29_999, 999), (30_000, 1_000)] {
        rig.now = closed_at + elapsed;
        assert_eq!(rig.breaker.share(&rig.limits, rig.now), share);
    }
    let mut before = 0;
    for elapsed in (0..=30_000).step_by(500) {
        let held = (0..=u16::MAX).take_while(|rank| rig.breaker.holds(&LIMITS, *rank, closed_at + elapsed)).count();
        assert!(held >= before, "{elapsed}");
        before = held;
    }
    assert_eq!(before, 65_536);
    assert_eq!((0..=u16::MAX).filter(|rank| rig.breaker.holds(&LIMITS, *rank, closed_at)).count(), 6_554);
}

#[test]
fn every_slot_is_held_unless_it_has_just_closed() {
    let relapsed = Rig::closed_again(LIMITS);
    for _ in 0..LIMITS.failures {
        relapsed.pass(tenant(0), TransportFailure);
    }
    for rig in [Rig::new(LIMITS), Rig::opened(LIMITS), Rig::half_open(LIMITS), relapsed] {
        assert!(rig.breaker.holds(&LIMITS, u16::MAX, rig.now));
    }
    let rig = Rig::closed_again(LIMITS);
    assert!(!rig.breaker.holds(&LIMITS, u16::MAX, rig.now));
    assert!(rig.breaker.holds(&Limits { recovery_ms: 0, ..LIMITS }, u16::MAX, rig.now));
}

#[test]
fn no_clock_and_no_limit_breaks_it() {
    let zero = Limits {
        failures: 0,
        window_ms: 0,
        open_ms: 0,
        open_max_ms: 0,
        trials: 0,
        ratio_per_mille: 0,
        tenants_max: 0,
        recovery_ms: 0,
    };
    let huge = Limits {
        failures: 1,
        window_ms: u64::MAX,
        open_ms: u64::MAX,
        open_max_ms: u64::MAX,
        trials: u32::MAX,
        ratio_per_mille: u32::MAX,
        tenants_max: usize::MAX,
        recovery_ms: u64::MAX,
    };
    let breaker = Arc::new(Breaker::new());
    let mut chance = simulation::Chance(3);
    for _ in 0..20_000 {
        let mut pick = |from: &[u64]| from[chance.next() as usize % from.len()];
        let limits = [zero, huge, LIMITS][pick(&[0, 1, 2]) as usize];
        let now = pick(&[0, 1, 5_000, 1 << 40, (1 << 40) - 1, u64::MAX]);
        let then = pick(&[0, 1, 5_000, 1 << 40, (1 << 40) - 1, u64::MAX]);
        let outcome = [Success, AnswerFailure, TransportFailure][pick(&[0, 1, 2]) as usize];
        let tenant = pick(&[0, 1, u64::MAX]);
        if let Ok(pass) = breaker.admit(&limits, tenant, now) {
            breaker.record(&limits, pass, outcome, then, u32::MAX);
        }
        let _ = (breaker.counts(&limits, now), breaker.holds(&limits, u16::MAX, now));
        assert!(breaker.share(&limits, then) <= 1_000);
    }
}
