//! One tenant's own breaker for an upstream.

use super::*;

/// A rig whose tenant 0 has failed N times while others did well.
fn poisoned(limits: Limits) -> Rig {
    let rig = Rig::new(limits);
    for request in 0..100 {
        rig.pass(tenant(1 + request % 9), Success);
    }
    for _ in 1..limits.failures {
        assert_eq!(rig.pass(tenant(0), AnswerFailure), Changes::default());
    }
    let until = rig.now + limits.open_ms;
    let changes = rig.pass(tenant(0), AnswerFailure);
    assert_eq!(changes, Changes { upstream: None, tenant: Some(State::Open { until }) });
    rig
}

#[test]
fn a_poison_tenant_is_refused_alone() {
    let rig = poisoned(LIMITS);
    let refusal = Refusal { retry_after_ms: LIMITS.open_ms, scope: Scope::Tenant };
    assert_eq!(rig.admit(tenant(0)).unwrap_err(), refusal);
    for number in 1..64 {
        rig.pass(tenant(number), Success);
    }
    assert_eq!(rig.breaker.counts(&LIMITS, rig.now).tenants_open, 1);
}

#[test]
fn it_is_tried_once_after_its_time_and_one_success_closes_it() {
    let mut rig = poisoned(LIMITS);
    rig.now += LIMITS.open_ms;
    let trial = rig.admit(tenant(0)).unwrap();
    assert_eq!(trial.changes(), Changes { upstream: None, tenant: Some(State::HalfOpen) });
    assert_eq!(rig.refused_by(tenant(0)), Some(Scope::Tenant));
    drop(trial);
    assert_eq!(rig.pass(tenant(0), Success).tenant, Some(State::Closed));
    assert_eq!(rig.pass(tenant(0), AnswerFailure), Changes::default());
}

#[test]
fn its_failing_trial_opens_it_for_twice_the_time() {
    let mut rig = poisoned(LIMITS);
    rig.now += LIMITS.open_ms;
    let until = rig.now + 2 * LIMITS.open_ms;
    assert_eq!(rig.pass(tenant(0), AnswerFailure).tenant, Some(State::Open { until }));
}

#[test]
fn a_refused_connection_is_not_held_against_a_tenant() {
    let mut rig = poisoned(LIMITS);
    rig.now += LIMITS.open_ms;
    assert_eq!(rig.pass(tenant(0), TransportFailure), Changes::default());
    assert_eq!(rig.pass(tenant(0), Success).tenant, Some(State::Closed));
}

#[test]
fn a_busy_tenant_survives_the_errors_of_every_day() {
    let rig = Rig::new(LIMITS);
    for request in 0..10_000 {
        let outcome = if request % 100 == 99 { AnswerFailure } else { Success };
        assert_eq!(rig.pass(tenant(0), outcome), Changes::default(), "{request}");
    }
}

#[test]
fn one_active_tenant_opens_only_its_own_and_newcomers_are_tried() {
    let rig = Rig::new(LIMITS);
    for _ in 0..LIMITS.failures {
        rig.pass(tenant(0), AnswerFailure);
    }
    assert_eq!(rig.refused_by(tenant(0)), Some(Scope::Tenant));
    // a second tenant that fails too makes it the upstream's fault
    assert!(rig.pass(tenant(1), AnswerFailure).upstream.unwrap().is_open());
}

#[test]
fn what_the_upstream_did_is_not_held_against_its_tenants() {
    let mut rig = Rig::new(Limits { open_ms: 1_000, ..LIMITS });
    for failure in 0..u64::from(LIMITS.failures) {
        rig.pass(tenant(failure % 2), AnswerFailure);
    }
    assert!(rig.state().is_open());
    rig.now += rig.limits.open_ms;
    for number in 2..5 {
        rig.pass(tenant(number), Success);
    }
    for _ in 1..LIMITS.failures {
        assert_eq!(rig.pass(tenant(0), AnswerFailure).tenant, None);
    }
}

#[test]
fn a_tenant_is_forgotten_once_it_does_well() {
    let mut rig = Rig::new(LIMITS);
    rig.pass(tenant(0), AnswerFailure);
    assert_eq!(rig.breaker.counts(&LIMITS, rig.now).tenants_kept, 1);
    rig.now += LIMITS.window_ms;
    rig.pass(tenant(0), Success);
    assert_eq!(rig.breaker.counts(&LIMITS, rig.now).tenants_kept, 0);
}

#[test]
fn a_full_map_lets_go_of_the_one_that_would_flow_soonest_and_counts_it() {
    let limits = Limits { tenants_max: 3, failures: 1, ratio_per_mille: 1_000, ..LIMITS };
    let mut rig = Rig::new(limits);
    for _ in 0..100 {
        rig.pass(tenant(50), Success); // so that no share is ever high enough for the upstream
    }
    for number in 0..4 {
        rig.now += 1;
        assert!(rig.pass(tenant(number), AnswerFailure).tenant.is_some());
    }
    let refused: Vec<_> = (0..4).filter(|number| rig.refused_by(tenant(*number)).is_some()).collect();
    assert_eq!(refused, [1, 2, 3]);
    let counts = rig.breaker.counts(&limits, rig.now);
    assert_eq!((counts.tenants_kept, counts.tenants_open, counts.tenants_evicted), (3, 3, 1));
}

#[test]
fn a_full_map_lets_go_of_quiet_tenants_first() {
    let limits = Limits { tenants_max: 2, ..LIMITS };
    let mut rig = poisoned(limits);
    rig.now += 1;
    rig.pass(tenant(1), AnswerFailure);
    rig.pass(tenant(2), AnswerFailure); // 1 only counts, 0 is open
    assert_eq!(rig.refused_by(tenant(0)), Some(Scope::Tenant));
    rig.now += 2 * limits.open_max_ms;
    rig.pass(tenant(3), AnswerFailure); // both have been quiet for long
    let counts = rig.breaker.counts(&limits, rig.now);
    assert_eq!((counts.tenants_kept, counts.tenants_evicted), (1, 1));
}

#[test]
fn a_running_trial_is_never_forgotten() {
    let limits = Limits { tenants_max: 1, ..LIMITS };
    let mut rig = poisoned(limits);
    rig.now += limits.open_ms;
    let trial = rig.admit(tenant(0)).unwrap();
    rig.pass(tenant(1), AnswerFailure);
    assert_eq!(rig.refused_by(tenant(0)), Some(Scope::Tenant));
    assert_eq!(rig.record(trial, Success).tenant, Some(State::Closed));
}

#[test]
fn none_has_one_where_another_judges_tenants_and_the_upstream_is_judged_all_the_same() {
    let limits = Limits { tenants_max: 0, ..LIMITS };
    let rig = Rig::new(limits);
    for request in 0..100 {
        rig.pass(tenant(1 + request % 9), Success);
    }
    for _ in 0..10 * limits.failures {
        assert_eq!(rig.pass(tenant(0), AnswerFailure), Changes::default());
    }
    assert_eq!(rig.breaker.counts(&limits, rig.now).tenants_open, 0);
    let opened = (1..64).any(|number| rig.pass(tenant(number), AnswerFailure).upstream.is_some());
    assert!(opened, "many tenants fail");
}
