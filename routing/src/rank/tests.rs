//! Promises of ranking.

use proptest::prelude::*;

use super::*;
use crate::fixture::{fleet, id, tenant};

fn stored(ranker: &Ranker<'_>, slot: u32) -> [u16; STORED] {
    let mut rows = [[NOBODY; STORED]; BLOCK];
    ranker.rank(slot - slot % 3, &mut rows); // blocks may begin anywhere
    rows[slot as usize % 3]
}

#[test]
fn the_slot_of_a_tenant_is_the_same_on_every_platform() {
    let hashes = ["acme", "6f9619ff-8b86-d011-b42d-00cf4fc964ff", "x"].map(|name| tenant_hash(Seed(42), &tenant(name)));
    assert_eq!(hashes, GOLDEN_HASHES, "{hashes:#018x?}");
    assert_eq!(slot(0xffff_0000_0000_0000, 16), 65_535);
    assert_eq!(slot(0xffff_f000_0000_0000, 20), 1_048_575);
    assert_eq!(slot(0x0000_ffff_ffff_ffff, 16), 0);
}

#[test]
fn scores_are_the_same_on_every_platform() {
    let salt = salt(&id("weu", 1));
    let scores = [0, 1, 4_711, 65_535, 1_048_575].map(|slot| score(slot, salt));
    assert_eq!(scores, GOLDEN_SCORES, "{scores:#018x?}");
}

#[test]
fn distances_are_the_same_on_every_platform() {
    let seen =
        [0, 1, 2, 3, 1 << 10, 1 << 32, 1 << 63, 0xc000_0000_0000_0000, 0x0123_4567_89ab_cdef, u64::MAX].map(distance);
    assert_eq!(seen, GOLDEN_DISTANCES, "{seen:?}");
}

#[test]
fn ranks_are_the_same_on_every_platform() {
    let mut table = fleet(&[("weu", 6)]);
    let ranks = |table: &crate::table::Table| {
        let takers = takers(&table.stamps, |_| true);
        let ranker = Ranker::new(&takers);
        [0, 1, 2, 65_534, 65_535].map(|slot| stored(&ranker, slot))
    };
    let equal = ranks(&table);
    assert_eq!(equal, GOLDEN_RANKS, "{equal:?}");
    for (stamp, weight) in table.stamps.iter_mut().zip([50, 100, 150, 200, 250, 1_000]) {
        stamp.weight = weight;
    }
    let weighted = ranks(&table);
    assert_eq!(weighted, GOLDEN_WEIGHTED_RANKS, "{weighted:?}");
}

#[test]
fn a_distance_is_the_negative_logarithm_within_a_hundred_thousandth() {
    for h in [1u64, 7, 1 << 20, 0x7fff_ffff_ffff_ffff, 1 << 63, 0xfedc_ba98_7654_3210, u64::MAX - (1 << 53)] {
        let exact = 64.0 - (h as f64 + 0.5).log2();
        let fixed = distance(h) as f64 / (1u64 << 48) as f64;
        assert!((exact - fixed).abs() < 1e-7, "{h:x}: {exact} {fixed}");
    }
    // what wins among 1,000 stamps lies near 0.001
    let h = (u64::MAX as f64 * (1.0 - 0.0007)) as u64;
    let exact = -(h as f64 / 2f64.powi(64)).log2();
    let fixed = distance(h) as f64 / (1u64 << 48) as f64;
    assert!((exact / fixed - 1.0).abs() < 1e-4, "{exact} {fixed}");
}

#[test]
fn stamps_that_share_a_key_tie_and_the_one_that_gives_slots_away_comes_first() {
    let check = |change: &dyn Fn(&mut [Stamp]), first: u16| {
        let mut table = fleet(&[("weu", 2)]);
        let key = table.stamps[0].id.clone();
        table.stamps.iter_mut().for_each(|stamp| stamp.placement_key = key.clone());
        change(&mut table.stamps);
        let takers = takers(&table.stamps, |_| true);
        let ranker = Ranker::new(&takers);
        for slot in 0..1_000 {
            assert_eq!(stored(&ranker, slot), [first, 1 - first, NOBODY, NOBODY], "{slot}");
        }
    };
    let rising = |from| crate::fixture::ramp(from, 1_000, 0);
    check(&|_| {}, 0);
    check(&|stamps| stamps[0].state = State::Draining, 0);
    check(&|stamps| stamps[1].state = State::Draining, 1);
    check(&|stamps| stamps[1].ramp = rising(300), 1); // its drain was cancelled: it takes back what the other received
    check(&|stamps| stamps[1].ramp = rising(0), 0); // it comes in for the first time
}

#[test]
fn weights_are_shares() {
    let mut table = fleet(&[("weu", 4)]);
    let weights = [100, 200, 300, 400];
    table.stamps.iter_mut().zip(weights).for_each(|(stamp, weight)| stamp.weight = weight);
    let takers = takers(&table.stamps, |_| true);
    let ranker = Ranker::new(&takers);
    let mut slots = [0.0; 4];
    (0..1 << 16).for_each(|slot| slots[usize::from(stored(&ranker, slot)[0])] += 1.0);
    for (got, weight) in slots.iter().zip(weights) {
        let expected = 65_536.0 * f64::from(weight) / 1_000.0;
        assert!((got / expected - 1.0).abs() < 0.03, "{got} {expected}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_path_ranks_as_sorting_would(
        stamps in 1u32..40, weights in 1u16..14, lightest in 1u16..=900, step in 1u16..7, first in 0u32..60_000,
    ) {
        let mut table = fleet(&[("weu", stamps)]);
        for (stamp, n) in table.stamps.iter_mut().zip(0..) {
            stamp.weight = lightest + n % weights * step;
        }
        if stamps > 2 {
            table.stamps[1].placement_key = table.stamps[0].id.clone();
        }
        let takers = takers(&table.stamps, |_| true);
        let ranker = Ranker::new(&takers);
        for slot in first..first + 200 {
            let mut all: Vec<Place> = takers.iter().map(|taker| Place::of(taker, slot)).collect();
            all.sort_by(|a, b| b.cmp(a));
            let sorted: Vec<u16> = all.iter().map(|place| place.stamp).chain([NOBODY; STORED]).take(STORED).collect();
            prop_assert_eq!(&stored(&ranker, slot)[..], &sorted[..]);
        }
    }

    #[test]
    fn a_distance_never_rises_with_the_score(a: u64, b: u64, near in 0u64..2_000) {
        let (low, high) = (a.min(b), a.max(b));
        prop_assert!(distance(low) >= distance(high));
        prop_assert!(distance(a) >= distance(a.saturating_add(near)));
        prop_assert!(distance(a) > 0);
    }
}

// These literals agree with a second implementation in another language, with exact logarithms.

const GOLDEN_HASHES: [u64; 3] = [0x2aea_28f4_82f0_ff09, 0x117a_ca53_1837_9a65, 0x2ac6_b588_b10d_3f43];
const GOLDEN_SCORES: [u64; 5] =
    [0xc941_9780_389d_e400, 0xd04c_c011_63d7_1c00, 0x7fff_5a0d_bfcd_c400, 0x5035_7af8_6a22_e800, 0x95c4_d5af_1350_5800];
/// Within 14 units of the exact values, computed once with 60 decimal digits; the last digits are the table's own.
const GOLDEN_DISTANCES: [u64; 10] = [
    18295873486192640,
    17849746203214890,
    17642308829760402,
    17505673324887931,
    15199450508271886,
    9007199254693730,
    281474976710656,
    116822670443562,
    2199383884067901,
    1,
];
const GOLDEN_RANKS: [[u16; 4]; 5] = [[4, 0, 5, 2], [2, 0, 4, 3], [4, 1, 5, 0], [0, 2, 1, 4], [4, 1, 0, 3]];
const GOLDEN_WEIGHTED_RANKS: [[u16; 4]; 5] = [[4, 5, 0, 2], [5, 2, 4, 3], [5, 4, 3, 1], [0, 2, 5, 4], [4, 1, 5, 3]];
