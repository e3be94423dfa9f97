//! Edits of the whole table: rollback to an earlier content, restoring one from a proxy or a file.
//!
//! Invariant: what is deleted stays deleted. Whatever content comes back, a stamp whose tombstone or retired id the
//! current table holds is not revived: its machines are gone.

use super::{Changed, Fleet, Guarded, Overrides, Refused};
use crate::{
    id::StampId,
    table::{Millis, Previous, State},
    version::Version,
};

impl Fleet {
    /// Publishes the content of an earlier table as the next epoch.
    ///
    /// # Errors
    /// [`Refused::StrictlyPinned`] when the content pins a tenant strictly to a stamp deleted since,
    /// [`Refused::LastTaker`] when it has no stamp that takes slots, [`Refused::Guarded`] when it has none that is Active
    /// and `overrides.last` is not set, [`Refused::Nothing`].
    pub fn rollback(&self, old: &Self, overrides: Overrides, now: Millis) -> Result<Changed, Refused> {
        if old.version() == self.version() {
            return Err(Refused::Nothing(format!("epoch {} is the current one", old.table.epoch)));
        }
        let mut after = old.clone();
        // it is about now, not about content: nobody who undoes a drain means to end a maintenance, or to begin it anew
        after.table.degradation = self.table.degradation.clone();
        let warnings = after.keep_deleted(self)?;
        if let Some(taker) = self.table.takers().next() {
            self.keeps_a_taker(&after, &taker.id)?;
        }
        let active = |fleet: &Self| fleet.table.takers().find(|stamp| stamp.state == State::Active).cloned();
        if let (Some(stamp), None, false) = (active(self), active(&after), overrides.last) {
            let reasons = vec!["no active stamp would remain in the whole fleet".to_owned()];
            return Err(Guarded { stamp: stamp.id, reasons, flag: "--last" }.into());
        }
        self.finish(after, format!("roll back to the content of epoch {}", old.table.epoch), warnings, now)
    }

    /// Puts a table back that a proxy or a file remembers, newer than everything in `shown` (what the store's head says,
    /// what proxies acknowledged, what they were seen to have applied) and than the content itself: the highest term + 1,
    /// the highest epoch + 1. `current` is what the store holds, if that can be read.
    ///
    /// # Errors
    /// [`Refused::StrictlyPinned`] as for a rollback; [`Refused::Invalid`] when a counter is exhausted.
    pub fn restore(
        content: &Self,
        current: Option<&Self>,
        shown: &[Version],
        how: &str,
        now: Millis,
    ) -> Result<Changed, Refused> {
        let versions = || shown.iter().copied().chain([content.version()]).chain(current.map(Self::version));
        let term = versions().map(|version| version.term).max().unwrap_or_default();
        let epoch = versions().map(|version| version.epoch).max().unwrap_or_default();
        let highest = Version::new(term, epoch);
        let version = highest.next_term();
        if version.term == term || version.epoch == epoch {
            return Err(Refused::Invalid("the counters of the table are exhausted".into()));
        }
        let from = content.version();
        let mut after = content.clone();
        let mut warnings = match current {
            Some(current) => after.keep_deleted(current)?,
            None => vec![],
        };
        if let Some(current) = current {
            let moved = current.table.seed != after.table.seed || current.table.slots_log2 != after.table.slots_log2;
            if moved && current.table.takers().next().is_some() {
                warnings.push(
                    "its seed or number of slots differs from the current table's: nearly every tenant moves"
                        .to_owned(),
                );
            }
        }
        after.table.term = version.term;
        after.table.epoch = version.epoch;
        // the yardstick is what it replaces; without that, its own content
        let before = current.unwrap_or(content).yardstick();
        after.table.previous = Previous { epoch, takers: before.takers };
        after.seal(current, format!("{how}: restore the content of {from} as {version}"), warnings, now)
    }

    /// Carries tombstones and retired ids of `current` over to this content, and tidies the pins to them.
    fn keep_deleted(&mut self, current: &Self) -> Result<Vec<String>, Refused> {
        let mut warnings = Vec::new();
        for id in &current.table.retired {
            if !self.table.retired.contains(id) {
                self.table.retired.push(id.clone());
            }
        }
        let tombstones = current.table.stamps.iter().filter(|stamp| stamp.state == State::Deleted);
        let mut gone: Vec<StampId> = current.table.retired.clone();
        for tombstone in tombstones {
            gone.push(tombstone.id.clone());
            self.table.retired.retain(|id| *id != tombstone.id);
            match self.table.stamps.iter_mut().find(|stamp| stamp.id == tombstone.id) {
                Some(stamp) if stamp.state != State::Deleted => {
                    warnings.push(format!("{} was deleted since and stays deleted", stamp.id));
                    *stamp = tombstone.clone();
                }
                Some(_) => {}
                None => self.table.stamps.push(tombstone.clone()),
            }
        }
        self.table.stamps.retain(|stamp| !current.table.retired.contains(&stamp.id));
        for id in &gone {
            let tenants = self.strictly_pinned(id);
            if !tenants.is_empty() {
                return Err(Refused::StrictlyPinned { stamp: id.clone(), tenants });
            }
            warnings.extend(self.drop_preferred_pins(id));
        }
        Ok(warnings)
    }
}
