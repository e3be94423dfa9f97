//! Active checks of one endpoint: so many equal results in a row change what is believed of it.
//!
//! Invariant: a single result against what is believed changes nothing, unless nothing is believed yet. An endpoint that
//! has never been probed counts as usable, so a start needs no round of probes, and the first result decides at once: the
//! state before it was a guess. HAProxy has the same two rules (a server begins as up and one failure from going down),
//! and Envoy the second (one success makes a new host healthy).

use std::time::Duration;

/// When probes change an endpoint's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Passed probes in a row that make an endpoint usable.
    pub healthy: u32,
    /// Failed probes in a row that make it unusable.
    pub unhealthy: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { healthy: 2, unhealthy: 3 }
    }
}

/// What the probes of one endpoint say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    believed: Option<bool>,
    /// Results in a row that say otherwise.
    against: u32,
}

impl Checks {
    /// As if it had always passed: for what no single failure may take down.
    #[must_use]
    pub fn presumed_well() -> Self {
        Self { believed: Some(true), against: 0 }
    }

    /// Takes one result; returns what is believed from now on if that has changed. The first result is a change, too.
    pub fn record(&mut self, passed: bool, limits: &Limits) -> Option<bool> {
        let needed = if passed { limits.healthy } else { limits.unhealthy };
        let (believed, against) = match self.believed {
            Some(believed) if believed == passed => (believed, 0),
            Some(believed) if self.against.saturating_add(1) < needed => (believed, self.against.saturating_add(1)),
            Some(_) | None => (passed, 0),
        };
        let changed = self.believed != Some(believed);
        *self = Self { believed: Some(believed), against };
        changed.then_some(believed)
    }

    /// What the probes say; `None` before the first.
    #[must_use]
    pub fn verdict(&self) -> Option<bool> {
        self.believed
    }

    /// Whether the probes leave it in service.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.believed != Some(false)
    }
}

/// How long to wait for the next probe: `interval` ± 20 %, so that the probes of many proxies drift apart. `chance` is
/// from 0 to 1.
#[must_use]
pub fn next_probe(interval: Duration, chance: f64) -> Duration {
    interval.mul_f64(0.8 + 0.4 * chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(results: &str, expected: &str) {
        let mut checks = Checks::default();
        let said: String = results
            .chars()
            .map(|result| match checks.record(result == '+', &Limits::default()) {
                Some(true) => 'U',
                Some(false) => 'D',
                None => '.',
            })
            .collect();
        assert_eq!(said, expected, "after {results}");
    }

    #[test]
    fn nothing_known_counts_as_usable() {
        assert!(Checks::default().is_usable());
        assert_eq!(Checks::default().verdict(), None);
    }

    #[test]
    fn the_first_result_decides_at_once() {
        check("+", "U");
        check("-", "D");
    }

    #[test]
    fn three_failures_in_a_row_take_an_endpoint_out_and_two_successes_bring_it_back() {
        check("+---", "U..D");
        check("+--+--+---", "U........D");
        check("-++", "D.U");
        check("-+-+-++", "D.....U");
        check("+----++--+---", "U..D..U.....D");
    }

    #[test]
    fn limits_of_nought_or_one_decide_with_every_result() {
        for needed in [0, 1] {
            let limits = Limits { healthy: needed, unhealthy: needed };
            let mut checks = Checks::default();
            for passed in [true, false, true, false] {
                assert_eq!(checks.record(passed, &limits), Some(passed));
            }
        }
    }

    #[test]
    fn a_lower_limit_of_a_reload_counts_from_the_next_result_on() {
        let mut checks = Checks::default();
        checks.record(true, &Limits::default());
        checks.record(false, &Limits::default());
        assert_eq!(checks.record(false, &Limits { healthy: 2, unhealthy: 2 }), Some(false));
    }

    #[test]
    fn probes_are_spread_by_a_fifth_of_their_interval() {
        let interval = Duration::from_secs(30);
        for (chance, millis) in [(0.0, 24_000), (0.5, 30_000), (1.0, 36_000), (-1.0, 24_000), (7.0, 36_000)] {
            assert_eq!(next_probe(interval, chance).as_millis(), millis, "at {chance}");
        }
    }
}
