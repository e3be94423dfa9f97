//! What a stamp that served in place of a tenant's owner tells it: what you have kept of this tenant may be old.
//!
//! Notices are entries of one capped stream in the routing store. Every stamp reads it like the table, with hints and a poll,
//! from the last entry that it knows, and takes what names itself.
//!
//! Invariant: who has read up to a place has missed nothing before it, or is told of the gap. What names a stamp and is not
//! understood means all of its tenants.

use std::{collections::VecDeque, num::ParseIntError};

use serde::{Deserialize, Serialize};

use crate::id::{StampId, TENANT_BYTES_MAX, TenantId};

/// Notices that the stream keeps, about.
pub const NOTICES_MAX: usize = 16_384;
/// Most entries that are read at a time.
pub const PAGE_MAX: usize = 1_024;
/// Stands for all tenants; no tenant is called that.
const EVERYBODY: &str = "*";

/// A tenant was written to elsewhere than at its owner.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Notice {
    /// The owner, whom this is for.
    pub stamp: StampId,
    /// The tenant; `None`: any of them.
    pub tenant: Option<TenantId>,
}

impl Notice {
    /// The tenant as written.
    pub(crate) fn word(&self) -> &str {
        self.tenant.as_ref().map_or(EVERYBODY, TenantId::as_str)
    }
}

/// Up to where somebody has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which run of which server.
    pub(crate) run: String,
    /// The id of the last entry: two numbers.
    pub(crate) id: String,
}

impl Place {
    /// `None`: the store says what is no place.
    pub(crate) fn of(run: &str, id: &str) -> Option<Self> {
        let number = |text: &str| text.parse::<u64>().map_err(|_: ParseIntError| ()).ok();
        let (millis, sequence) = id.split_once('-')?;
        let is_sound = number(millis).is_some() && number(sequence).is_some() && run.len() <= 64;
        is_sound.then(|| Self { run: run.to_owned(), id: id.to_owned() })
    }
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Read up to here.
    pub place: Place,
    /// What came before the place is not known: there was none to go on from, or what came after it is gone.
    pub has_gap: bool,
    /// Nothing was left.
    pub is_end: bool,
    /// Any tenant may have been written to.
    pub everybody: bool,
    /// These were.
    pub tenants: Vec<TenantId>,
    /// Entries that were not understood.
    pub not_understood: u64,
}

impl Page {
    /// A page with nothing on it.
    pub(crate) fn blank(place: Place, has_gap: bool) -> Self {
        Self { place, has_gap, is_end: true, everybody: false, tenants: Vec::new(), not_understood: 0 }
    }

    /// Takes what an entry that names the reader says of a tenant.
    pub(crate) fn take(&mut self, word: &[u8]) {
        if word == EVERYBODY.as_bytes() {
            self.everybody = true;
        } else if let Ok(tenant) = TenantId::parse(word) {
            self.tenants.push(tenant);
        } else {
            self.not_understood += 1;
            self.everybody = true;
        }
    }
}

/// Longest word in the place of a tenant that is read, in bytes.
pub(crate) const WORD_BYTES_MAX: usize = TENANT_BYTES_MAX;

/// The notices of a store that holds them itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Notices {
    last: u64,
    kept: VecDeque<(u64, StampId, String)>,
}

impl Notices {
    pub(crate) fn append(&mut self, notices: &[Notice]) {
        for notice in notices {
            self.last += 1;
            self.kept.push_back((self.last, notice.stamp.clone(), notice.word().to_owned()));
        }
        let extra = self.kept.len().saturating_sub(NOTICES_MAX);
        self.kept.drain(..extra);
    }

    /// The number of the last one.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    pub(crate) fn read(&self, stamp: &StampId, after: Option<&Place>) -> Page {
        let place = |id: u64| Place { run: String::new(), id: format!("{id}-0") };
        let read = after.and_then(|place| place.id.split_once('-')?.0.parse::<u64>().ok());
        let oldest = self.kept.front().map_or(self.last + 1, |(id, ..)| *id);
        let Some(read) = read.filter(|read| *read <= self.last && *read + 1 >= oldest) else {
            return Page::blank(place(self.last), true);
        };
        let mut page = Page::blank(place(read), false);
        let news = self.kept.iter().skip_while(|(id, ..)| *id <= read);
        for (id, named, word) in news.take(PAGE_MAX) {
            if named == stamp {
                page.take(word.as_bytes());
            }
            page.place = place(*id);
            page.is_end = *id == self.last;
        }
        page
    }
}
