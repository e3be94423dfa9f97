//! From samples to the figures of the report.

use std::{collections::BTreeMap, time::Duration};

use super::{aftermath::Aftermath, expect, latencies::Latencies, machine};
use crate::{
    client::{OK, Sample, Samples, Source},
    fault::Window,
    oracle::Oracle,
    report::{
        Check, FORMAT, Judgement, Mark, Outcome, Percentiles, Process, Rate, Relay, Report, Run, Second, Shared,
        StampShare, Verdict,
    },
    scenario::Scenario,
};

/// What a run brought.
pub(super) struct Facts<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) samples: &'a Samples,
    pub(super) windows: &'a [Window],
    pub(super) processes: Vec<Process>,
    pub(super) relays: Vec<Relay>,
    pub(super) aftermath: Aftermath,
    pub(super) run: Run,
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
        let prompt = Latencies::of(answered().map(|sample| sample.ended.saturating_sub(sample.launched)));
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
            opened_again: self.samples.silent.opened_again,
            sent_again: self.samples.silent.sent_again,
            curve: latencies.curve(),
            oracle: Judgement { echo: self.scenario.load.echo, ..oracle.judge() },
            shared: self.shared(oracle.asked()),
            seconds: self.seconds(),
            outcomes,
            stamps: self.stamps(),
            faults: self.marks(),
            processes: self.processes,
            relays: self.relays,
        };
        report.void = expect::void(self.scenario, &report, &prompt.percentiles());
        // what no late generator can cause was so, however late it was
        let hard = expect::hard(self.scenario, &report, self.windows, &self.aftermath);
        let soft = expect::soft(self.scenario, &report, self.samples, oracle);
        let passed = |checks: &[Check]| checks.iter().all(|check| check.passed);
        report.verdict = match (passed(&hard), report.void.is_empty(), passed(&soft)) {
            (false, _, _) | (true, true, false) => Verdict::Failed,
            (true, false, _) => Verdict::Void,
            (true, true, true) => Verdict::Passed,
        };
        report.checks = [hard, soft].concat();
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
        let last = self.samples.samples.iter().map(|sample| sample.ended).max().unwrap_or_default();
        Rate {
            elapsed: length.max(Duration::from_micros(last)).as_secs_f64(),
            intended: per_second(sent),
            achieved: per_second(u64::try_from(in_time).unwrap_or(u64::MAX)),
            in_time: of_all(soon),
        }
    }

    fn outcomes(&self, oracle: &Oracle<'_>) -> Vec<Outcome> {
        let mut found: BTreeMap<u16, (u64, u64, Latencies)> = BTreeMap::new();
        for sample in &self.samples.samples {
            let (count, explained, latencies) = found.entry(sample.outcome).or_default();
            *count += 1;
            *explained += u64::from(oracle.is_explained(sample));
            latencies.record(sample.ended - sample.intended);
        }
        let row = |(outcome, (count, explained, latencies)): (u16, (u64, u64, Latencies))| {
            let Percentiles { p50, p99, max, .. } = latencies.percentiles();
            let name = self.samples.outcomes.name(outcome).to_owned();
            Outcome { name, count, explained, p50, p99, max, histogram: latencies.written() }
        };
        let mut rows: Vec<Outcome> = found.into_iter().map(row).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.count));
        rows
    }

    /// From the first request on: what is asked for the first time is a miss, as it is after every life in the store.
    fn shared(&self, asked: Option<u64>) -> Option<Shared> {
        let mut shared = Shared { asked, ..Shared::default() };
        for sample in &self.samples.samples {
            let Some(source) = sample.source else { continue };
            shared.requests += 1;
            // an answer that was not the wanted one is no hit, whatever it says
            match source {
                _ if sample.outcome != OK => {}
                Source::Memory => shared.memory += 1,
                Source::Store => shared.store += 1,
                Source::Collapsed => shared.collapsed += 1,
                Source::App => {}
            }
        }
        let share = |hits: u64| count(hits) / count(shared.requests);
        (shared.requests > 0).then(|| Shared {
            hits_memory: share(shared.memory),
            hits: share(shared.memory + shared.store),
            ..shared
        })
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
        let mut answered = vec![0; usize::try_from(count).unwrap_or(usize::MAX)];
        let second = |micros: u64| Duration::from_micros(micros).as_secs();
        for sample in self.samples.samples.iter().filter(|sample| sample.outcome == OK) {
            let at = usize::try_from(second(sample.ended)).unwrap_or(usize::MAX);
            if let Some(answered) = answered.get_mut(at) {
                *answered += 1;
            }
        }
        // samples are in the order of their ids, which is that of their intended starts
        let mut rest = &self.samples.samples[..];
        let mut rows = Vec::new();
        let busy = self.busy(answered.len());
        for ((answered, busy), at) in answered.into_iter().zip(busy).zip(0u32..) {
            let own = rest.partition_point(|sample| second(sample.intended) <= u64::from(at));
            rows.push(self.second(at, &rest[..own], answered, busy));
            rest = &rest[own..];
        }
        rows
    }

    /// How busy the busiest thread was in every second.
    fn busy(&self, seconds: usize) -> Vec<f64> {
        let mut most = vec![0.0; seconds];
        for busy in &self.samples.busy {
            let place = usize::try_from(busy.second).ok().and_then(|second| most.get_mut(second));
            place.into_iter().for_each(|most: &mut f64| *most = busy.share.max(*most));
        }
        most
    }

    fn second(&self, at: u32, samples: &[Sample], answered: u64, busy: f64) -> Second {
        let mut found: BTreeMap<u16, Latencies> = BTreeMap::new();
        for sample in samples {
            found.entry(sample.outcome).or_default().record(sample.ended - sample.intended);
        }
        let ok = found.get(&OK).map(Latencies::percentiles).unwrap_or_default();
        let lag = Latencies::of(samples.iter().map(|sample| sample.launched.saturating_sub(sample.intended)));
        let mut row = Second {
            at,
            intended: u64::try_from(samples.len()).unwrap_or(u64::MAX),
            answered,
            p50: ok.p50,
            p99: ok.p99,
            max: ok.max,
            lag_p99: lag.at(0.99),
            busy,
            ..Second::default()
        };
        for (outcome, latencies) in found {
            let name = self.samples.outcomes.name(outcome);
            row.outcomes.insert(name.to_owned(), latencies.percentiles().count);
            row.histograms.insert(name.to_owned(), latencies.written_of_a_second());
        }
        for sample in samples.iter().filter(|sample| sample.outcome == OK && sample.stamp != 0) {
            *row.stamps.entry(self.samples.stamps.name(sample.stamp).to_owned()).or_default() += 1;
        }
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{client::End, workload::Workload};

    #[test]
    fn hits_are_of_all_reads_of_shared_resources_and_only_those_that_were_answered() {
        let text = "name = \"a\"\nabout = \"b\"\n[[load.phases]]\nfor = \"1s\"\nrate = 2\n";
        let scenario = Scenario::parse(text).unwrap();
        let shared = |sources: &[(Option<Source>, End)]| {
            let mut samples = Samples::default();
            for (source, end) in sources {
                let outcome = samples.outcome(end);
                samples.samples.push(Sample { source: *source, outcome, ..Sample::default() });
            }
            let facts = Facts {
                scenario: &scenario,
                samples: &samples,
                windows: &[],
                processes: vec![],
                relays: vec![],
                aftermath: Aftermath::default(),
                run: Run::default(),
            };
            facts.shared(Some(3))
        };
        assert_eq!(shared(&[(None, End::Answered)]), None);
        let wanted = [Source::Memory, Source::Memory, Source::Memory, Source::Store, Source::Collapsed, Source::App];
        let mut all: Vec<_> = wanted.map(|source| (Some(source), End::Answered)).into();
        all.extend([
            (Some(Source::Memory), End::CrossTalk),
            (Some(Source::Store), End::Broken("cut")),
            (None, End::Answered),
        ]);
        let (requests, memory, store, collapsed) = (8, 3, 1, 1);
        let found = Shared { requests, memory, store, collapsed, asked: Some(3), hits_memory: 0.375, hits: 0.5 };
        assert_eq!(shared(&all), Some(found));
    }

    #[test]
    fn every_second_says_how_long_each_outcome_took() {
        let text = "name = \"a\"\nabout = \"b\"\n[[load.phases]]\nfor = \"3s\"\nrate = 2\n";
        let scenario = Scenario::parse(text).unwrap();
        let mut samples = Samples::default();
        let reset = samples.outcome(&End::Broken("reset"));
        // nothing begins in the second second
        for (id, intended, took, outcome) in
            [(0, 0, 1_000, OK), (1, 900_000, 700_000, reset), (2, 2_000_000, 2_000, OK), (3, 2_999_999, 3_000, OK)]
        {
            let ended = intended + took;
            let times = Sample { id, intended, launched: intended, begun: intended, ended, ..Sample::default() };
            samples.samples.push(Sample { outcome, ..times });
        }
        let facts = Facts {
            scenario: &scenario,
            samples: &samples,
            windows: &[],
            processes: vec![],
            relays: vec![],
            aftermath: Aftermath::default(),
            run: Run::default(),
        };
        let seconds = facts.seconds();
        let counts = seconds.iter().map(|second| second.outcomes.clone().into_iter().collect::<Vec<_>>());
        let counted = |name: &str, count: u64| (name.to_owned(), count);
        assert_eq!(
            counts.collect::<Vec<_>>(),
            [vec![counted("ok", 1), counted("reset", 1)], vec![], vec![counted("ok", 2)]]
        );
        assert_eq!(seconds[0].histograms["reset"], Latencies::of([700_000].into_iter()).written_of_a_second());
        assert_eq!(seconds[2].histograms["ok"], Latencies::of([2_000, 3_000].into_iter()).written_of_a_second());
        assert_eq!(seconds.iter().map(|second| second.answered).collect::<Vec<_>>(), [1, 0, 1]);
        let workload = Workload::new(scenario.workload.clone(), scenario.seed);
        let outcomes = facts.outcomes(&Oracle::new(&samples, &workload, &[], &[]));
        let of_reset = outcomes.iter().find(|outcome| outcome.name == "reset").unwrap();
        assert!((of_reset.p50 - 700.0).abs() < 1.0 && (of_reset.max - 700.0).abs() < 1.0, "{of_reset:?}");
        assert_eq!(of_reset.histogram, Latencies::of([700_000].into_iter()).written());
    }
}
