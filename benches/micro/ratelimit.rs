//! What a request pays for a limit that its process counts alone: the key, and the decision, with one key and with a million;
//! beside it governor's own map of buckets, with the same keys and nothing bounded.

use std::{
    cell::Cell,
    hash::{BuildHasherDefault, Hasher},
    hint::black_box,
    num::NonZeroU32,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use criterion::{BenchmarkGroup, Criterion, measurement::WallTime};
use governor::{RateLimiter, clock::Clock, nanos::Nanos};
use synaxis_ratelimit::{
    cells::{Caps, Cells},
    key::{Key, Keys, Secret},
    local::Limiter,
    quota::Quota,
};

/// Well mixed, as a keyed hash is; 10,000 keys a tenant.
pub(crate) fn key(number: u64) -> Key {
    let mixed = |number: u64| {
        let mixed = (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed ^ mixed >> 32).wrapping_mul(0xD6E8_FEB8_6659_FD93)
    };
    Key::from_u128(u128::from(mixed(number / 10_000)) << 64 | u128::from(mixed(number)))
}

/// A prime, so that the next key is nowhere near.
pub(crate) const STRIDE: u64 = 7_368_787;
/// Requests a second that nobody makes.
pub(crate) const OFTEN: u32 = 100_000_000;

/// Hands on what is mixed already: keys are keyed hashes.
#[derive(Default)]
struct Mixed(u64);

impl Hasher for Mixed {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.0 = self.0.rotate_left(8) ^ u64::from(byte));
    }

    fn write_u64(&mut self, mixed: u64) {
        self.0 = mixed;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Reads what it is told.
#[derive(Clone, Default)]
struct Told(Rc<Cell<u64>>);

impl Clock for Told {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.get().into()
    }
}

/// governor's map under one mutex, the cheaper of its two for a single thread, spared the hashing of the keys.
pub(crate) fn beside(group: &mut BenchmarkGroup<'_, WallTime>, number: u64) {
    let clock = Told::default();
    let often = governor::Quota::per_second(NonZeroU32::new(OFTEN).unwrap());
    let hasher = BuildHasherDefault::<Mixed>::default();
    let limiter = RateLimiter::hashmap_with_clock_and_hasher(often, clock.clone(), hasher);
    assert!((0..number).all(|number| limiter.check_key(&key(number)).is_ok()));
    let mut at = 0;
    group.bench_function(format!("governor's map, {number} keys"), |bencher| {
        bencher.iter(|| {
            clock.0.set(clock.0.get() + 1_000);
            at = (at + STRIDE) % number;
            limiter.check_key(black_box(&key(at))).is_ok()
        });
    });
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
        let often = Quota::new(OFTEN, Duration::from_secs(1), None).unwrap();
        let often = Limiter::new(often, keys.clone(), Arc::clone(&cells));
        for number in 0..number {
            assert!(often.decide(key(number), 0).is_allowed());
        }
        assert_eq!(cells.counts().shared, 0);
        let (mut now, mut at) = (0, 0);
        group.bench_function(format!("allowed, {number} keys"), |bencher| {
            bencher.iter(|| {
                (now, at) = (now + 1_000, (at + STRIDE) % number);
                often.decide(key(at), black_box(now))
            });
        });
        beside(&mut group, number);
        let seldom = Quota::new(1, Duration::from_secs(60), None).unwrap();
        let seldom = often.with_quota(seldom, now);
        for number in 0..number {
            let _ = seldom.decide(key(number), now);
        }
        group.bench_function(format!("refused, {number} keys"), |bencher| {
            bencher.iter(|| {
                at = (at + STRIDE) % number;
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
