//! A hash table whose entry stands where its key says, or a little after it (linear probing; Knuth, TAOCP 3, section 6.4,
//! algorithm L).
//!
//! Invariant: between the place that a key says and the place where it is, all places are taken, and at least one of all is
//! free.
//!
//! The standard library's map first looks at bytes that stand elsewhere. With a million keys neither these nor the entries
//! are in a near cache, and a decision waits for both, one after the other; here for one.

use std::{iter, mem};

use crate::key::Key;

/// Fewest places that are not none.
const PLACES_MIN: usize = 8;

pub(crate) struct Table<T> {
    /// None, or a power of two.
    places: Box<[Option<(Key, T)>]>,
    taken: usize,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { places: Box::default(), taken: 0 }
    }
}

impl<T> Table<T> {
    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        self.find(key).ok().map(|(_, found)| found)
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let (at, _) = self.find(key).ok()?;
        self.places[at].as_mut().map(|(_, found)| found)
    }

    /// Where it is, or the place that it would get.
    #[inline]
    fn find(&self, key: Key) -> Result<(usize, &T), usize> {
        let last = self.places.len().wrapping_sub(1);
        let mut at = key.cell as usize & last;
        loop {
            match self.places.get(at) {
                Some(Some((found, value))) if *found == key => return Ok((at, value)),
                Some(Some(_)) => at = (at + 1) & last,
                // free, or there are no places
                Some(None) | None => return Err(at),
            }
        }
    }

    /// Of a key that is not there; one that is keeps what it has.
    pub(crate) fn insert(&mut self, key: Key, value: T) {
        if self.taken >= room(self.places.len()) {
            self.move_to((self.places.len() * 2).max(PLACES_MIN));
        }
        self.put(key, value);
    }

    fn put(&mut self, key: Key, value: T) {
        if let Err(free) = self.find(key) {
            self.places[free] = Some((key, value));
            self.taken += 1;
        }
    }

    /// So many places, enough for all.
    fn move_to(&mut self, places: usize) {
        let empty = iter::repeat_with(|| None).take(places).collect();
        self.taken = 0;
        for (key, value) in mem::replace(&mut self.places, empty).into_iter().flatten() {
            self.put(key, value);
        }
    }

    /// Drops those for which `kept` says no; places that a flood has left behind are given back.
    pub(crate) fn retain(&mut self, mut kept: impl FnMut(Key, &mut T) -> bool) {
        let Some(free) = self.places.iter().position(Option::is_none) else { return };
        let last = self.places.len() - 1;
        // from a free place on, so that whoever stands behind another comes after it
        let mut gap = false;
        for at in (1..=last).map(|step| (free + step) & last) {
            let Some((key, value)) = &mut self.places[at] else {
                gap = false;
                continue;
            };
            if !kept(*key, value) {
                self.places[at] = None;
                self.taken -= 1;
                gap = true;
            } else if gap && let Some((key, value)) = self.places[at].take() {
                // it stays, or moves up to where it will be looked for
                self.taken -= 1;
                self.put(key, value);
            }
        }
        let mut places = self.places.len();
        while places > 0 && self.taken <= room(places) / 8 {
            places = if places > PLACES_MIN { places / 2 } else { 0 };
        }
        if places < self.places.len() {
            self.move_to(places);
        }
    }

    #[cfg(test)]
    pub(crate) fn places(&self) -> usize {
        self.places.len()
    }
}

/// How many of so many places may be taken: with more, keys are found far from their places.
fn room(places: usize) -> usize {
    places / 8 * 7
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    /// Of a few places, so that many keys want the same one, and some stand behind the end.
    fn key(number: u64) -> Key {
        Key { tenant: number, cell: number % 5 * 3 }
    }

    proptest! {
        /// Whatever is put in and dropped, in whatever order.
        #[test]
        fn it_is_a_map(steps in prop::collection::vec((0..4_u8, 0..60_u64), 1..300)) {
            let (mut table, mut model) = (Table::default(), HashMap::new());
            for (step, (kind, number)) in steps.into_iter().enumerate() {
                if kind > 0 {
                    if table.get(key(number)).is_none() {
                        table.insert(key(number), step);
                        prop_assert_eq!(model.insert(number, step), None);
                    } else if let Some(value) = table.get_mut(key(number)) {
                        *value = step;
                        model.insert(number, step);
                    }
                } else {
                    table.retain(|key, value| (key.tenant ^ *value as u64) % 7 >= number % 7);
                    model.retain(|key, value| (key ^ *value as u64) % 7 >= number % 7);
                }
                prop_assert_eq!(table.taken, model.len());
                prop_assert!((0..60).all(|number| table.get(key(number)) == model.get(&number)));
                prop_assert!(table.places() == 0 || table.taken < table.places());
            }
        }
    }

    #[test]
    fn places_follow_what_is_there_in_both_directions() {
        let mut table = Table::default();
        assert_eq!((table.places(), table.get(key(0))), (0, None));
        for number in 0..1_000_000_u64 {
            let key = Key { tenant: number, cell: number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 7 };
            table.insert(key, number);
        }
        assert_eq!((table.taken, table.places()), (1_000_000, 1 << 21));
        table.retain(|_, _| true);
        assert_eq!(table.places(), 1 << 21);
        table.retain(|_, number| *number % 100 == 0);
        assert_eq!((table.taken, table.places()), (10_000, 1 << 16));
        table.retain(|_, number| *number == 0);
        assert_eq!((table.taken, table.places()), (1, PLACES_MIN));
        table.retain(|_, _| false);
        assert_eq!((table.taken, table.places()), (0, 0));
    }
}
