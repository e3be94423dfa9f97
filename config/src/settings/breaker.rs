//! `breaker`: when a target is left alone, and how it is tried again.
//!
//! Invariant: `open` is at most `open_max`. A preset is only where the numbers come from that are not written.

use std::time::Duration;

use http::StatusCode;

/// Most that a breaker stays open in a row, unless `open` itself is longer or the file says otherwise.
const OPEN_MAX: Duration = Duration::from_secs(10 * 60);

/// A circuit breaker: closed lets requests through, open refuses them, half-open lets a few try.
#[derive(Clone, Debug, PartialEq)]
pub struct Breaker {
    /// Where the numbers come from that the file does not write.
    pub preset: BreakerPreset,
    /// Failures within `window` that open it.
    pub failures: u32,
    /// How long a failure counts.
    pub window: Duration,
    /// How long it stays open at first; twice as long after each failed trial.
    pub open: Duration,
    /// The longest that it stays open in a row.
    pub open_max: Duration,
    /// Trial requests at a time while it is half-open, and successes that close it.
    pub trials: u32,
    /// Share of failed requests, 0 to 1, below which failed answers do not open it. Failures before anything was sent need
    /// no share.
    pub ratio: f64,
    /// Statuses of answers that are failures, each 500 to 599, in rising order.
    pub statuses: Vec<StatusCode>,
}

/// A set of numbers for a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BreakerPreset {
    /// 5 failures in 30 s, open for 30 s, 3 trials.
    Default,
    /// The same, for an app in front of the metadata database.
    MetadataDb,
    /// 10 failures in 10 s, open for 10 s, 5 trials.
    Redis,
    /// 3 failures in 60 s, open for 60 s, 1 trial.
    Llm,
}

impl BreakerPreset {
    /// Every preset.
    pub const ALL: [Self; 4] = [Self::Default, Self::MetadataDb, Self::Redis, Self::Llm];

    /// As the file writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::MetadataDb => "metadata-db",
            Self::Redis => "redis",
            Self::Llm => "llm",
        }
    }

    /// The breaker without a key of its own.
    #[must_use]
    pub fn breaker(self) -> Breaker {
        let (failures, window, open, trials) = match self {
            Self::Default | Self::MetadataDb => (5, 30, 30, 3),
            Self::Redis => (10, 10, 10, 5),
            Self::Llm => (3, 60, 60, 1),
        };
        let open = Duration::from_secs(open);
        Breaker {
            preset: self,
            failures,
            window: Duration::from_secs(window),
            open,
            open_max: open_max(open),
            trials,
            ratio: 0.1,
            statuses: vec![StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT],
        }
    }
}

/// The longest that a breaker stays open, unless written: ten times the first, but no more than ten minutes.
pub(crate) fn open_max(open: Duration) -> Duration {
    open.saturating_mul(10).min(OPEN_MAX).max(open)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_is_ten_times_the_first_and_never_below_it() {
        for (open, most) in [(0, 0), (10, 100), (60, 600), (61, 600), (600, 600), (3600, 3600)] {
            assert_eq!(open_max(Duration::from_secs(open)), Duration::from_secs(most), "{open}");
        }
    }
}
