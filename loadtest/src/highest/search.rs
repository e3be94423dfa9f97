//! Which rate is tried next.
//!
//! Invariant: one try is never enough to call a rate too high, and a void try says nothing of the rate.

/// Tries in a row that must not hold before a rate is too high.
const MISSES: u32 = 2;
/// Void tries of a rate after which there is no point in going on.
const VOIDS: u32 = 3;

/// What came of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Try {
    /// The rate was held.
    Held,
    /// It was not.
    Missed,
    /// Nobody knows.
    Void,
}

/// Halves the distance between a rate that holds and one that does not until it is below a twentieth of the rate.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    low: Option<f64>,
    high: Option<f64>,
    next: f64,
    /// Tries of `next` so far, none of which held.
    missed: u32,
    void: u32,
}

impl Search {
    /// Begins at a rate.
    #[must_use]
    pub fn from(rate: f64) -> Self {
        Self { low: None, high: None, next: rate, missed: 0, void: 0 }
    }

    /// The rate to try now; `None` when the search is over.
    #[must_use]
    pub fn next(&self) -> Option<f64> {
        match (self.low, self.high) {
            (Some(low), Some(high)) if high - low <= low * 0.05 => None,
            _ if self.next < 1.0 || self.is_blind() => None,
            _ => Some(self.next),
        }
    }

    /// What came of it.
    pub fn learn(&mut self, tried: Try) {
        match tried {
            Try::Held => self.low = Some(self.next),
            Try::Missed if self.missed + 1 == MISSES => self.high = Some(self.next),
            Try::Missed => return self.missed += 1,
            Try::Void => return self.void += 1,
        }
        self.next = match (self.low, self.high) {
            (Some(low), Some(high)) => f64::midpoint(low, high),
            (Some(low), None) => low * 1.5,
            (None, _) => self.next / 2.0,
        };
        (self.missed, self.void) = (0, 0);
    }

    /// Whether it is over because too many tries were void.
    #[must_use]
    pub fn is_blind(&self) -> bool {
        self.void >= VOIDS
    }

    /// The highest rate that was held.
    #[must_use]
    pub fn held(&self) -> Option<f64> {
        self.low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(first: f64, mut tried: impl FnMut(f64) -> Try) -> (Search, Vec<f64>) {
        let (mut search, mut rates) = (Search::from(first), Vec::new());
        while let Some(rate) = search.next() {
            rates.push(rate);
            assert!(rates.len() < 60);
            search.learn(tried(rate));
        }
        (search, rates)
    }

    fn up_to(limit: f64) -> impl FnMut(f64) -> Try {
        move |rate| if rate <= limit { Try::Held } else { Try::Missed }
    }

    #[test]
    fn the_limit_is_found_from_either_side() {
        for first in [100.0, 1_000.0, 50_000.0] {
            let (search, rates) = search(first, up_to(7_300.0));
            let held = search.held().unwrap();
            assert!((7_300.0 / 1.05..=7_300.0).contains(&held), "{first}: {held}");
            assert!(rates.len() <= 24 && !search.is_blind(), "{rates:?}");
        }
        assert_eq!(search(1_000.0, up_to(0.0)).0.held(), None);
    }

    #[test]
    fn a_rate_is_too_high_only_after_two_misses() {
        // every other try of a rate that can be held misses all the same
        let mut lucky = false;
        let mut held = up_to(7_300.0);
        let (with_bad_luck, rates) = search(1_000.0, |rate| {
            lucky = !lucky;
            if lucky { held(rate) } else { Try::Missed }
        });
        let (without, _) = search(1_000.0, up_to(7_300.0));
        assert_eq!(with_bad_luck.held(), without.held(), "{rates:?}");
        let tried = |wanted: f64| rates.iter().filter(|rate| **rate == wanted).count();
        assert!(rates.iter().filter(|rate| **rate > 7_300.0).all(|rate| tried(*rate) == 2), "{rates:?}");
    }

    #[test]
    fn a_void_try_is_repeated_twice_and_then_the_search_is_over() {
        let (blind, rates) = search(1_000.0, |rate| if rate > 2_000.0 { Try::Void } else { Try::Held });
        assert_eq!(rates, [1_000.0, 1_500.0, 2_250.0, 2_250.0, 2_250.0]);
        assert!(blind.is_blind() && blind.held() == Some(1_500.0));
        // void tries are neither misses nor in their way
        let mut tries = [Try::Void, Try::Missed, Try::Void, Try::Held].into_iter();
        let (_, rates) = search(1_000.0, |_| tries.next().unwrap_or(Try::Missed));
        assert_eq!(rates[..5], [1_000.0, 1_000.0, 1_000.0, 1_000.0, 1_500.0]);
        let mut tries = [Try::Missed, Try::Void, Try::Missed].into_iter();
        let (_, rates) = search(1_000.0, |_| tries.next().unwrap_or(Try::Held));
        assert_eq!(rates[..4], [1_000.0, 1_000.0, 1_000.0, 500.0]);
    }
}
