//! What a sketch may get wrong, and what not.

use std::{collections::HashMap, time::Duration};

use proptest::prelude::*;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::*;

fn tenant(name: impl std::fmt::Display) -> TenantId {
    TenantId::parse(name.to_string().as_bytes()).unwrap()
}

fn count(sketch: &mut Sketch, tenant: &TenantId, refused: bool) {
    sketch.count(xxh3_64_with_seed(tenant.as_bytes(), 7), tenant, refused);
}

/// xorshift64 (Marsaglia 2003).
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn few_tenants_are_counted_exactly_and_their_refusals_apart() {
    let mut sketch = Sketch::default();
    let (acme, other) = (tenant("acme"), tenant("other"));
    for number in 0..10 {
        count(&mut sketch, &acme, number < 3);
    }
    count(&mut sketch, &other, false);
    let minute = Minute::merge(&[sketch], Duration::from_secs(60));
    let row = |tenant, requests, refused| Row { tenant, requests, error: 0, refused };
    assert_eq!(minute.rows, [row(acme, 10, 3), row(other, 1, 0)]);
    assert_eq!((minute.total, minute.refused, minute.unlisted_max), (11, 3, 0));
    assert_eq!((minute.others(1), minute.others(0), minute.others(50)), ((1, 0), (11, 3), (0, 0)));
}

#[test]
fn who_makes_a_tenth_is_there_whatever_flood_comes_before_during_and_after() {
    for seed in 1..=20 {
        let (hot, mut chance) = (tenant("hot"), seed);
        // it begins late, when every counter is taken
        let mut sketches = [Sketch::default(), Sketch::default(), Sketch::default()];
        let mut made = 0;
        for number in 0..200_000_u64 {
            let sketch = &mut sketches[(next(&mut chance) % 3) as usize];
            if number > 20_000 && next(&mut chance).is_multiple_of(8) {
                made += 1;
                count(sketch, &hot, false);
            } else {
                count(sketch, &tenant(format_args!("flood-{}", next(&mut chance) % 1_000_000)), false);
            }
        }
        let minute = Minute::merge(&sketches, Duration::from_secs(60));
        let first = minute.rows[0];
        assert_eq!((first.tenant, minute.total), (hot, 200_000), "seed {seed}");
        assert!(first.requests <= made && made <= first.requests + 200_000 / COUNTERS as u64, "seed {seed}: {first:?}");
        assert!(made * 10 > 200_000, "seed {seed}: it made {made}");
    }
}

#[test]
fn memory_does_not_grow_with_tenants() {
    assert!(size_of::<Sketch>() <= 4 * COUNTERS * 8 + 64, "{}", size_of::<Sketch>());
    assert!(COUNTERS * size_of::<Option<TenantId>>() <= 9 << 10);
    let mut sketch = Sketch::default();
    for number in 0..100_000 {
        count(&mut sketch, &tenant(number), true);
    }
    assert_eq!(sketch.counted().count(), COUNTERS);
    assert_eq!(Minute::merge(&[sketch], Duration::ZERO).rows.len(), ROWS_MAX);
}

#[test]
fn a_million_invented_tenants_make_as_many_series_as_a_hundred() {
    let series = |tenants: u64| {
        let mut sketch = Sketch::default();
        for number in 0..tenants {
            count(&mut sketch, &tenant(format_args!("invented-{number}")), false);
        }
        let minute = Minute::merge(&[sketch], Duration::from_secs(60));
        let text = exposition(&minute, 10);
        let values = text.lines().filter_map(|line| line.rsplit_once("\"} ")?.1.parse::<f64>().ok());
        // requests first: together they are all that were made
        assert!((values.take(11).sum::<f64>() * 60.0 - tenants as f64).abs() < 0.01, "{text}");
        text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).count()
    };
    assert_eq!((series(100), series(1_000_000)), (22, 22));
}

#[test]
fn a_tenant_whose_fingerprint_is_zero_is_one_like_others() {
    let (mut sketch, odd) = (Sketch::default(), tenant("odd"));
    sketch.count(0, &odd, false);
    sketch.count(5, &tenant("even"), false);
    sketch.count(0, &odd, false);
    let found = sketch.counted().find(|counted| counted.tenant == odd).unwrap();
    assert_eq!((found.requests, sketch.counted().count()), (2, 2));
}

proptest! {
    /// Few names often and many seldom, dealt to a few workers.
    #[test]
    fn counts_are_never_too_high_and_too_low_by_a_64th_at_most(
        stream in prop::collection::vec((0_u32..3, prop_oneof![0_u32..8, 0_u32..400], any::<bool>()), 1..4_000)
    ) {
        let mut sketches = [Sketch::default(), Sketch::default(), Sketch::default()];
        let mut truth: HashMap<TenantId, (u64, u64)> = HashMap::new();
        for (worker, name, refused) in &stream {
            let name = tenant(name);
            count(&mut sketches[*worker as usize], &name, *refused);
            let made = truth.entry(name).or_default();
            made.0 += 1;
            made.1 += u64::from(*refused);
        }
        let bound = stream.len() as u64 / COUNTERS as u64;
        let minute = Minute::merge(&sketches, Duration::from_secs(1));
        prop_assert_eq!(minute.total, stream.len() as u64);
        prop_assert_eq!(minute.refused, truth.values().map(|made| made.1).sum::<u64>());
        for row in &minute.rows {
            let (made, refused) = truth[&row.tenant];
            prop_assert!(row.requests <= made && made <= row.requests + row.error, "{:?} {}", row, made);
            prop_assert!(row.error <= bound, "{:?} {}", row, bound);
            prop_assert!(row.refused <= refused && row.refused <= row.requests);
        }
        let unlisted = truth.iter().filter(|(name, _)| !minute.rows.iter().any(|row| row.tenant == **name));
        for (_, made) in unlisted {
            prop_assert!(made.0 <= minute.unlisted_max);
        }
        let (others, _) = minute.others(5);
        prop_assert_eq!(others + minute.rows.iter().take(5).map(|row| row.requests).sum::<u64>(), minute.total);
    }
}
