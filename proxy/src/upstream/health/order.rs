//! The order in which a request tries the endpoints.
//!
//! Invariant: each endpoint once. The first try goes round over those that serve, not over all of them, so the share of
//! one that is out is spread over all others and not left to its neighbour.

use std::iter::FusedIterator;

/// Places of endpoints, best first.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// Those that serve from the turn's first on, those before it, the last resort; each in the order of the list.
    left: [u64; 3],
}

impl Order {
    pub(super) fn new(serving: u64, last_resort: u64, turn: usize) -> Self {
        let mut from_turn = serving;
        if serving != 0 {
            for _ in 0..turn % serving.count_ones() as usize {
                from_turn &= from_turn - 1;
            }
        }
        // the two words are read one after the other: what has moved between them counts once
        Self { left: [from_turn, serving & !from_turn, last_resort & !serving] }
    }
}

impl Iterator for Order {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let places = self.left.iter_mut().find(|places| **places != 0)?;
        let place = places.trailing_zeros() as usize;
        *places &= *places - 1;
        Some(place)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.left.iter().map(|places| places.count_ones() as usize).sum();
        (left, Some(left))
    }
}

impl ExactSizeIterator for Order {}
impl FusedIterator for Order {}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(serving: u64, last_resort: u64, turn: usize, expected: &[usize]) {
        let order = Order::new(serving, last_resort, turn);
        assert_eq!(order.len(), expected.len());
        assert_eq!(order.collect::<Vec<_>>(), expected, "turn {turn} of {serving:b}, {last_resort:b}");
    }

    #[test]
    fn the_turns_endpoint_comes_first_and_the_rest_go_round() {
        check(0b1111, 0, 0, &[0, 1, 2, 3]);
        check(0b1111, 0, 2, &[2, 3, 0, 1]);
        check(0b1111, 0, 5, &[1, 2, 3, 0]);
        check(0b1010, 0, 1, &[3, 1]);
        check(0b0111, 0, 64, &[1, 2, 0]);
        check(0, 0, 3, &[]);
        check(1 << 63 | 1, 0, usize::MAX, &[63, 0]);
    }

    #[test]
    fn the_last_resort_comes_last_and_once() {
        check(0b0101, 0b1010, 1, &[2, 0, 1, 3]);
        check(0b0111, 0b1110, 0, &[0, 1, 2, 3]);
    }

    #[test]
    fn the_share_of_one_that_is_out_is_spread_evenly() {
        let serving: u64 = 0b1_0111;
        let mut firsts = [0; 5];
        for turn in 0..4_000 {
            firsts[Order::new(serving, 0, turn).next().unwrap()] += 1;
        }
        assert_eq!(firsts, [1_000, 1_000, 1_000, 0, 1_000]);
    }
}
