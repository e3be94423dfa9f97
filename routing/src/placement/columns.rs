//! Dense columns of ranks: for every slot the first four stamps of one region (or of the fleet).
//!
//! The first column is the hot one: 128 KiB at 65,536 slots. Its words carry two flags beside the stamp, so that one read
//! decides whether anything else needs to be looked at.

use super::{Member, StampIndex};
use crate::rank::{BLOCK, NOBODY, Ranker, STORED, Taker};

/// A listed tenant with a rule of its own hashes to this slot.
const LISTED: u16 = 1 << 15;
/// The first rank drains or ramps.
const MOVES: u16 = 1 << 14;
const STAMP: u16 = !(LISTED | MOVES);

#[derive(Debug)]
pub(super) struct Columns {
    ranks: [Box<[u16]>; STORED],
    pub(super) takers: Box<[Taker]>,
}

impl Columns {
    pub(super) fn build(takers: Vec<Taker>, slots_log2: u8, members: &[Member], listed_slots: &[u32]) -> Self {
        if takers.is_empty() {
            return Self { ranks: Default::default(), takers: Box::default() };
        }
        let slots = 1u32 << slots_log2;
        let ranker = Ranker::new(&takers);
        let mut ranks: [Box<[u16]>; STORED] = std::array::from_fn(|_| vec![NOBODY; slots as usize].into_boxed_slice());
        let mut rows = [[NOBODY; STORED]; BLOCK];
        for start in (0..slots).step_by(BLOCK) {
            ranker.rank(start, &mut rows);
            for (rank, column) in ranks.iter_mut().enumerate() {
                let block = &mut column[start as usize..][..BLOCK];
                block.iter_mut().zip(&rows).for_each(|(word, row)| *word = row[rank]);
            }
        }
        let first = &mut ranks[0];
        if takers.iter().any(|taker| !members[usize::from(taker.stamp)].is_steady()) {
            for word in first.iter_mut() {
                if !members[usize::from(*word & STAMP)].is_steady() {
                    *word |= MOVES;
                }
            }
        }
        for slot in listed_slots {
            if let Some(word) = first.get_mut(*slot as usize) {
                *word |= LISTED;
            }
        }
        drop(ranker);
        Self { ranks, takers: takers.into() }
    }

    pub(super) fn has_takers(&self) -> bool {
        !self.takers.is_empty()
    }

    /// The first rank, when nothing else can matter: it is Active with p = 1 and no listed tenant shares the slot.
    #[inline]
    pub(super) fn plain_owner(&self, slot: u32) -> Option<StampIndex> {
        let word = *self.ranks[0].get(slot as usize)?;
        (word & !STAMP == 0).then_some(StampIndex(word))
    }

    /// The stamp of a stored rank, counted from 0.
    #[inline]
    pub(super) fn rank(&self, rank: usize, slot: u32) -> Option<u16> {
        let word = *self.ranks.get(rank)?.get(slot as usize)? & STAMP;
        (word != NOBODY).then_some(word)
    }

    /// All stored ranks; `NOBODY` where there are fewer takers.
    pub(super) fn stored(&self, slot: u32) -> [u16; STORED] {
        std::array::from_fn(|rank| self.rank(rank, slot).unwrap_or(NOBODY))
    }
}
