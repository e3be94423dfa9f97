//! When requests are meant to begin: a seeded schedule that knows nothing of answers.
//!
//! Invariant: the same phases and seed give the same schedule, and its times never fall. A phase with a changing rate is
//! a unit-rate process put through the inverse of the cumulative rate (time change of a Poisson process: Çinlar,
//! *Introduction to Stochastic Processes*, 1975, §4.7), so that one formula serves constant, Poisson and ramp alike.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_distr::Exp1;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use crate::quantity;

/// How arrivals are spread in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Process {
    /// Evenly.
    Constant,
    /// Independently of each other, as the clients of a large platform do.
    #[default]
    Poisson,
}

/// A stretch of the schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Its length.
    #[serde(rename = "for", serialize_with = "quantity::serialize", deserialize_with = "quantity::duration")]
    pub duration: Duration,
    /// Requests a second at its begin.
    pub rate: f64,
    /// Requests a second at its end; the rate changes linearly. Left out: as at its begin.
    pub to: Option<f64>,
    /// Requests that come all at once, beside the others.
    pub burst: Option<Burst>,
    /// Share of its requests that are the first tenant's, 0 to 1; the others are whose they would be without it.
    #[serde(default)]
    pub noisy: f64,
}

/// Requests that come all at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Burst {
    /// Time between two bursts; the first comes so long after the begin of the phase.
    #[serde(serialize_with = "quantity::serialize", deserialize_with = "quantity::duration")]
    pub every: Duration,
    /// Requests in each.
    pub requests: u32,
}

impl Burst {
    /// Multiplies its requests; at least one is left.
    pub(crate) fn scale(&mut self, factor: f64) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what is too much is refused")]
        let requests = (f64::from(self.requests) * factor).round() as u32;
        self.requests = requests.max(1);
    }
}

impl Phase {
    fn end(&self) -> f64 {
        self.to.unwrap_or(self.rate)
    }

    /// Requests that are expected from its begin to `at` seconds, without bursts.
    fn cumulative(&self, at: f64) -> f64 {
        self.rate * at + (self.end() - self.rate) * at * at / (2.0 * self.duration.as_secs_f64())
    }

    /// Requests that are expected in it, with its bursts.
    #[must_use]
    pub fn expected(&self) -> f64 {
        let bursts = self.burst.as_ref().map_or(0.0, |burst| {
            let count = (self.duration.as_secs_f64() / burst.every.as_secs_f64()).ceil() - 1.0;
            count.max(0.0) * f64::from(burst.requests)
        });
        self.cumulative(self.duration.as_secs_f64()) + bursts
    }

    /// The second at which so many requests are expected to have come; the inverse of [`Phase::cumulative`].
    fn when(&self, count: f64) -> f64 {
        let slope = (self.end() - self.rate) / self.duration.as_secs_f64();
        // the root in the form that does not cancel, so that a slope of nothing needs no case of its own
        let root = (self.rate * self.rate + 2.0 * slope * count).max(0.0).sqrt();
        if self.rate + root > 0.0 { 2.0 * count / (self.rate + root) } else { f64::INFINITY }
    }
}

/// Intended starts, counted from the begin of the load.
#[derive(Clone, Debug)]
pub struct Schedule {
    process: Process,
    phases: Vec<Phase>,
    rng: Xoshiro256PlusPlus,
    /// Index and begin of the phase under way.
    phase: usize,
    begin: Duration,
    /// What the unit-rate process has reached in this phase.
    reached: f64,
    /// The next request of the process, and of the bursts.
    next: Option<f64>,
    bursts: u32,
    in_burst: u32,
}

impl Schedule {
    /// A schedule from its begin.
    #[must_use]
    pub fn new(process: Process, phases: Vec<Phase>, seed: u64) -> Self {
        let rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut schedule = Self {
            process,
            phases,
            rng,
            phase: 0,
            begin: Duration::ZERO,
            reached: 0.0,
            next: None,
            bursts: 0,
            in_burst: 0,
        };
        schedule.enter();
        schedule
    }

    /// Length of all phases.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.phases.iter().map(|phase| phase.duration).sum()
    }

    /// The number of the first request of every phase: how many come before it.
    #[must_use]
    pub fn firsts(mut self) -> Vec<u64> {
        let mut firsts = vec![0; self.phases.len()];
        let mut count = 0;
        while self.next().is_some() {
            // what was given belongs to the phase under way
            count += 1;
            firsts.iter_mut().skip(self.phase + 1).for_each(|first| *first = count);
        }
        firsts
    }

    /// Requests that are expected in all.
    #[must_use]
    pub fn expected(&self) -> f64 {
        self.phases.iter().map(Phase::expected).sum()
    }

    fn enter(&mut self) {
        (self.reached, self.bursts, self.in_burst) = (0.0, 0, 0);
        // an even process begins half a step late, so that a phase of r requests holds exactly r
        self.reached = match self.process {
            Process::Constant => 0.5,
            Process::Poisson => self.rng.sample(Exp1),
        };
        self.aim();
    }

    fn aim(&mut self) {
        self.next = self.phases.get(self.phase).and_then(|phase| {
            let length = phase.duration.as_secs_f64();
            let within = self.reached < phase.cumulative(length);
            within.then(|| phase.when(self.reached)).filter(|at| *at < length)
        });
    }

    /// Second of the next burst in this phase.
    fn next_burst(&self, phase: &Phase) -> Option<f64> {
        let burst = phase.burst.as_ref()?;
        let at = burst.every.as_secs_f64() * f64::from(self.bursts + 1);
        (at < phase.duration.as_secs_f64()).then_some(at)
    }
}

impl Iterator for Schedule {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        loop {
            let phase = self.phases.get(self.phase)?;
            let at = match (self.next, self.next_burst(phase)) {
                (Some(next), burst) if burst.is_none_or(|burst| next <= burst) => {
                    self.reached += match self.process {
                        Process::Constant => 1.0,
                        Process::Poisson => self.rng.sample::<f64, _>(Exp1),
                    };
                    self.aim();
                    next
                }
                (_, Some(burst)) => {
                    self.in_burst += 1;
                    if self.in_burst >= phase.burst.as_ref().map_or(0, |burst| burst.requests) {
                        (self.bursts, self.in_burst) = (self.bursts + 1, 0);
                    }
                    burst
                }
                _ => {
                    self.begin += phase.duration;
                    self.phase += 1;
                    self.enter();
                    continue;
                }
            };
            return Some(self.begin + Duration::from_secs_f64(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn phase(seconds: u64, rate: f64, to: Option<f64>) -> Phase {
        Phase { duration: Duration::from_secs(seconds), rate, to, burst: None, noisy: 0.0 }
    }

    fn all(process: Process, phases: &[Phase]) -> Vec<f64> {
        Schedule::new(process, phases.to_vec(), 7).map(|at| at.as_secs_f64()).collect()
    }

    #[test]
    fn a_constant_rate_is_even_and_exact() {
        let times = all(Process::Constant, &[phase(10, 100.0, None)]);
        assert_eq!(times.len(), 1_000);
        assert!(times.windows(2).all(|pair| (pair[1] - pair[0] - 0.01).abs() < 1e-6));
    }

    #[test]
    fn poisson_arrivals_have_the_mean_and_the_variance_of_their_name() {
        let times = all(Process::Poisson, &[phase(1_000, 50.0, None)]);
        let count = times.len() as f64;
        // mean 50,000, standard deviation 224
        assert!((count - 50_000.0).abs() < 5.0 * 224.0, "{count}");
        let gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((variance / (mean * mean) - 1.0).abs() < 0.05, "squared coefficient of variation of exponential gaps");
    }

    #[test]
    fn a_ramp_reaches_its_rate_at_its_end() {
        for process in [Process::Constant, Process::Poisson] {
            let times = all(process, &[phase(100, 0.0, Some(1_000.0))]);
            assert!((times.len() as f64 - 50_000.0).abs() < 1_200.0, "{process:?} {}", times.len());
            let late = times.iter().filter(|at| **at >= 90.0).count() as f64;
            assert!((late - 9_500.0).abs() < 600.0, "{process:?} {late}");
            assert!(times.windows(2).all(|pair| pair[0] <= pair[1]));
        }
        let down = all(Process::Constant, &[phase(10, 100.0, Some(0.0))]);
        assert_eq!(down.len(), 500);
    }

    #[test]
    fn bursts_come_at_once_beside_the_others() {
        let burst = Some(Burst { every: Duration::from_secs(1), requests: 30 });
        let times = all(Process::Constant, &[Phase { burst, ..phase(4, 10.0, None) }]);
        assert_eq!(times.len(), 40 + 3 * 30);
        for second in [1.0, 2.0, 3.0] {
            assert_eq!(times.iter().filter(|at| **at == second).count(), 30);
        }
        assert!(times.windows(2).all(|pair| pair[0] <= pair[1]));
    }

    #[test]
    fn the_first_of_a_phase_is_the_one_after_all_before_it() {
        let phases = [phase(2, 10.0, None), phase(3, 0.0, None), phase(1, 100.0, None), phase(1, 5.0, None)];
        assert_eq!(Schedule::new(Process::Constant, phases.to_vec(), 7).firsts(), [0, 20, 20, 120]);
        let schedule = Schedule::new(Process::Poisson, phases.to_vec(), 7);
        let before = |second: u64| schedule.clone().filter(|at| *at < Duration::from_secs(second)).count() as u64;
        assert_eq!(schedule.clone().firsts(), [0, before(2), before(5), before(6)]);
    }

    #[test]
    fn the_seed_decides() {
        let with = |seed| Schedule::new(Process::Poisson, vec![phase(5, 100.0, None)], seed).collect::<Vec<_>>();
        assert_eq!(with(1), with(1));
        assert_ne!(with(1), with(2));
    }

    proptest! {
        #[test]
        fn times_never_fall_and_stay_within_the_phases(
            rates in proptest::collection::vec((0.0..500.0f64, 0.0..500.0f64, 1..5u64), 1..4), seed: u64, constant: bool,
        ) {
            let phases: Vec<Phase> = rates.iter().map(|(from, to, seconds)| phase(*seconds, *from, Some(*to))).collect();
            let process = if constant { Process::Constant } else { Process::Poisson };
            let schedule = Schedule::new(process, phases, seed);
            let (length, expected) = (schedule.length(), schedule.expected());
            let times: Vec<Duration> = schedule.collect();
            prop_assert!(times.windows(2).all(|pair| pair[0] <= pair[1]));
            prop_assert!(times.iter().all(|at| *at <= length));
            let spread = if constant { 4.0 } else { 6.0 * expected.sqrt() + 6.0 };
            prop_assert!((times.len() as f64 - expected).abs() <= spread, "{} of {expected}", times.len());
        }
    }
}
