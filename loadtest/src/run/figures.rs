//! From samples to the figures of the report.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;

use super::{expect, machine};
use crate::{
    client::{OK, Sample, Samples},
    fault::Window,
    oracle::Oracle,
    report::{FORMAT, Mark, Outcome, Percentiles, Process, Rate, Report, Run, Second, StampShare, Step, Verdict},
    scenario::Scenario,
};

/// What a run brought.
pub(super) struct Facts<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) samples: &'a Samples,
    pub(super) windows: &'a [Window],
    pub(super) processes: Vec<Process>,
    pub(super) run: Run,
}

/// Latencies in microseconds, up to an hour, to three digits.
struct Latencies(Histogram<u64>);

impl Latencies {
    fn of(micros: impl Iterator<Item = u64>) -> Self {
        let mut histogram =
            Histogram::new_with_bounds(1, 3_600_000_000, 3).unwrap_or_else(|_| unreachable!("sound bounds"));
        micros.for_each(|micros| histogram.saturating_record(micros.max(1)));
        Self(histogram)
    }

    fn at(&self, quantile: f64) -> f64 {
        if self.0.is_empty() { 0.0 } else { ms(self.0.value_at_quantile(quantile)) }
    }

    fn percentiles(&self) -> Percentiles {
        Percentiles {
            count: self.0.len(),
            mean: self.0.mean() / 1e3,
            p50: self.at(0.5),
            p90: self.at(0.9),
            p99: self.at(0.99),
            p999: self.at(0.999),
            max: if self.0.is_empty() { 0.0 } else { ms(self.0.max()) },
        }
    }

    /// Ten steps for every further nine, as far as there are requests to tell them apart.
    fn curve(&self) -> Vec<Step> {
        let mut steps: Vec<Step> = (0..9)
            .map(|tenth| f64::from(tenth) / 10.0)
            .map(|quantile| Step { quantile, ms: self.at(quantile) })
            .collect();
        let mut rest = 0.1;
        #[expect(clippy::cast_precision_loss, reason = "requests stay far below 2^52")]
        let least = 1.0 / self.0.len().max(1) as f64;
        while rest >= least {
            let decade = (0..10).map(|step| 1.0 - rest * 10f64.powf(-f64::from(step) / 10.0));
            steps.extend(decade.map(|quantile| Step { quantile, ms: self.at(quantile) }));
            rest /= 10.0;
        }
        steps.push(Step { quantile: 1.0, ms: self.at(1.0) });
        steps
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of hours")]
fn ms(micros: u64) -> f64 {
    micros as f64 / 1e3
}

#[expect(clippy::cast_precision_loss, reason = "requests stay far below 2^52")]
pub(super) fn count(number: u64) -> f64 {
    number as f64
}

impl Facts<'_> {
    pub(super) fn report(self, oracle: &mut Oracle<'_>) -> Report {
        let answered = || self.samples.samples.iter().filter(|sample| sample.outcome == OK);
        let latencies = Latencies::of(answered().map(|sample| sample.ended - sample.intended));
        let service = Latencies::of(answered().map(|sample| sample.ended.saturating_sub(sample.begun)));
        let all = || self.samples.samples.iter();
        let lag = Latencies::of(all().map(|sample| sample.launched.saturating_sub(sample.intended)));
        let queue = Latencies::of(all().map(|sample| sample.begun.saturating_sub(sample.launched)));
        let outcomes = self.outcomes(oracle);
        let mut report = Report {
            format: FORMAT,
            scenario: self.run.clone(),
            machine: machine::machine(),
            verdict: Verdict::Passed,
            void: Vec::new(),
            checks: Vec::new(),
            rate: self.rate(),
            latency: latencies.percentiles(),
            service: service.percentiles(),
            lag: lag.percentiles(),
            queue: queue.percentiles(),
            curve: latencies.curve(),
            oracle: oracle.judge(),
            seconds: self.seconds(),
            outcomes,
            stamps: self.stamps(),
            faults: self.marks(),
            processes: self.processes,
        };
        report.void = expect::void(self.scenario, &report);
        report.checks = expect::checks(self.scenario, &report, self.samples, self.windows);
        let passed = report.checks.iter().all(|check| check.passed);
        report.verdict = match (report.void.is_empty(), passed) {
            // what was lost or mixed up was so, however late the generator was
            (false, _) if report.oracle.is_sound() => Verdict::Void,
            (true, true) => Verdict::Passed,
            _ => Verdict::Failed,
        };
        report
    }

    fn rate(&self) -> Rate {
        let length = self.scenario.length();
        let until = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        // the last answers are on their way when the last request leaves
        let soon = until.saturating_add(250_000);
        let of_all = |limit: u64| {
            let ended = || self.samples.samples.iter().filter(|sample| sample.outcome == OK);
            let in_time = ended().filter(|sample| sample.ended <= limit).count();
            self::count(u64::try_from(in_time).unwrap_or(u64::MAX))
                / self::count(u64::try_from(ended().count().max(1)).unwrap_or(u64::MAX))
        };
        let per_second = |count: u64| self::count(count) / length.as_secs_f64().max(f64::MIN_POSITIVE);
        let sent = u64::try_from(self.samples.samples.len()).unwrap_or(u64::MAX);
        // what is answered after the last intended start has come too late to be a rate
        let in_time =
            self.samples.samples.iter().filter(|sample| sample.outcome == OK && sample.ended <= until).count();
        Rate {
            intended: per_second(sent),
            achieved: per_second(u64::try_from(in_time).unwrap_or(u64::MAX)),
            in_time: of_all(soon),
        }
    }

    fn outcomes(&self, oracle: &Oracle<'_>) -> Vec<Outcome> {
        let mut counts: BTreeMap<u16, (u64, u64)> = BTreeMap::new();
        for sample in &self.samples.samples {
            let (count, explained) = counts.entry(sample.outcome).or_default();
            *count += 1;
            *explained += u64::from(oracle.is_explained(sample));
        }
        let mut rows: Vec<Outcome> = counts
            .into_iter()
            .map(|(outcome, (count, explained))| Outcome {
                name: self.samples.outcomes.name(outcome).to_owned(),
                count,
                explained,
            })
            .collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.count));
        rows
    }

    fn stamps(&self) -> Vec<StampShare> {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for sample in self.samples.samples.iter().filter(|sample| sample.outcome == OK) {
            *counts.entry(self.samples.stamps.name(sample.stamp)).or_default() += 1;
        }
        let all = count(counts.values().sum::<u64>().max(1));
        let named = counts.into_iter().filter(|(id, _)| !id.is_empty());
        named.map(|(id, served)| StampShare { id: id.to_owned(), served, share: count(served) / all }).collect()
    }

    fn marks(&self) -> Vec<Mark> {
        let mark = |window: &Window| Mark {
            at: window.from.as_secs_f64(),
            until: window.until.map(|until| until.as_secs_f64()),
            what: window.what.clone(),
        };
        self.windows.iter().map(mark).collect()
    }

    fn seconds(&self) -> Vec<Second> {
        let length = self.scenario.length();
        let count = length.as_secs() + u64::from(length.subsec_nanos() > 0);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let mut by_start: Vec<Vec<&Sample>> = vec![Vec::new(); count];
        let mut answered = vec![0; count];
        let second = |micros: u64| usize::try_from(Duration::from_micros(micros).as_secs()).unwrap_or(usize::MAX);
        for sample in &self.samples.samples {
            if let Some(samples) = by_start.get_mut(second(sample.intended)) {
                samples.push(sample);
            }
            if let Some(answered) = answered.get_mut(second(sample.ended)).filter(|_| sample.outcome == OK) {
                *answered += 1;
            }
        }
        by_start
            .iter()
            .zip(answered)
            .zip(0u32..)
            .map(|((samples, answered), at)| self.second(at, samples, answered))
            .collect()
    }

    /// That of the busiest thread.
    fn busy(&self, second: u32) -> f64 {
        self.samples.busy.iter().filter(|busy| busy.second == second).fold(0.0, |most, busy| busy.share.max(most))
    }

    fn second(&self, at: u32, samples: &[&Sample], answered: u64) -> Second {
        let ok = || samples.iter().filter(|sample| sample.outcome == OK);
        let latencies = Latencies::of(ok().map(|sample| sample.ended - sample.intended)).percentiles();
        let mut row = Second {
            at,
            intended: u64::try_from(samples.len()).unwrap_or(u64::MAX),
            answered,
            p50: latencies.p50,
            p99: latencies.p99,
            max: latencies.max,
            lag_p99: Latencies::of(samples.iter().map(|sample| sample.launched.saturating_sub(sample.intended)))
                .at(0.99),
            busy: self.busy(at),
            ..Second::default()
        };
        for sample in samples {
            *row.outcomes.entry(self.samples.outcomes.name(sample.outcome).to_owned()).or_default() += 1;
        }
        for sample in ok().filter(|sample| sample.stamp != 0) {
            *row.stamps.entry(self.samples.stamps.name(sample.stamp).to_owned()).or_default() += 1;
        }
        row
    }
}
