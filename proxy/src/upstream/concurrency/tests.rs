//! The limit holds for any number of places, the counts are exact, and a reload carries them over.

mod simulation;
mod stress;
mod xorshift;

use super::*;

/// A tenant with a well-mixed fingerprint.
fn tenant(number: u64) -> TenantKey {
    let upper = xorshift::mix(number);
    TenantKey::new(u128::from(upper) << 64 | u128::from(xorshift::mix(upper ^ number)))
}

/// Asks for `tenant` until it is refused, which is after `in_flight_max` permits at the latest.
fn fill(admission: &Arc<Admission>, limits: &Limits, tenant: TenantKey) -> (Vec<Permit>, Refused) {
    let mut permits = Vec::new();
    for _ in 0..=limits.in_flight_max() {
        match admission.admit(limits, tenant) {
            Ok(permit) => permits.push(permit),
            Err(refused) => return (permits, refused),
        }
    }
    panic!("{} requests are in flight under {limits:?}", permits.len());
}

#[test]
fn one_tenant_alone_reaches_its_share_and_newcomers_take_the_rest() {
    for (places, alone) in [(1, 1), (2, 1), (3, 2), (5, 4), (19, 15), (20, 16), (21, 16), (100, 80), (1_000, 800)] {
        let admission = Arc::new(Admission::default());
        let limits = Limits::new(places, 0.8);
        let (noisy, refused) = fill(&admission, &limits, tenant(0));
        assert_eq!(noisy.len() as u32, alone, "of {places}");
        assert_eq!(refused.rule(), if places == 1 { "full" } else { "tenant_share" }, "of {places}");

        let newcomers: Vec<_> = (1..=1_000).map_while(|number| admission.admit(&limits, tenant(number)).ok()).collect();
        assert_eq!(newcomers.len() as u32, places - alone, "of {places}");
        assert_eq!(admission.in_flight(), places);
        assert_eq!(admission.admit(&limits, tenant(u64::MAX)).unwrap_err().rule(), "full");
    }
}

#[test]
fn without_a_cap_the_threshold_alone_stops_one_tenant_at_four_fifths() {
    for (places, alone) in [(1, 1), (2, 2), (3, 3), (5, 4), (19, 16), (20, 16), (21, 17), (1_000, 800)] {
        let admission = Arc::new(Admission::default());
        let (noisy, _) = fill(&admission, &Limits::new(places, 1.0), tenant(0));
        assert_eq!(noisy.len() as u32, alone, "of {places}");
    }
}

#[test]
fn a_smaller_share_caps_a_tenant_harder() {
    let admission = Arc::new(Admission::default());
    let (noisy, refused) = fill(&admission, &Limits::new(100, 0.1), tenant(0));
    assert_eq!((noisy.len(), refused), (10, Refused::TenantShare { held: 10, allowed: 10 }));
}

#[test]
fn another_single_tenant_gets_fifteen_percent_and_of_the_reserve_only_its_first_request() {
    let admission = Arc::new(Admission::default());
    let limits = Limits::new(100, 0.8);
    let (noisy, _) = fill(&admission, &limits, tenant(0));
    let (other, refused) = fill(&admission, &limits, tenant(1));
    assert_eq!((noisy.len(), other.len(), refused.rule()), (80, 15, "reserve"));
    let _newcomer = admission.admit(&limits, tenant(2)).unwrap();
    assert_eq!(admission.admit(&limits, tenant(2)).unwrap_err(), Refused::Reserve { held: 1, free: 4 });
}

#[test]
fn a_smaller_limit_after_a_reload_refuses_until_enough_requests_have_ended() {
    let admission = Arc::new(Admission::default());
    let (before, after) = (Limits::new(1_000, 0.8), Limits::new(10, 0.8));
    let (mut noisy, _) = fill(&admission, &before, tenant(0));
    while noisy.len() > 10 {
        assert_eq!(admission.admit(&after, tenant(1)).unwrap_err().rule(), "full", "{} in flight", noisy.len());
        noisy.pop();
    }
    assert_eq!(admission.admit(&after, tenant(1)).unwrap_err(), Refused::Full { in_flight: 10, in_flight_max: 10 });
    noisy.pop();
    assert_eq!(admission.admit(&after, tenant(0)).unwrap_err(), Refused::TenantShare { held: 9, allowed: 4 });
    let newcomer = admission.admit(&after, tenant(1)).unwrap();
    assert_eq!(admission.in_flight(), 10);
    drop((noisy, newcomer));
    assert_eq!((admission.in_flight(), admission.tenants()), (0, 0));
}

#[test]
fn a_larger_limit_after_a_reload_admits_at_once() {
    let admission = Arc::new(Admission::default());
    let (mut permits, _) = fill(&admission, &Limits::new(10, 0.8), tenant(0));
    permits.extend(fill(&admission, &Limits::new(100, 0.8), tenant(0)).0);
    assert_eq!(permits.len(), 80);
}

#[test]
fn a_refused_tenant_leaves_no_trace() {
    let admission = Arc::new(Admission::default());
    let none = Limits::new(0, 0.8);
    for number in 0..1_000 {
        assert!(admission.admit(&none, tenant(number)).is_err());
    }
    assert_eq!((admission.in_flight(), admission.tenants(), admission.top(10)), (0, 0, vec![]));
}

#[test]
fn tenants_that_share_half_of_their_fingerprint_are_counted_apart() {
    let admission = Arc::new(Admission::default());
    let limits = Limits::new(100, 0.8);
    let keys = [TenantKey::new(7), TenantKey::new(1 << 64 | 7), TenantKey::new(8), TenantKey::new(64 << 64 | 7)];
    let permits: Vec<_> = keys.iter().map(|&key| admission.admit(&limits, key).unwrap()).collect();
    assert_eq!(admission.tenants(), 4);
    assert!(keys.iter().all(|&key| admission.in_flight_of(key) == 1));
    drop(permits);
}

#[test]
fn the_list_of_the_busiest_tenants_is_sorted_and_bounded() {
    let admission = Arc::new(Admission::default());
    let limits = Limits::new(100_000, 0.8);
    let mut permits = Vec::new();
    for number in 1..=150 {
        permits.extend((0..number).map(|_| admission.admit(&limits, tenant(number)).unwrap()));
    }
    assert_eq!(admission.top(3), [(tenant(150), 150), (tenant(149), 149), (tenant(148), 148)]);
    assert_eq!(admission.top(0), []);
    assert_eq!(admission.top(usize::MAX).len(), Admission::TOP_MAX);
    assert_eq!((admission.tenants(), admission.in_flight()), (150, 150 * 151 / 2));
    assert_eq!((admission.in_flight_of(tenant(42)), admission.in_flight_of(tenant(151))), (42, 0));
}
