//! What a request pays at the guard of its upstream: a place and leave from the breaker, with few and with many others in
//! flight.

use std::{hint::black_box, sync::Arc};

use criterion::Criterion;
use synaxis_proxy::upstream::{
    breaker::{self, Breaker, Outcome},
    concurrency::{Admission, Limits, Permit, TenantKey},
};

/// Well mixed, as a keyed hash is.
fn tenant(number: u128) -> TenantKey {
    TenantKey::new((number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835))
}

pub(crate) fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("guard");
    let limits = Limits::new(100_000, 0.75);
    for in_flight in [0, 10_000] {
        let admission = Arc::new(Admission::default());
        let _held: Vec<Permit> =
            (0..in_flight).map(|number| admission.admit(&limits, tenant(number)).unwrap()).collect();
        let mut number = 0;
        group.bench_function(format!("a place, {in_flight} in flight"), |bencher| {
            bencher.iter(|| {
                number = (number + 1) % 1_024;
                drop(admission.admit(black_box(&limits), tenant(number)));
            });
        });
    }
    let (breaker, limits) = (Arc::new(Breaker::new()), breaker::Limits::default());
    let mut number = 0;
    group.bench_function("a closed breaker", |bencher| {
        bencher.iter(|| {
            number = (number + 1) % 1_024;
            let pass = breaker.admit(black_box(&limits), tenant(number).half(), 0).unwrap();
            breaker.record(&limits, pass, Outcome::Success, 0, 0)
        });
    });
    group.finish();
}
