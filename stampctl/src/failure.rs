//! Exit codes: what a script may conclude without reading the text.
//!
//! Invariant: each code has one meaning. 0 done (or nothing to do), 1 failed, 2 wrong usage, 3 a wait timed out (the
//! change itself is published), 4 not found, 5 the state machine, a guard or the loss rule forbids it, 6 lost a race:
//! somebody else published in between, repeat.

use synaxis_routing::{change::Refused, sanity::Refusal};

/// Why a command ends with another code than 0.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// 1: anything that is none of the others: the store is away, a file is damaged, proxies disagree.
    #[error("{0}")]
    Failed(String),
    /// 2: the command line cannot mean anything.
    #[error("{0}")]
    Usage(String),
    /// 3: not everything that was waited for has happened.
    #[error("{0}")]
    TimedOut(String),
    /// 4: no such stamp, tenant, region, epoch or table.
    #[error("{0}")]
    NotFound(String),
    /// 5: a rule forbids it.
    #[error("{0}")]
    Forbidden(String),
    /// 6: the table changed between reading and publishing.
    #[error("{0}")]
    Race(String),
}

impl Failure {
    /// The exit code.
    pub(crate) const fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::TimedOut(_) => 3,
            Self::NotFound(_) => 4,
            Self::Forbidden(_) => 5,
            Self::Race(_) => 6,
        }
    }

    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self::Failed(text.into())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        let text = refused.to_string();
        match refused {
            Refused::UnknownStamp(_) | Refused::UnknownRegion { .. } | Refused::NotPinned(_) => Self::NotFound(text),
            Refused::Illegal { .. }
            | Refused::Blocked { .. }
            | Refused::StillDraining(_)
            | Refused::StrictlyPinned { .. }
            | Refused::Guarded(_)
            | Refused::LastTaker(_)
            | Refused::NoRoom(_)
            | Refused::Residency { .. } => Self::Forbidden(text),
            Refused::Exists { .. }
            | Refused::Retired(_)
            | Refused::Invalid(_)
            | Refused::InvalidTier(_)
            | Refused::InvalidLimit(_)
            | Refused::Full(_)
            | Refused::Nothing(_) => Self::Failed(text),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            Refusal::Shrink { .. } | Refusal::NoTakers => Self::Forbidden(text),
            _ => Self::Failed(text),
        }
    }
}
