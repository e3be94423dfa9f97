//! The highest rate at which a scenario still passes.
//!
//! Invariant: a rate counts as held only by a run that passed; a void run holds nothing, because whoever cannot send a
//! rate cannot say that it is held.

use std::{future::Future, path::PathBuf, pin::Pin};

use crate::{
    report::{Report, Verdict},
    run::{self, Options},
    scenario::Scenario,
};

/// One rate that was tried.
pub struct Tried {
    /// Requests a second in the first phase.
    pub rate: f64,
    /// What came of it.
    pub report: Report,
    /// Where the world's folder is, if it was left.
    pub folder: Option<PathBuf>,
}

/// Halves the distance between a rate that holds and one that does not until it is below a twentieth of the rate.
pub struct Search {
    low: Option<f64>,
    high: Option<f64>,
    next: f64,
}

impl Search {
    /// Begins at a rate.
    #[must_use]
    pub fn from(rate: f64) -> Self {
        Self { low: None, high: None, next: rate }
    }

    /// The rate to try now; `None` when the search is over.
    #[must_use]
    pub fn next(&self) -> Option<f64> {
        match (self.low, self.high) {
            (Some(low), Some(high)) if high - low <= low * 0.05 => None,
            _ if self.next < 1.0 => None,
            _ => Some(self.next),
        }
    }

    /// What came of it.
    pub fn learn(&mut self, held: bool) {
        if held {
            self.low = Some(self.next);
        } else {
            self.high = Some(self.next);
        }
        self.next = match (self.low, self.high) {
            (Some(low), Some(high)) => f64::midpoint(low, high),
            (Some(low), None) => low * 1.5,
            (None, _) => self.next / 2.0,
        };
    }

    /// The highest rate that was held.
    #[must_use]
    pub fn held(&self) -> Option<f64> {
        self.low
    }
}

/// Tries rates from `first` on; `each` sees every try. Returns the highest rate that was held.
///
/// # Errors
/// A run could not be done.
pub async fn find(
    scenario: &Scenario,
    options: &Options,
    first: f64,
    mut told: Pin<&mut impl Future<Output = &'static str>>,
    mut each: impl FnMut(&Tried),
) -> anyhow::Result<Option<f64>> {
    let mut search = Search::from(first);
    while let Some(rate) = search.next() {
        let run::Finished { report, folder } =
            run::run_until(&scenario.clone().at_rate(rate)?, options, told.as_mut()).await?;
        search.learn(report.verdict == Verdict::Passed);
        each(&Tried { rate, report, folder });
    }
    Ok(search.held())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(first: f64, limit: f64) -> (Option<f64>, usize) {
        let mut search = Search::from(first);
        let mut tries = 0;
        while let Some(rate) = search.next() {
            tries += 1;
            assert!(tries < 40);
            search.learn(rate <= limit);
        }
        (search.held(), tries)
    }

    #[test]
    fn the_limit_is_found_from_either_side() {
        for first in [100.0, 1_000.0, 50_000.0] {
            let (held, tries) = search(first, 7_300.0);
            let held = held.unwrap();
            assert!((7_300.0 / 1.05..=7_300.0).contains(&held), "{first}: {held}");
            assert!(tries <= 18, "{tries}");
        }
        assert_eq!(search(1_000.0, 0.0).0, None);
    }
}
