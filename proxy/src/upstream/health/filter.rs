//! Who serves, given what probes and traffic say of each endpoint. Sets are words: bit i is endpoint i.
//!
//! Invariant: each of the two filters is ignored when too few would be left (the panic share, rounded up, at least one):
//! then the fault is more likely in the filter, or what is left would drown. Envoy's panic threshold, which keeps ejected
//! hosts out here because at most half of the endpoints ever are.

/// What is believed of a set's endpoints.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opinions {
    /// How many there are, at most 64.
    pub(super) count: usize,
    /// Those that active checks leave in service.
    pub(super) passing: u64,
    /// Those that real traffic has ejected.
    pub(super) ejected: u64,
}

/// Who serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Joined {
    /// Those that get traffic.
    pub(super) serving: u64,
    /// In panic: those that are tried after all of these have failed.
    pub(super) last_resort: u64,
}

impl Opinions {
    /// Who serves when `panic_permille` thousandths of the endpoints must be left.
    pub(super) fn join(&self, panic_permille: u32) -> Joined {
        let all = first(self.count);
        let checked = self.checked(panic_permille);
        let left = checked & !self.ejected;
        let too_few = left.count_ones() < self.floor(panic_permille);
        let serving = if too_few || self.too_many(self.ejected) { checked } else { left };
        let panic = self.is_panic(panic_permille);
        Joined { serving, last_resort: if panic { all & !serving } else { 0 } }
    }

    /// Whether an endpoint that serves may be ejected: not if, with it, more than half were, or too few were left.
    pub(super) fn may_eject(&self, place: usize, panic_permille: u32) -> bool {
        let after = self.ejected | bit(place);
        let left = self.checked(panic_permille) & !after;
        let serves = self.join(panic_permille).serving & bit(place) != 0;
        serves && !self.too_many(after) && left.count_ones() >= self.floor(panic_permille)
    }

    fn checked(&self, panic_permille: u32) -> u64 {
        if self.is_panic(panic_permille) { first(self.count) } else { self.passing & first(self.count) }
    }

    fn is_panic(&self, panic_permille: u32) -> bool {
        (self.passing & first(self.count)).count_ones() < self.floor(panic_permille)
    }

    fn too_many(&self, ejected: u64) -> bool {
        ejected.count_ones() as usize > self.count / 2
    }

    /// How many must be left.
    fn floor(&self, panic_permille: u32) -> u32 {
        let count = u32::try_from(self.count).unwrap_or(u32::MAX);
        count.saturating_mul(panic_permille.min(1_000)).div_ceil(1_000).max(1)
    }
}

/// The first `count` places.
pub(super) fn first(count: usize) -> u64 {
    if count >= 64 { u64::MAX } else { (1 << count) - 1 }
}

/// One place; nothing for one that no word holds.
pub(super) fn bit(place: usize) -> u64 {
    if place >= 64 { 0 } else { 1 << place }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every set of up to six endpoints with every opinion of them and several thresholds.
    fn every(mut promise: impl FnMut(Opinions, u32)) {
        for count in 1..=6 {
            for passing in 0..=first(count) {
                for ejected in 0..=first(count) {
                    for permille in [0, 1, 250, 500, 501, 750, 1_000, u32::MAX] {
                        promise(Opinions { count, passing, ejected }, permille);
                    }
                }
            }
        }
    }

    fn check(opinions: (usize, u64, u64), serving: u64, last_resort: u64) {
        let (count, passing, ejected) = opinions;
        let joined = Opinions { count, passing, ejected }.join(500);
        assert_eq!(joined, Joined { serving, last_resort }, "{count} endpoints, passing {passing:b}, out {ejected:b}");
    }

    #[test]
    fn active_checks_are_believed_until_fewer_than_half_pass() {
        check((4, 0b1111, 0), 0b1111, 0);
        check((4, 0b0011, 0), 0b0011, 0);
        check((4, 0b0001, 0), 0b1111, 0);
        check((4, 0b0000, 0), 0b1111, 0);
        check((3, 0b011, 0), 0b011, 0);
        check((3, 0b001, 0), 0b111, 0);
        check((2, 0b01, 0), 0b01, 0);
        check((1, 0, 0), 1, 0);
    }

    #[test]
    fn in_panic_the_ejected_are_tried_last() {
        check((4, 0b0001, 0b0110), 0b1001, 0b0110);
        check((4, 0b0000, 0b0001), 0b1110, 0b0001);
    }

    #[test]
    fn ejections_are_ignored_when_with_the_checks_too_few_would_be_left() {
        check((4, 0b0011, 0b0001), 0b0011, 0);
        check((4, 0b0111, 0b0001), 0b0110, 0);
        check((2, 0b01, 0b01), 0b01, 0);
    }

    #[test]
    fn ejections_are_ignored_when_a_reload_has_left_more_of_them_than_half() {
        let opinions = Opinions { count: 3, passing: 0b111, ejected: 0b011 };
        for permille in [0, 500] {
            assert_eq!(opinions.join(permille), Joined { serving: 0b111, last_resort: 0 });
        }
    }

    #[test]
    fn somebody_always_serves_and_in_panic_everybody_can_be_reached() {
        every(|opinions, permille| {
            let joined = opinions.join(permille);
            assert_ne!(joined.serving, 0, "{opinions:?} {permille}");
            assert_eq!(joined.serving & joined.last_resort, 0, "{opinions:?} {permille}");
            if opinions.is_panic(permille) {
                assert_eq!(joined.serving | joined.last_resort, first(opinions.count), "{opinions:?} {permille}");
            }
        });
    }

    #[test]
    fn no_ejection_leaves_nobody_or_keeps_more_than_half_out() {
        every(|opinions, permille| {
            for place in (0..opinions.count).filter(|place| opinions.may_eject(*place, permille)) {
                let after = Opinions { ejected: opinions.ejected | bit(place), ..opinions };
                let joined = after.join(permille);
                assert!(after.ejected.count_ones() as usize <= opinions.count / 2, "{opinions:?} {permille}");
                assert_eq!(joined.serving & bit(place), 0, "it is out: {opinions:?} {permille}");
                assert!(joined.serving.count_ones() >= opinions.floor(permille), "{opinions:?} {permille}");
                assert_eq!(after.is_panic(permille), opinions.is_panic(permille), "{opinions:?} {permille}");
            }
        });
    }

    #[test]
    fn of_one_nobody_can_be_ejected_and_of_two_or_three_one() {
        for (count, most) in [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (6, 3), (64, 32)] {
            let mut opinions = Opinions { count, passing: u64::MAX, ejected: 0 };
            for place in 0..count {
                if opinions.may_eject(place, 500) {
                    opinions.ejected |= bit(place);
                }
            }
            assert_eq!(opinions.ejected.count_ones(), most, "of {count}");
        }
    }

    #[test]
    fn one_that_gets_no_traffic_is_not_ejected() {
        let opinions = Opinions { count: 4, passing: 0b0111, ejected: 0 };
        assert!(!opinions.may_eject(3, 500));
        assert!(opinions.may_eject(2, 500));
        assert!(!opinions.may_eject(64, 500) && !opinions.may_eject(usize::MAX, 500), "places that do not exist");
    }
}
