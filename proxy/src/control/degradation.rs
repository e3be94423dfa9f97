//! How much of the service this stamp still offers: the level of degradation, and why.
//!
//! Invariant: the level is what the highest failing trigger asks for, entered at once and left only after that trigger has
//! been well for a while, and at least what an operator's override says. Only `full` is more than that: it replaces what is
//! watched, for an operator who knows that a probe is wrong. What the triggers ask for is followed all the while, so when an
//! override ends, the level is theirs at once. Of two overrides the higher one holds: the two who gave them may not know of
//! each other, and neither can lift the other's.

pub mod keeper;
pub(super) mod page;
mod reason;
mod simulate;
#[cfg(test)]
mod tests;

pub use synaxis_routing::degradation::Level;

pub use reason::{Cause, Reason};
pub use simulate::{Preview, Unknown, simulate};

/// The settings; they come with every call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a trigger must be well before its level is left, in milliseconds.
    pub leave_after_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { leave_after_ms: 10_000 }
    }
}

/// Something that is watched: a dependency, or a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trigger<'a> {
    /// Its name in the configuration; no two have the same.
    pub name: &'a str,
    /// The level that it asks for while it fails.
    pub asks: Level,
    /// Whether the dependency is down, or the breaker open.
    pub failing: bool,
}

/// An operator's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Override {
    /// The level to be at.
    pub level: Level,
    /// From when on it is void, in milliseconds of the process's clock.
    pub until: u64,
}

/// What the level depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inputs<'a> {
    /// Everything that is watched. One that is no longer among them asks for nothing: nobody would see it get well.
    pub triggers: &'a [Trigger<'a>],
    /// For every stamp, from the routing table.
    pub fleet: Option<Override>,
    /// For this stamp, by its admin API.
    pub local: Option<Override>,
}

/// The level has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it was.
    pub from: Level,
    /// What it is.
    pub to: Level,
    /// Everything that asks for a level, first what decides; nothing when all is well.
    pub why: Vec<Reason>,
}

/// A trigger that asks for its level.
#[derive(Clone, Debug)]
struct Held {
    name: String,
    asks: Level,
    /// Since when it is seen to be well again, without a break.
    well_since: Option<u64>,
}

/// The level and what holds it. Time is milliseconds of the process's monotonic clock.
#[derive(Clone, Debug, Default)]
pub struct Degradation {
    level: Level,
    /// At most one for each trigger of the last update.
    held: Vec<Held>,
    fleet: Option<Override>,
    local: Option<Override>,
}

impl Degradation {
    /// The level of the last update.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// Whether the whole fleet is told to be at this level, so that it does not depend on who serves.
    #[must_use]
    pub fn is_fleet_wide(&self) -> bool {
        self.fleet.is_some_and(|fleet| fleet.level == self.level)
    }

    /// Looks at what there is now. To be called whenever an input changes, and about once a second for what time changes.
    pub fn update(&mut self, now: u64, limits: &Limits, inputs: &Inputs<'_>) -> Option<Change> {
        self.held.retain(|held| inputs.triggers.iter().any(|trigger| trigger.name == held.name));
        for trigger in inputs.triggers {
            self.watch(trigger, now);
        }
        self.held.retain(|held| reason::well_in(held, now, limits) != Some(0));
        self.fleet = inputs.fleet.filter(|fleet| now < fleet.until);
        self.local = inputs.local.filter(|local| now < local.until);

        let from = self.level;
        let asked = self.held.iter().map(|held| held.asks).max().unwrap_or_default();
        self.level = match self.told() {
            None => asked,
            Some(Level::Full) => Level::Full,
            // whoever gives something up for another reason has not said that the database is well
            Some(told) => told.max(asked),
        };
        (self.level != from).then(|| Change { from, to: self.level, why: self.why(now, limits) })
    }

    /// What operators say: the higher of their levels.
    fn told(&self) -> Option<Level> {
        [self.fleet, self.local].into_iter().flatten().map(|told| told.level).max()
    }

    fn watch(&mut self, trigger: &Trigger<'_>, now: u64) {
        match self.held.iter_mut().find(|held| held.name == trigger.name) {
            Some(held) => {
                held.asks = trigger.asks;
                held.well_since = if trigger.failing { None } else { held.well_since.or(Some(now)) };
            }
            None if trigger.failing => {
                self.held.push(Held { name: trigger.name.to_owned(), asks: trigger.asks, well_since: None });
            }
            None => {}
        }
    }

    /// Everything that asks for a level, first what decides, with what that leaves without effect.
    #[must_use]
    pub fn why(&self, now: u64, limits: &Limits) -> Vec<Reason> {
        let mut why: Vec<_> = self.held.iter().map(|held| Reason::of_trigger(held, now, limits)).collect();
        why.extend(self.fleet.map(|told| Reason::of_fleet(told, now)));
        why.extend(self.local.map(|told| Reason::of_stamp(told, now)));
        let full = self.told() == Some(Level::Full);
        why.sort_by(|a, b| a.precedence(full).cmp(&b.precedence(full)));
        why
    }
}
