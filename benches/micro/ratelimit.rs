//! What a request pays for a limit that its process counts alone: the key, and the decision, with one key and with a million.

use std::{hint::black_box, sync::Arc, time::Duration};

use criterion::Criterion;
use synaxis_ratelimit::{
    cells::{Caps, Cells},
    key::{Key, Keys, Secret},
    local::Limiter,
    quota::Quota,
};

/// Well mixed, as a keyed hash is; 10,000 keys a tenant.
fn key(number: u64) -> Key {
    let mixed = |number: u64| {
        let mixed = (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed ^ mixed >> 32).wrapping_mul(0xD6E8_FEB8_6659_FD93)
    };
    Key::from_u128(u128::from(mixed(number / 10_000)) << 64 | u128::from(mixed(number)))
}

pub(crate) fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rate limit");
    let secret = Secret::new([7; 32]);
    let keys = Keys::new(&secret, "user");
    group.bench_function("a tenant's half of the key", |bencher| {
        bencher.iter(|| secret.tenant(black_box("tenant-1234")))
    });
    let tenant = secret.tenant("tenant-1234");
    group.bench_function("the key of a user", |bencher| {
        bencher.iter(|| keys.key(tenant, black_box(&[b"user-123456"])));
    });
    for number in [1, 1_000_000_u64] {
        let cells = Arc::new(Cells::new(Caps { keys_max: 2_000_000, ..Caps::default() }));
        let often = Quota::new(100_000_000, Duration::from_secs(1), None).unwrap();
        let often = Limiter::new(often, keys.clone(), Arc::clone(&cells));
        for number in 0..number {
            assert!(often.decide(key(number), 0).is_allowed());
        }
        assert_eq!(cells.counts().shared, 0);
        let (mut now, mut at) = (0, 0);
        group.bench_function(format!("allowed, {number} keys"), |bencher| {
            bencher.iter(|| {
                // a prime, so that the next key is nowhere near
                (now, at) = (now + 1_000, (at + 7_368_787) % number);
                often.decide(key(at), black_box(now))
            });
        });
        let seldom = Quota::new(1, Duration::from_secs(60), None).unwrap();
        let seldom = often.with_quota(seldom, now);
        for number in 0..number {
            let _ = seldom.decide(key(number), now);
        }
        group.bench_function(format!("refused, {number} keys"), |bencher| {
            bencher.iter(|| {
                at = (at + 7_368_787) % number;
                seldom.decide(key(at), black_box(now))
            });
        });
    }
    let flooded = Arc::new(Cells::new(Caps { keys_max: 0, ..Caps::default() }));
    let quota = Quota::new(1, Duration::from_secs(60), None).unwrap();
    let flooded = Limiter::new(quota, keys.clone(), flooded);
    let mut at = 0;
    group.bench_function("no room for the key", |bencher| {
        bencher.iter(|| {
            at += 1;
            flooded.decide(key(at), 0)
        });
    });
    group.finish();
}
