//! What a limiter says of a request, and which of several limits presses most.
//!
//! Invariant: what was taken can be given back once, and only what was taken.

use std::cmp::Reverse;

use crate::{bucket::Shape, cells::Charged, quota::Quota};

const SECOND: u64 = 1_000_000_000;

/// How full a bucket is at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What it is filled by.
    pub quota: Quota,
    /// Requests that may come now.
    pub remaining: u32,
    /// Nanoseconds until one may come; 0 exactly if one may come now.
    pub retry: u64,
    /// Nanoseconds until the bucket is full.
    pub reset: u64,
}

impl Standing {
    pub(crate) fn new(quota: Quota, shape: Shape, tat: u64, now: u64) -> Self {
        let missing = tat.saturating_sub(now);
        let room = shape.fill().saturating_sub(missing) / shape.interval;
        Self {
            quota,
            remaining: u32::try_from(room).unwrap_or(shape.burst),
            retry: missing.saturating_sub(shape.fill() - shape.interval),
            reset: missing,
        }
    }

    /// Seconds until one may come, rounded up: who waits them is not early.
    #[must_use]
    pub fn retry_seconds(&self) -> u64 {
        self.retry.div_ceil(SECOND)
    }

    /// Seconds until the bucket is full, rounded up.
    #[must_use]
    pub fn reset_seconds(&self) -> u64 {
        self.reset.div_ceil(SECOND)
    }
}

/// A token that was taken from a bucket.
///
/// Can be refunded while it exists, and is neither copied nor cloned: nothing is given back twice.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    /// How full the bucket is without it.
    pub standing: Standing,
    pub(crate) tat: u64,
    pub(crate) charged: Charged,
}

/// Whether a request may pass one limit.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    /// It may, and its token is gone.
    Allowed(Taken),
    /// It may not, and nothing has changed.
    Refused(Standing),
}

impl Decision {
    /// Whether it may pass.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }

    /// How full the bucket is after the decision.
    #[must_use]
    pub fn standing(&self) -> &Standing {
        match self {
            Self::Allowed(taken) => &taken.standing,
            Self::Refused(standing) => standing,
        }
    }
}

/// Of several limits that one request met, the one to tell its client: what makes it wait longest, else what lets fewest
/// more come, else what takes longest to be full. The first of equals.
pub fn tightest<'a, T>(limits: impl IntoIterator<Item = (T, &'a Standing)>) -> Option<(T, &'a Standing)> {
    limits.into_iter().min_by_key(|(_, at)| (Reverse(at.retry), at.remaining, Reverse(at.reset)))
}
