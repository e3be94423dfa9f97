//! Degradation by hand: setting a level for the fleet or a stamp, and taking it away.
//!
//! Invariant: what is set ends by itself, and what has ended or is for nobody leaves with the next edit.

use std::fmt;

use super::{Changed, Fleet, Refused};
use crate::{
    degradation::{Degradation, LASTS_MAX, Level, Override, check_reason},
    id::StampId,
    lifecycle::{Operation, permit},
    table::{Millis, State},
};

/// For whom a level is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Every stamp.
    Fleet,
    /// One.
    Stamp(StampId),
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fleet => f.write_str("the fleet"),
            Self::Stamp(id) => id.fmt(f),
        }
    }
}

impl Fleet {
    /// Sets a level for `lasts` milliseconds, instead of what was set before for the same. [`Level::Full`] takes it away.
    ///
    /// # Errors
    /// [`Refused::UnknownStamp`], [`Refused::Blocked`] for a deleted stamp, [`Refused::Invalid`] for a time beyond
    /// [`LASTS_MAX`] or none, and for a reason that is too long; what [`clear_degradation`](Self::clear_degradation) says.
    pub fn degrade(
        &self,
        whom: &Whom,
        level: Level,
        lasts: Millis,
        reason: &str,
        now: Millis,
    ) -> Result<Changed, Refused> {
        if level == Level::Full {
            return self.clear_degradation(whom, now);
        }
        self.may_be_degraded(whom)?;
        if !(1..=LASTS_MAX).contains(&lasts) {
            return Err(Refused::Invalid("a level that is set by hand lasts at most 24 hours, and some time".into()));
        }
        check_reason(reason).map_err(|why| Refused::Invalid(why.into()))?;
        let it = Override { level, since: now, until: now.saturating_add(lasts), reason: reason.to_owned() };
        let mut after = self.clone();
        let degradation = after.table.degradation.get_or_insert_default();
        let mut warnings = Vec::new();
        match whom {
            Whom::Fleet => degradation.fleet = Some(it),
            Whom::Stamp(id) => {
                warnings.extend(degradation.of_fleet(now).filter(|fleet| fleet.level >= level).map(|fleet| {
                    format!("the whole fleet is {fleet}: until then that counts, because the higher level does")
                }));
                degradation.stamps.insert(id.clone(), it);
            }
        }
        let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        let seconds = u32::try_from(lasts.div_ceil(1_000)).unwrap_or(u32::MAX);
        let summary = format!("degrade {whom} to {level} for {seconds} s{because}");
        self.finish(after, summary, warnings, now)
    }

    /// Takes the level away that was set for the fleet, or for a stamp; never both.
    ///
    /// # Errors
    /// [`Refused::UnknownStamp`], [`Refused::Nothing`] when none is set.
    pub fn clear_degradation(&self, whom: &Whom, now: Millis) -> Result<Changed, Refused> {
        if let Whom::Stamp(id) = whom {
            self.find(id)?;
        }
        let mut after = self.clone();
        let mut degradation = after.table.degradation.take().unwrap_or_default();
        let gone = match whom {
            Whom::Fleet => degradation.fleet.take(),
            Whom::Stamp(id) => degradation.stamps.remove(id),
        };
        if gone.is_none_or(|gone| now >= gone.until) {
            return Err(Refused::Nothing(format!("no level is set for {whom}{}", others(&degradation, now))));
        }
        let left = others(&degradation, now);
        let warnings = if left.is_empty() { vec![] } else { vec![format!("only {whom} is cleared{left}")] };
        after.table.degradation = Some(degradation);
        self.finish(after, format!("end the degradation of {whom}"), warnings, now)
    }

    fn may_be_degraded(&self, whom: &Whom) -> Result<(), Refused> {
        let Whom::Stamp(id) = whom else { return Ok(()) };
        match self.find(id)?.state {
            // a drain forbids changes, but not to relieve what it still serves
            state @ State::Deleted => {
                permit(state, Operation::Configure).map_err(|blocked| Refused::Blocked { stamp: id.clone(), blocked })
            }
            _ => Ok(()),
        }
    }

    /// Drops what has ended and what is for a stamp that is gone.
    pub(super) fn forget_degradation(&mut self, now: Millis) {
        let Some(mut degradation) = self.table.degradation.take() else { return };
        degradation.fleet = degradation.fleet.filter(|it| now < it.until);
        let here = |id: &StampId| self.table.stamp(id.as_str()).is_some_and(|stamp| stamp.state != State::Deleted);
        degradation.stamps.retain(|id, it| now < it.until && here(id));
        self.table.degradation = Some(degradation).filter(|it| !it.is_empty());
    }
}

/// `; still set: synaxis-weu-001 maintenance until …`, as far as anything is.
fn others(degradation: &Degradation, now: Millis) -> String {
    const SHOWN: usize = 8;
    let set: Vec<_> = degradation.all().filter(|(_, it)| now < it.until).collect();
    if set.is_empty() {
        return String::new();
    }
    let shown = super::join(set.iter().take(SHOWN).map(|(whose, it)| format!("{whose} {it}")));
    let more = set.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("; still set: {shown}{more}")
}
