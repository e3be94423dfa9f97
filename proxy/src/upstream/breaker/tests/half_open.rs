//! Trials: how many, whose, and what they decide.

use super::*;

#[test]
fn no_more_than_k_trials_run_at_a_time() {
    let rig = Rig::half_open(LIMITS);
    let trials: Vec<_> = (0..u64::from(LIMITS.trials)).map(|number| rig.admit(tenant(number)).unwrap()).collect();
    assert_eq!(trials[0].changes().upstream, Some(State::HalfOpen));
    assert_eq!(trials[1].changes(), Changes::default());
    assert_eq!(rig.refused_by(tenant(9)), Some(Scope::Upstream));
    assert_eq!(rig.breaker.counts(&rig.limits, rig.now).trials_running, LIMITS.trials);
}

#[test]
fn a_trial_that_says_nothing_gives_its_place_back() {
    let rig = Rig::half_open(Limits { trials: 1, ..LIMITS });
    let trial = rig.admit(tenant(0)).unwrap();
    assert_eq!(rig.refused_by(tenant(1)), Some(Scope::Upstream));
    drop(trial);
    assert!(rig.admit(tenant(1)).unwrap().is_trial());
    let panics = std::panic::AssertUnwindSafe(|| {
        let _trial = rig.admit(tenant(2)).unwrap();
        std::panic::resume_unwind(Box::new("cut"));
    });
    std::panic::catch_unwind(panics).unwrap_err();
    assert!(rig.admit(tenant(3)).unwrap().is_trial());
}

#[test]
fn a_trial_of_an_earlier_round_neither_counts_nor_frees_a_place() {
    let mut rig = Rig::half_open(Limits { trials: 2, ..LIMITS });
    let early: Vec<_> = (0..2).map(|number| rig.admit(tenant(number)).unwrap()).collect();
    let [first, second] = early.try_into().unwrap();
    rig.record(first, TransportFailure);
    rig.now += 2 * LIMITS.open_ms;
    let _round = [rig.admit(tenant(2)).unwrap(), rig.admit(tenant(3)).unwrap()];
    assert_eq!(rig.record(second, Success), Changes::default());
    assert_eq!(rig.refused_by(tenant(4)), Some(Scope::Upstream));
}

#[test]
fn a_trial_that_succeeds_makes_room_for_another() {
    let rig = Rig::half_open(LIMITS);
    let _running = [rig.admit(tenant(0)).unwrap(), rig.admit(tenant(1)).unwrap()];
    rig.pass(tenant(2), Success);
    assert!(rig.admit(tenant(3)).unwrap().is_trial());
}

#[test]
fn k_successes_close_it_and_it_forgets_what_failed() {
    let rig = Rig::half_open(Limits { open_ms: 1_000, ..LIMITS });
    assert_eq!(rig.pass(tenant(0), Success), Changes::default());
    assert_eq!(rig.pass(tenant(1), Success), Changes::default());
    assert_eq!(rig.pass(tenant(2), Success).upstream, Some(State::Closed));
    rig.pass(tenant(0), TransportFailure);
    assert_eq!(rig.state(), State::Closed);
}

#[test]
fn one_refused_connection_opens_it_again() {
    let rig = Rig::half_open(LIMITS);
    rig.pass(tenant(0), Success);
    assert!(rig.pass(tenant(1), TransportFailure).upstream.unwrap().is_open());
}

#[test]
fn one_tenants_failing_trial_opens_its_own_breaker_and_another_tenant_tries() {
    let rig = Rig::half_open(LIMITS);
    let changes = rig.pass(tenant(1), AnswerFailure);
    assert_eq!(changes, Changes { upstream: None, tenant: Some(State::Open { until: rig.now + LIMITS.open_ms }) });
    assert_eq!(rig.refused_by(tenant(1)), Some(Scope::Tenant));
    for number in 2..4 {
        rig.pass(tenant(number), Success);
    }
    assert_eq!(rig.pass(tenant(4), Success).upstream, Some(State::Closed));
    assert_eq!(rig.refused_by(tenant(1)), Some(Scope::Tenant));
}

#[test]
fn failing_trials_of_two_tenants_open_it_again() {
    let rig = Rig::half_open(LIMITS);
    rig.pass(tenant(1), AnswerFailure);
    let changes = rig.pass(tenant(2), AnswerFailure);
    assert!(changes.upstream.unwrap().is_open());
    assert_eq!(changes.tenant, None, "it was the upstream");
}

#[test]
fn two_failing_trials_of_one_tenant_are_one_tenants() {
    let mut rig = Rig::half_open(LIMITS);
    let first = rig.admit(tenant(1)).unwrap();
    rig.now += 1_000;
    let second = rig.admit(tenant(1)).unwrap();
    assert!(rig.record(first, AnswerFailure).tenant.is_some());
    assert_eq!(rig.record(second, AnswerFailure), Changes::default());
    assert_eq!(rig.state(), State::HalfOpen);
}

#[test]
fn trials_go_to_different_tenants_while_there_are_any() {
    let mut rig = Rig::new(LIMITS);
    for number in 0..10 {
        rig.pass(tenant(number), Success);
    }
    for _ in 0..LIMITS.failures {
        rig.pass(tenant(0), TransportFailure);
    }
    rig.now += LIMITS.open_ms;
    rig.pass(tenant(0), Success);
    assert_eq!(rig.refused_by(tenant(0)), Some(Scope::Upstream));
    rig.pass(tenant(1), Success);
    assert_eq!(rig.refused_by(tenant(1)), Some(Scope::Upstream));
    // nobody else comes
    rig.now += 1_000;
    assert_eq!(rig.pass(tenant(1), Success).upstream, Some(State::Closed));
}

#[test]
fn a_tenant_that_is_alone_has_all_trials_at_once() {
    let rig = Rig::half_open(LIMITS);
    for _ in 1..LIMITS.trials {
        rig.pass(tenant(0), Success);
    }
    assert_eq!(rig.pass(tenant(0), Success).upstream, Some(State::Closed));
}

#[test]
fn a_tenant_whose_own_breaker_is_half_open_comes_after_the_others() {
    let mut rig = Rig::new(LIMITS);
    for number in 0..10 {
        rig.pass(tenant(number), Success);
    }
    for _ in 0..LIMITS.failures {
        rig.pass(tenant(0), AnswerFailure);
    }
    assert_eq!(rig.refused_by(tenant(0)), Some(Scope::Tenant));
    for _ in 0..LIMITS.failures {
        rig.pass(tenant(1), TransportFailure);
    }
    rig.now += LIMITS.open_ms;
    assert_eq!(rig.breaker.tenant_state(tenant(0), rig.now), State::HalfOpen);
    assert_eq!(rig.refused_by(tenant(0)), Some(Scope::Upstream));
    rig.now += 1_000;
    let both = Changes { upstream: Some(State::HalfOpen), tenant: Some(State::HalfOpen) };
    assert_eq!(rig.admit(tenant(0)).unwrap().changes(), both);
}

#[test]
fn one_tenant_that_fails_does_not_take_every_trial_where_none_has_a_breaker_of_its_own() {
    let mut rig = Rig::half_open(Limits { tenants_max: 0, trials: 1, ..LIMITS });
    for number in 0..64 {
        rig.pass(tenant(number), Success);
        if rig.state() == State::Closed {
            return;
        }
        assert_eq!(rig.pass(tenant(99), AnswerFailure).upstream, None);
        rig.now += 1;
        assert_eq!(rig.refused_by(tenant(99)), Some(Scope::Upstream), "it has had its trial");
    }
    panic!("it never closes");
}
