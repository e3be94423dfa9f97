//! So many requests in so much time, and what follows from it.
//!
//! Invariant: whatever is derived from a quota is rounded so that no half-open window of its length ever admits more than
//! it says.

use std::time::Duration;

mod text;

pub use text::InvalidQuota;

/// Most requests that a quota can name.
pub const REQUESTS_MAX: u32 = 100_000_000;
/// Shortest window.
pub const WINDOW_MIN: Duration = Duration::from_secs(1);
/// Longest window.
pub const WINDOW_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Longest that a bucket may take from empty to full: instants and buckets are counted in nanoseconds, in 64 bits.
pub const FILL_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// At most `requests` in any half-open window of length `window`, of which `burst` may come at once.
///
/// A bucket of `burst` tokens that gets one back every [`interval`](Self::interval), that is (n - B + 1) in a window: what a
/// full bucket gives at once and what it gets back before the window ends are then exactly n. (The generic cell rate
/// algorithm, ITU-T I.371, with increment T = `interval` and limit tau = (B - 1) T.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    requests: u32,
    window: Duration,
    burst: u32,
}

/// Why numbers are no quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Impossible {
    /// None, or too many.
    #[error("a quota is 1 to {REQUESTS_MAX} requests")]
    Requests,
    /// Too short or too long.
    #[error("the window of a quota is {WINDOW_MIN:?} to 24 h")]
    Window,
    /// Nothing could ever pass, or more than the quota at once.
    #[error("the burst of this quota is 1 to {0}: what may come at once is part of what may come in a window")]
    Burst(u32),
    /// The bucket would hardly ever be full.
    #[error("this burst would take more than 10 years to come back: what comes at once is taken off what comes back")]
    Fill,
}

impl Quota {
    /// One request in the shortest window.
    pub(crate) const SMALLEST: Self = Self { requests: 1, window: WINDOW_MIN, burst: 1 };

    /// `requests` in `window`; without a burst a tenth of them, at least 1, may come at once.
    ///
    /// # Errors
    /// A number is out of its range.
    pub fn new(requests: u32, window: Duration, burst: Option<u32>) -> Result<Self, Impossible> {
        if !(1..=REQUESTS_MAX).contains(&requests) {
            return Err(Impossible::Requests);
        }
        if !(WINDOW_MIN..=WINDOW_MAX).contains(&window) {
            return Err(Impossible::Window);
        }
        let burst = burst.unwrap_or((requests / 10).max(1));
        if !(1..=requests).contains(&burst) {
            return Err(Impossible::Burst(requests));
        }
        let quota = Self { requests, window, burst };
        if u128::from(quota.interval()) * u128::from(burst) > FILL_MAX.as_nanos() {
            return Err(Impossible::Fill);
        }
        Ok(quota)
    }

    /// Requests in a window.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.requests
    }

    /// The window.
    #[must_use]
    pub fn window(&self) -> Duration {
        self.window
    }

    /// Requests at once.
    #[must_use]
    pub fn burst(&self) -> u32 {
        self.burst
    }

    /// Tokens that come back in a window.
    fn refill(&self) -> u32 {
        self.requests - self.burst + 1
    }

    /// Nanoseconds until a token comes back, rounded up.
    #[must_use]
    pub fn interval(&self) -> u64 {
        let window = u64::try_from(self.window.as_nanos()).unwrap_or(u64::MAX);
        window.div_ceil(u64::from(self.refill()))
    }

    /// Tokens that come back in a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        f64::from(self.refill()) / self.window.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(requests: u32, seconds: u64, burst: Option<u32>) -> Quota {
        Quota::new(requests, Duration::from_secs(seconds), burst).unwrap()
    }

    #[test]
    fn what_comes_at_once_is_taken_off_what_comes_back() {
        for (quota, interval) in [
            (quota(5, 60, Some(1)), 12_000_000_000),
            (quota(1, 60, None), 60_000_000_000),
            // 451 a minute, rounded up
            (quota(500, 60, Some(50)), 133_037_695),
            (quota(500, 60, Some(500)), 60_000_000_000),
            (quota(7, 1, Some(1)), 142_857_143),
        ] {
            assert_eq!(quota.interval(), interval, "{quota:?}");
        }
        assert_eq!([quota(500, 60, None).burst(), quota(9, 60, None).burst()], [50, 1]);
    }

    #[test]
    fn what_is_no_quota_is_refused() {
        let of = |requests, seconds, burst| Quota::new(requests, Duration::from_secs(seconds), burst);
        assert_eq!(of(0, 60, None), Err(Impossible::Requests));
        assert_eq!(of(REQUESTS_MAX + 1, 60, None), Err(Impossible::Requests));
        assert_eq!(of(5, 0, None), Err(Impossible::Window));
        assert_eq!(of(5, 86_401, None), Err(Impossible::Window));
        assert_eq!(of(5, 60, Some(0)), Err(Impossible::Burst(5)));
        assert_eq!(of(5, 60, Some(6)), Err(Impossible::Burst(5)));
        assert!(of(REQUESTS_MAX, 1, Some(1)).is_ok_and(|quota| quota.interval() == 10));
        assert!(of(1, 86_400, None).is_ok());
        assert!(of(3_650, 86_400, Some(3_650)).is_ok(), "a day for each of ten years");
        assert_eq!(of(3_651, 86_400, Some(3_651)), Err(Impossible::Fill));
        assert_eq!(of(REQUESTS_MAX, 86_400, Some(REQUESTS_MAX)), Err(Impossible::Fill));
    }
}
