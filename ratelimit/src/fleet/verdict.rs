//! What became of a request that asked the fleet, and what may become of it without the store.

use super::cell::Taken;
use crate::decision::Standing;

/// What happens to requests while the store does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnStoreFailure {
    /// This process admits its own part of the quota.
    #[default]
    Share,
    /// All are admitted.
    Open,
    /// None is.
    Closed,
}

impl OnStoreFailure {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Share, Self::Open, Self::Closed];

    /// As settings write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Share => "share",
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// Who has decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The store, or a lease that came from it.
    Store,
    /// This process alone: the store did not answer in time, or is away.
    Alone,
}

/// What became of a request.
#[derive(Debug)]
#[must_use]
pub struct Verdict {
    /// Its token, or when to come again.
    pub taken: Result<Taken, Standing>,
    /// Who has decided.
    pub by: By,
    /// When, in nanoseconds of the process's clock.
    pub at: u64,
}
