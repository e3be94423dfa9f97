//! Whether a failed attempt is followed by another one, and when.
//!
//! [`mod@verdict`] is the design's table of retries: what kind of retry there may be at all. [`budget`] holds what retries may
//! cost an upstream. Invariant: a retry that the table calls charged is sent only if the budget gave it away.

pub mod budget;
pub mod verdict;

use std::time::Duration;

pub use budget::Budget;
pub use verdict::{Ask, Decision, Reason, verdict};

/// How often a request is tried, and how long it pauses in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Attempts of one request at most, the first among them.
    pub attempts_max: u32,
    /// Pause before the first retry.
    pub first: Duration,
    /// Longest pause, before chance is added.
    pub longest: Duration,
}

impl Default for Limits {
    /// 4 attempts; 100 ms, 2 s.
    fn default() -> Self {
        Self { attempts_max: 4, first: Duration::from_millis(100), longest: Duration::from_secs(2) }
    }
}

impl Limits {
    /// The pause before the `retry`-th retry, counted from 1: the first one doubled each time, ± 10 % so that requests which
    /// failed together do not come back together. `chance` is from 0 to 1.
    #[must_use]
    pub fn pause(&self, retry: u32, chance: f64) -> Duration {
        let doubled = 2_u32.checked_pow(retry.saturating_sub(1)).and_then(|factor| self.first.checked_mul(factor));
        let pause = doubled.map_or(self.longest, |pause| pause.min(self.longest));
        pause.mul_f64(0.9 + 0.2 * chance.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_two_seconds() {
        for (retry, millis) in
            [(0, 100), (1, 100), (2, 200), (3, 400), (4, 800), (5, 1_600), (6, 2_000), (40, 2_000), (u32::MAX, 2_000)]
        {
            assert_eq!(Limits::default().pause(retry, 0.5).as_millis(), millis, "retry {retry}");
        }
    }

    #[test]
    fn chance_moves_a_pause_by_a_tenth_at_most() {
        for (chance, millis) in [(0.0, 90), (1.0, 110), (-5.0, 90), (5.0, 110)] {
            assert_eq!(Limits::default().pause(1, chance).as_millis(), millis, "at {chance}");
        }
        assert_eq!(Limits::default().pause(9, 1.0).as_millis(), 2_200);
    }
}
