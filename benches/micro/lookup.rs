//! Tenant → stamp. Goals: at most 25 ns at 10 stamps, 40 ns at 1,000 stamps with 100,000 listed tenants.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use synaxis_routing::{
    id::TenantId,
    placement::{Placement, RegionIndex, StampIndex},
};

use crate::fleet::{NOW, draining, pinned, table, tenant};

const ENTRY: RegionIndex = RegionIndex(0);
/// Enough to keep the branch predictor honest, few enough that their ids stay in the cache: a request has just read its
/// tenant.
const TENANTS: usize = 1_024;

pub(crate) fn measure(criterion: &mut Criterion) {
    let ten = table(10, &[100]);
    let thousand = table(1_000, &[100]);
    let listed = pinned(&thousand, 100_000);
    let plain = Placement::build(ten.clone(), pinned(&ten, 0)).unwrap();
    let ramping = Placement::build(draining(ten.clone()), pinned(&ten, 0)).unwrap();
    let large = Placement::build(thousand, listed).unwrap();

    let strangers: Vec<TenantId> = (0..TENANTS).map(|number| tenant("tenant", number)).collect();
    let pins: Vec<TenantId> = (0..TENANTS).map(|number| tenant("pinned", number * 97)).collect();

    let mut group = criterion.benchmark_group("lookup");
    group.throughput(Throughput::Elements(1));
    for (name, placement, tenants) in [
        ("10 stamps", &plain, &strangers),
        ("10 stamps, one of them draining", &ramping, &strangers),
        ("1,000 stamps and 100,000 listed tenants, an unlisted one", &large, &strangers),
        ("1,000 stamps and 100,000 listed tenants, a listed one", &large, &pins),
    ] {
        let mut turn = tenants.iter().cycle();
        group.bench_function(name, |bencher| {
            bencher.iter(|| turn.next().map(|tenant| placement.owner(black_box(tenant), ENTRY, NOW)));
        });
    }
    let mut turn = strangers.iter().cycle();
    group.bench_function("all candidates, 10 stamps", |bencher| {
        bencher.iter(|| turn.next().map(|tenant| plain.hand(black_box(tenant), ENTRY, NOW).map(|hand| hand.len())));
    });
    let mut turn = strangers.iter().cycle();
    group.bench_function("acceptance by a receiver, 10 stamps", |bencher| {
        bencher.iter(|| turn.next().map(|tenant| plain.accepts(black_box(tenant), ENTRY, StampIndex(3), NOW)));
    });
    group.finish();
}
