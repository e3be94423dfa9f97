//! Why a level is what it is, for logs and the explain page.

use std::{cmp::Reverse, fmt};

use super::{Held, Level, Limits, Override};

/// Something that asks for a level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The level.
    pub level: Level,
    /// What asks for it.
    pub cause: Cause,
}

/// What asks for a level. Times are milliseconds from now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// An override for every stamp.
    Fleet {
        /// When it ends.
        ends_in_ms: u64,
    },
    /// An override for this stamp.
    Stamp {
        /// When it ends.
        ends_in_ms: u64,
    },
    /// A trigger that fails.
    Failing {
        /// Its name.
        name: String,
    },
    /// A trigger that has failed and is well again, but not for long enough.
    Recovering {
        /// Its name.
        name: String,
        /// When it is well for long enough.
        well_in_ms: u64,
    },
}

impl Reason {
    pub(super) fn of_trigger(held: &Held, now: u64, limits: &Limits) -> Self {
        let name = held.name.clone();
        let cause = match well_in(held, now, limits) {
            Some(well_in_ms) => Cause::Recovering { name, well_in_ms },
            None => Cause::Failing { name },
        };
        Self { level: held.asks, cause }
    }

    pub(super) fn of_fleet(told: Override, now: u64) -> Self {
        Self { level: told.level, cause: Cause::Fleet { ends_in_ms: told.until.saturating_sub(now) } }
    }

    pub(super) fn of_stamp(told: Override, now: u64) -> Self {
        Self { level: told.level, cause: Cause::Stamp { ends_in_ms: told.until.saturating_sub(now) } }
    }

    /// The first is what decides: the highest level, of equals an operator's; with `full`, which is the highest that operators
    /// say, theirs first of all.
    pub(super) fn precedence(&self, full: bool) -> (bool, Reverse<Level>, u8, &str) {
        let (rank, name) = match &self.cause {
            Cause::Fleet { .. } => (0, "fleet"),
            Cause::Stamp { .. } => (1, "stamp"),
            Cause::Failing { name } | Cause::Recovering { name, .. } => (2, name.as_str()),
        };
        (full && rank == 2, Reverse(self.level), rank, name)
    }
}

/// How long a held trigger must still be well, in milliseconds; `None` while it fails.
pub(super) fn well_in(held: &Held, now: u64, limits: &Limits) -> Option<u64> {
    held.well_since.map(|since| limits.leave_after_ms.saturating_sub(now.saturating_sub(since)))
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = self.level;
        let seconds = |ms: &u64| ms.div_ceil(1_000);
        match &self.cause {
            Cause::Fleet { ends_in_ms } => {
                write!(f, "an operator has set {level} for the whole fleet, for another {} s", seconds(ends_in_ms))
            }
            Cause::Stamp { ends_in_ms } => {
                write!(f, "an operator has set {level} for this stamp, for another {} s", seconds(ends_in_ms))
            }
            Cause::Failing { name } => write!(f, "{name} is down and asks for {level}"),
            Cause::Recovering { name, well_in_ms } => {
                write!(f, "{name} is up again and asks for {level} for another {} s", seconds(well_in_ms))
            }
        }
    }
}
