//! Every shipped scenario in its short form.

use synaxis_loadtest::{
    report::Verdict,
    scenario::{SHIPPED, Scenario},
};

use crate::support;

fn passes(name: &str) {
    let _turn = support::turn();
    let report = support::run(&Scenario::load(name).unwrap().shortened());
    assert_eq!(report.verdict, Verdict::Passed, "{:#?} {:#?} {:#?}", report.void, report.checks, report.oracle);
    // a verdict over nothing would be worth nothing
    assert!(report.oracle.both_ends && report.oracle.answered > 300, "{:?}", report.oracle);
    assert!(report.stamps.len() == 3, "{:?}", report.stamps);
}

macro_rules! scenarios {
    ($($test:ident: $name:literal),* $(,)?) => {
        $(#[test] fn $test() { passes($name); })*

        #[test]
        fn none_is_forgotten() {
            let tested = [$($name),*];
            assert!(SHIPPED.iter().all(|(name, _)| tested.contains(name)));
        }
    };
}

scenarios! {
    an_even_load: "steady",
    the_platforms_load: "seeds-mixed",
    bursts: "burst",
    a_drain_and_its_end: "drain-under-load",
    a_rolling_restart: "rolling-restart",
    a_storm_of_reloads: "reload-storm",
    a_dead_stamp: "dead-stamp",
    a_slow_stamp: "slow-stamp",
    a_noisy_tenant: "noisy-neighbour",
    a_poisonous_tenant: "poison-tenant",
    a_stamp_that_dies_again_and_again: "flapping-stamp",
    a_network_that_is_parted: "partition",
    levels_of_degradation: "degradation",
    redis_is_gone: "redis-down",
    redis_hangs: "redis-hang",
    hostile_tables: "table-hostile",
    slow_clients: "slow-clients",
    websockets_through_stamps: "websockets",
    a_rough_network: "rough-network",
    a_short_soak: "soak",
}
