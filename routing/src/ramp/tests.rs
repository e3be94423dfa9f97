//! Promises of the ramp formula.

use super::*;

fn ramp(from: u16, to: u16, seconds: u32) -> Ramp {
    Ramp { from, to, started_at: 1_000_000, seconds, held_at: None }
}

#[test]
fn a_share_is_linear_in_time_and_stops_at_both_ends() {
    let check = |ramp: Ramp, now: Millis, per_mille: u16| assert_eq!(at(&ramp, now).per_mille(), per_mille, "{now}");
    for (now, expected) in [(0, 0), (1_000_000, 0), (1_150_000, 500), (1_300_000, 1000), (u64::MAX, 1000)] {
        check(ramp(0, 1000, 300), now, expected);
        check(ramp(1000, 0, 300), now, 1000 - expected);
    }
    check(ramp(250, 750, 100), 1_050_000, 500);
    check(ramp(0, 1000, 300), 1_000_001, 1); // more than nothing never reads as nothing
    check(ramp(0, 1000, 0), 0, 1000); // no length: at once, even on a clock that is behind
    check(ramp(1000, 0, 0), u64::MAX, 0);
}

#[test]
fn a_held_ramp_stands_still_and_no_clock_moves_it() {
    let mut held = ramp(1000, 0, 300);
    held.held_at = Some(1_075_000);
    for (now, expected) in [(1_000_000, 1000), (1_075_000, 750), (1_300_000, 750), (u64::MAX, 750)] {
        assert_eq!(at(&held, now).per_mille(), expected, "{now}");
    }
    held.held_at = Some(5); // before the start: has not begun
    assert!(at(&held, u64::MAX).is_full());
}

#[test]
fn the_ends_hold_everything_and_nothing() {
    for mix in [0, 1, u64::MAX / 2, u64::MAX] {
        assert!(Share::FULL.holds(mix) && at(&ramp(0, 1000, 300), u64::MAX).holds(mix), "{mix}");
        assert!(!Share::NONE.holds(mix) && !at(&ramp(1000, 0, 300), u64::MAX).holds(mix), "{mix}");
    }
    assert!(!at(&ramp(0, 1000, 300), 1_299_999).holds(u64::MAX));
}

#[test]
fn a_share_moves_in_milliseconds_not_in_thousandths() {
    // one millisecond of the longest ramp is seen
    let long = ramp(0, 1000, SECONDS_MAX);
    let (before, after) = (at(&long, 1_000_001), at(&long, 1_000_002));
    let between = (u128::from(u64::MAX) * 3 / 2 / (u128::from(SECONDS_MAX) * 1_000)) as u64;
    assert!(!before.holds(between) && after.holds(between));
}

#[test]
fn hostile_parameters_neither_overflow_nor_panic() {
    for from in [0, 1000, u16::MAX] {
        for (started_at, seconds, held_at) in
            [(u64::MAX, u32::MAX, None), (0, u32::MAX, Some(u64::MAX)), (0, 0, Some(0)), (5, 1, Some(4))]
        {
            for now in [0, 1, u64::MAX] {
                let share = at(&Ramp { from, to: u16::MAX, started_at, seconds, held_at }, now);
                assert!(share.per_mille() <= WHOLE);
                let _ = share.holds(u64::MAX);
            }
        }
    }
}

#[test]
fn mixes_of_slots_pins_and_ranks_are_independent_even_under_a_zero_seed() {
    let stamp = StampId::parse("synaxis-weu-001").unwrap();
    let salts = Salts::new(Seed(0), &stamp);
    assert_ne!(salts.slots, crate::rank::salt(&stamp));
    assert_ne!(salts.slots, salts.pins);
    assert_ne!(Salts::new(Seed(1), &stamp).slots, salts.slots);
}

#[test]
fn the_mix_of_a_slot_is_the_same_on_every_platform() {
    let salts = Salts::new(Seed(0x0123_4567_89ab_cdef), &StampId::parse("synaxis-weu-001").unwrap());
    let tenant = TenantId::parse(b"acme").unwrap();
    let seen = [salts.slot(0), salts.slot(1), salts.slot(65_535), salts.pin(&tenant)];
    assert_eq!(seen, GOLDEN, "{seen:#018x?}");
}

const GOLDEN: [u64; 4] = [0x7a2f_412d_3b80_958a, 0xefbc_68dd_3dff_8167, 0x221f_82bb_d5eb_637b, 0x22c6_abcb_c297_c554];
