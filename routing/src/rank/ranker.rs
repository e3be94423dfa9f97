//! Ranking all slots for one set of takers, as fast as their weights allow.
//!
//! Invariant: every path gives what sorting all [`Place`]s of a slot would give. Stamps of one weight are compared by
//! score alone; with a few different weights the best of each are merged by distance; with many, all are compared.

use super::{NOBODY, Place, STORED, TIE_BITS, TIE_MASK, Taker};

/// Slots that are ranked together: their places fit the first-level cache. Divides every number of slots.
pub(crate) const BLOCK: usize = 128;

/// Up to so many different weights merging pays.
const CLASSES_MAX: usize = 8;

/// So many takers are inserted without asking whether they are near enough: at first most of them are.
const ASKED_AFTER: usize = 4 * STORED;

type Keys = [u64; STORED];

/// Computes the stored ranks of block after block.
pub(crate) struct Ranker<'a> {
    takers: &'a [Taker],
    /// The stamp of a key's low bits.
    by_tie: Vec<u16>,
    classes: Vec<Class>,
}

/// Takers of one weight.
struct Class {
    weight: u16,
    takers: Vec<Taker>,
}

impl<'a> Ranker<'a> {
    pub(crate) fn new(takers: &'a [Taker]) -> Self {
        let mut by_tie = vec![NOBODY; 1 << TIE_BITS];
        let mut classes: Vec<Class> = Vec::new();
        for taker in takers {
            by_tie[usize::from(taker.tie)] = taker.stamp;
            match classes.iter_mut().find(|class| class.weight == taker.weight) {
                Some(class) => class.takers.push(*taker),
                None => classes.push(Class { weight: taker.weight, takers: vec![*taker] }),
            }
        }
        Self { takers, by_tie, classes }
    }

    /// The stamps of the first [`STORED`] ranks of the slots from `first` on; [`NOBODY`] where there are fewer takers.
    pub(crate) fn rank(&self, first: u32, rows: &mut [[u16; STORED]; BLOCK]) {
        match self.classes.as_slice() {
            [class] => self.by_score(class, first, rows),
            classes if classes.len() <= CLASSES_MAX => self.by_merging(classes, first, rows),
            _ => self.by_distance(first, rows),
        }
    }

    /// All weights are equal: the largest scores, without logarithms.
    fn by_score(&self, class: &Class, first: u32, rows: &mut [[u16; STORED]; BLOCK]) {
        for (row, best) in rows.iter_mut().zip(class.best(first)) {
            *row = best.map(|key| self.stamp(key));
        }
    }

    fn by_merging(&self, classes: &[Class], first: u32, rows: &mut [[u16; STORED]; BLOCK]) {
        let best: Vec<[Keys; BLOCK]> = classes.iter().map(|class| class.best(first)).collect();
        for (slot, row) in rows.iter_mut().enumerate() {
            let place = |class: usize, rank: usize| match best[class][slot].get(rank) {
                None | Some(0) => Place::NOWHERE,
                Some(key) => Place::at(*key, classes[class].weight, self.stamp(*key)),
            };
            let mut heads = [(Place::NOWHERE, 0); CLASSES_MAX];
            let heads = &mut heads[..classes.len()];
            heads.iter_mut().enumerate().for_each(|(class, head)| *head = (place(class, 0), 0));
            for stamp in row {
                let nearest = (1..heads.len()).fold(0, |near, at| if heads[at].0 > heads[near].0 { at } else { near });
                let (head, rank) = &mut heads[nearest];
                *stamp = head.stamp;
                *rank += 1;
                *head = place(nearest, *rank);
            }
        }
    }

    /// The general case.
    fn by_distance(&self, first: u32, rows: &mut [[u16; STORED]; BLOCK]) {
        for (slot, row) in (first..).zip(rows) {
            let mut best = [Place::NOWHERE; STORED];
            for taker in self.takers {
                let place = Place::of(taker, slot);
                if place <= best[STORED - 1] {
                    continue;
                }
                best[STORED - 1] = place;
                let mut at = STORED - 1;
                while at > 0 && best[at] > best[at - 1] {
                    best.swap(at, at - 1);
                    at -= 1;
                }
            }
            *row = best.map(|place| place.stamp);
        }
    }

    /// `NOBODY` for the key 0, which no taker has.
    fn stamp(&self, key: u64) -> u16 {
        self.by_tie[(key & TIE_MASK) as usize]
    }
}

impl Class {
    /// The largest keys of every slot of a block; 0 where there are fewer takers.
    ///
    /// Stamps outside, slots inside: what hashing derives from the salt is derived once, and neighbouring slots do not
    /// wait for each other.
    fn best(&self, first: u32) -> [Keys; BLOCK] {
        let mut best = [[0; STORED]; BLOCK];
        let (early, late) = self.takers.split_at(self.takers.len().min(ASKED_AFTER));
        for taker in early {
            for (slot, best) in (first..).zip(&mut best) {
                insert(best, taker.key(slot));
            }
        }
        for taker in late {
            for (slot, best) in (first..).zip(&mut best) {
                let key = taker.key(slot);
                if key > best[STORED - 1] {
                    insert(best, key);
                }
            }
        }
        best
    }
}

/// Inserts without branches: which scores are large is chance, a branch would be mispredicted.
#[inline]
fn insert(best: &mut Keys, mut key: u64) {
    for place in best {
        (*place, key) = (key.max(*place), key.min(*place));
    }
}
