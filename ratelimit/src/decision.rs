//! What a limiter says of a request, and which of several limits presses most.
//!
//! Invariant: what was taken can be given back once, and only what was taken.

use std::cmp::Reverse;

use crate::{bucket::Shape, cells::Charged, quota::Quota};

const SECOND: u64 = 1_000_000_000;

/// How full a bucket is at an instant.
///
/// Only the instants are compared when it is made; what they mean is worked out for who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    quota: Quota,
    /// Nanoseconds until it is full.
    missing: u64,
}

impl Standing {
    pub(crate) fn new(quota: Quota, tat: u64, now: u64) -> Self {
        Self { quota, missing: tat.saturating_sub(now) }
    }

    /// What fills the bucket, and its size.
    #[must_use]
    pub fn quota(&self) -> Quota {
        self.quota
    }

    /// All of it.
    #[must_use]
    pub fn reading(&self) -> Reading {
        Reading::new(Shape::of(self.quota), self.missing)
    }

    /// Requests that may come now.
    #[must_use]
    pub fn remaining(&self) -> u32 {
        let shape = Shape::of(self.quota);
        let tokens = shape.fill().saturating_sub(self.missing) / shape.interval;
        u32::try_from(tokens).unwrap_or(shape.burst)
    }

    /// Nanoseconds until a request may come; 0 exactly if one may come now.
    #[must_use]
    pub fn retry(&self) -> u64 {
        let shape = Shape::of(self.quota);
        self.missing.saturating_sub(shape.fill() - shape.interval)
    }

    /// Seconds until a request may come, rounded up: who waits them is not early.
    #[must_use]
    pub fn retry_seconds(&self) -> u64 {
        self.retry().div_ceil(SECOND)
    }

    /// Nanoseconds until the bucket is full.
    #[must_use]
    pub fn reset(&self) -> u64 {
        self.missing
    }

    /// Seconds until the bucket is full, rounded up.
    #[must_use]
    pub fn reset_seconds(&self) -> u64 {
        self.missing.div_ceil(SECOND)
    }
}

/// The same in numbers, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Requests that may come now.
    pub remaining: u32,
    /// Seconds until one may; 0 if one may now.
    pub retry_seconds: u64,
    /// Seconds until the bucket is full.
    pub reset_seconds: u64,
}

impl Reading {
    /// Of a bucket of this shape that is full in so many nanoseconds.
    pub(crate) fn new(shape: Shape, missing: u64) -> Self {
        let tokens = shape.fill().saturating_sub(missing) / shape.interval;
        let retry = missing.saturating_sub(shape.fill() - shape.interval);
        Self {
            remaining: u32::try_from(tokens).unwrap_or(shape.burst),
            retry_seconds: retry.div_ceil(SECOND),
            reset_seconds: missing.div_ceil(SECOND),
        }
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
    limits.into_iter().min_by_key(|(_, at)| (Reverse(at.retry()), at.remaining(), Reverse(at.reset())))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn standing(requests: u32, burst: u32, missing: u64) -> Standing {
        let quota = Quota::new(requests, Duration::from_secs(60), Some(burst)).unwrap();
        Standing::new(quota, 1 + missing, 1)
    }

    #[test]
    fn seconds_are_rounded_up_and_tokens_down() {
        for (standing, remaining, retry, reset) in [
            (standing(5, 1, 0), 1, 0, 0),
            (standing(5, 1, 1), 0, 1, 1),
            (standing(5, 1, SECOND), 0, 1, 1),
            (standing(5, 1, SECOND + 1), 0, 2, 2),
            (standing(5, 1, 12 * SECOND), 0, 12, 12),
            // 12 tokens of 5 s each
            (standing(23, 12, 60 * SECOND), 0, 5, 60),
            (standing(23, 12, 55 * SECOND + 1), 0, 1, 56),
            (standing(23, 12, 55 * SECOND), 1, 0, 55),
            (standing(23, 12, 1), 11, 0, 1),
            // carried over from a larger bucket
            (standing(23, 12, 70 * SECOND), 0, 15, 70),
        ] {
            let told = (standing.remaining(), standing.retry_seconds(), standing.reset_seconds());
            assert_eq!(told, (remaining, retry, reset), "{standing:?}");
        }
    }

    #[test]
    fn the_tightest_limit_is_the_longest_wait_then_the_fewest_requests() {
        let check = |limits: &[Standing], expected| {
            assert_eq!(tightest(limits.iter().enumerate()).map(|(at, _)| at), expected, "{limits:?}");
        };
        check(&[], None);
        // three left, eleven left, one left
        check(&[standing(23, 12, 45 * SECOND), standing(23, 12, 1), standing(5, 1, 0)], Some(2));
        check(&[standing(5, 1, SECOND), standing(23, 12, 60 * SECOND), standing(5, 1, 0)], Some(1));
        // both refuse; the second is full later, but lets the next one pass sooner
        check(&[standing(5, 1, 12 * SECOND), standing(23, 12, 60 * SECOND)], Some(0));
        // as many left: the one that takes longer; of equals the first
        check(&[standing(23, 12, 6 * SECOND), standing(23, 12, 7 * SECOND), standing(23, 12, 7 * SECOND)], Some(1));
    }
}
