//! Thousands of tenants, seeded chance: whom the breaker blames.

use super::*;

/// SplitMix64 (Steele, Lea, Flood 2014): the same seed, the same run.
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn hits(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }
}

const TENANTS: u64 = 5_000;
const SEEDS: u64 = 20;

/// The hash of a tenant.
fn hash(number: u64) -> u64 {
    Chance(number).next()
}

/// What a run saw.
#[derive(Debug, Default)]
struct Seen {
    upstream_opened: bool,
    /// Requests until the upstream's breaker opened, or all.
    requests: u64,
    /// Failures that tenant 0 was let through to.
    poisoned: u64,
    /// Requests of others that were refused.
    refused: u64,
}

/// `requests` at 200 a second; one of tenant `number` fails with `per_mille(number)`, after `healthy` ones that do not.
/// Tenant 0 sends every third one.
fn run(seed: u64, healthy: u64, requests: u64, per_mille: impl Fn(u64) -> u64) -> Seen {
    let mut chance = Chance(seed);
    let mut rig = Rig::new(LIMITS);
    let mut seen = Seen::default();
    while seen.requests < requests && !seen.upstream_opened {
        seen.requests += 1;
        rig.now += 5;
        let number = if chance.below(3) == 0 { 0 } else { chance.below(TENANTS) };
        let Ok(pass) = rig.admit(hash(number)) else {
            seen.refused += u64::from(number != 0);
            continue;
        };
        let fails = seen.requests > healthy && chance.hits(per_mille(number));
        seen.poisoned += u64::from(fails && number == 0);
        let changes = rig.record(pass, if fails { AnswerFailure } else { Success });
        seen.upstream_opened = changes.upstream.is_some();
    }
    seen
}

#[test]
fn one_poison_tenant_never_opens_the_upstream_and_is_soon_refused() {
    for seed in 0..SEEDS {
        let seen = run(seed, 0, 30_000, |number| if number == 0 { 1_000 } else { 0 });
        assert!(!seen.upstream_opened && seen.refused == 0, "seed {seed}: {seen:?}");
        // 150 s: N failures, then trials after 30 s and 60 s more
        assert!((5..=8).contains(&seen.poisoned), "seed {seed}: {seen:?}");
    }
}

#[test]
fn a_poison_tenant_among_the_errors_of_every_day_does_not_open_the_upstream() {
    for seed in 0..SEEDS {
        let seen = run(seed, 1_000, 30_000, |number| if number == 0 { 1_000 } else { 10 });
        assert!(!seen.upstream_opened, "seed {seed}: {seen:?}");
    }
}

#[test]
fn failures_of_many_tenants_open_the_upstream_when_their_share_is_high() {
    for seed in 0..SEEDS {
        let high = run(seed, 1_000, 30_000, |_| 300);
        assert!(high.upstream_opened && high.requests < 2_000, "seed {seed}: {high:?}");
        let low = run(seed, 1_000, 30_000, |_| 50);
        assert!(!low.upstream_opened, "seed {seed}: {low:?}");
    }
}

#[test]
fn a_dead_origin_opens_the_upstream_at_the_count_or_a_collision_later() {
    for seed in 0..SEEDS {
        let seen = run(seed, 0, 1_000, |_| 1_000);
        assert!(seen.upstream_opened && seen.requests <= u64::from(LIMITS.failures) + 3, "seed {seed}: {seen:?}");
    }
}

#[test]
fn an_origin_that_dies_under_load_opens_the_upstream_once_a_tenth_has_failed() {
    for seed in 0..SEEDS {
        let mut rig = Rig::new(LIMITS);
        let mut chance = Chance(seed);
        for _ in 0..6_000 {
            rig.now += 5;
            rig.pass(hash(chance.below(TENANTS)), Success);
        }
        let opened_after = (1..=6_000).find(|_| {
            rig.now += 5;
            let pass = rig.admit(hash(chance.below(TENANTS)));
            pass.is_ok_and(|pass| rig.record(pass, AnswerFailure).upstream.is_some())
        });
        assert!(opened_after.is_some_and(|requests| requests <= 600), "seed {seed}: {opened_after:?}");
    }
}
