//! What a request pays for being counted by tenant: one that has a counter, and a flood of tenants that have none.

use std::hint::black_box;

use criterion::Criterion;
use synaxis_proxy::telemetry::top::Sketch;
use synaxis_routing::id::TenantId;

/// Well mixed, as a keyed hash is.
fn key(number: u64) -> u64 {
    let mixed = (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ mixed >> 32).wrapping_mul(0xD6E8_FEB8_6659_FD93)
}

pub(crate) fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("top tenants");
    let Ok(tenant) = TenantId::parse(b"6f9619ff-8b86-d011-b42d-00cf4fc964ff") else { return };
    for tenants in [1, 64] {
        let (mut sketch, mut number) = (Sketch::default(), 0);
        group.bench_function(format!("counted, {tenants} tenants"), |bencher| {
            bencher.iter(|| {
                number = (number + 1) % tenants;
                sketch.count(black_box(key(number)), &tenant, false);
            });
        });
    }
    let (mut sketch, mut number) = (Sketch::default(), 0);
    group.bench_function("never seen before", |bencher| {
        bencher.iter(|| {
            number += 1;
            sketch.count(black_box(key(number)), &tenant, false);
        });
    });
    group.finish();
}
