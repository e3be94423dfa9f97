//! Table → placement, as on every publication. Goals: at most 5 ms at 10 stamps, 50 ms at 100.

use std::{hint::black_box, sync::Arc, time::Duration};

use criterion::{BatchSize, Criterion};
use synaxis_routing::{bundle::Bundle, placement::Placement, table::Tenants};

use crate::fleet::{draining, pinned, table};

pub(crate) fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rebuild");
    group.sample_size(20).measurement_time(Duration::from_secs(4));
    for (name, table) in [
        ("10 stamps, equal weights", table(10, &[100])),
        ("10 stamps, three weights", table(10, &[50, 100, 200])),
        ("10 stamps, one of them draining", draining(table(10, &[100]))),
        ("100 stamps, equal weights", table(100, &[100])),
    ] {
        group.bench_function(name, |bencher| {
            let nobody = Arc::new(Tenants::new());
            bencher.iter_batched(
                || (table.clone(), Arc::clone(&nobody)),
                |(table, nobody)| Placement::build_shared(black_box(table), nobody).map(|built| built.digest()),
                BatchSize::PerIteration,
            );
        });
    }
    let ten = table(10, &[100]);
    let listed = Bundle::encode(&ten, &pinned(&ten, 1_000), "bench").unwrap();
    group.bench_function("documents of 10 stamps and 1,000 tenants, decoded", |bencher| {
        bencher.iter(|| black_box(&listed).decode().map(|decoded| decoded.tenants.len()));
    });
    group.finish();
}
