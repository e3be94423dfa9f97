//! The seconds of a run as they are drawn: merged into few enough buckets that a page of an hour stays small.
//!
//! Invariant: merging hides no peak. A bucket keeps the greatest maximum, the greatest p99 and the least and the most
//! answers of a second; counts are summed, and nothing is drawn where no second was recorded.

use std::collections::BTreeMap;

use crate::report::{Report, Second, figures};

/// Most buckets of a plot: two pixels each.
pub(crate) const BUCKETS_MAX: u64 = 400;
/// Most bands of a stack; the rest is one band.
const BANDS_MAX: usize = 8;
/// Steps that people count time in, in seconds.
const STEPS: [u64; 14] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 86_400];
/// Name of the outcome that was wanted.
pub(crate) const OK: &str = "ok";

/// What is drawn over time.
pub(crate) struct Timeline {
    /// Where the time axis ends, in seconds.
    pub(crate) end: f64,
    /// Seconds that a bucket covers.
    pub(crate) step: u64,
    pub(crate) buckets: Vec<Bucket>,
    /// Outcomes by frequency, `ok` first.
    pub(crate) outcomes: Bands,
    /// Stamps by name.
    pub(crate) stamps: Bands,
}

/// One or more seconds.
pub(crate) struct Bucket {
    /// Seconds since the begin of the load.
    pub(crate) begin: f64,
    pub(crate) end: f64,
    /// Requests per second.
    pub(crate) intended: f64,
    /// Answers per second: mean, least and most of a second.
    pub(crate) answered: f64,
    pub(crate) answered_least: f64,
    pub(crate) answered_most: f64,
    /// The latencies of its seconds in milliseconds, if a request of it succeeded.
    pub(crate) latency: Option<Latency>,
}

/// Milliseconds: the median of the medians, the greatest of the rest.
#[derive(Clone, Copy)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

/// How the bands of a stack follow each other.
#[derive(Clone, Copy, PartialEq)]
enum Order {
    /// `ok` first, then the most frequent.
    Frequency,
    Name,
}

/// Counts by name, per bucket.
pub(crate) struct Bands {
    /// From the baseline up; the last one stands for all that are too many to tell apart.
    pub(crate) names: Vec<String>,
    /// Per bucket one count per second of time for each name.
    pub(crate) rates: Vec<Vec<f64>>,
}

impl Timeline {
    pub(crate) fn of(report: &Report) -> Self {
        let last = report.seconds.iter().map(|second| u64::from(second.at) + 1).max().unwrap_or(0);
        let seconds = Some(report.scenario.seconds).filter(|seconds| seconds.is_finite()).unwrap_or(0.0);
        let end = seconds.clamp(0.0, 1e9).max(last as f64).max(1.0);
        let fits = |step: &u64| last.div_ceil(*step) <= BUCKETS_MAX;
        let step = STEPS.into_iter().find(fits).unwrap_or_else(|| last.div_ceil(BUCKETS_MAX));

        let mut rows: BTreeMap<u64, Vec<&Second>> = BTreeMap::new();
        for second in &report.seconds {
            rows.entry(u64::from(second.at) / step).or_default().push(second);
        }
        let outcomes = Bands::of(&rows, Order::Frequency, |second| &second.outcomes);
        let stamps = Bands::of(&rows, Order::Name, |second| &second.stamps);
        let buckets = rows.iter().map(|(index, seconds)| Bucket::of(index * step, step, last, seconds)).collect();
        Self { end, step, buckets, outcomes, stamps }
    }

    /// A moment as this run's axis would say it.
    pub(crate) fn moment(&self, seconds: f64) -> String {
        figures::moment(seconds, self.end)
    }
}

impl Bucket {
    fn of(begin: u64, step: u64, last: u64, seconds: &[&Second]) -> Self {
        let mean = |sum: u64| sum as f64 / seconds.len().max(1) as f64;
        let answered = || seconds.iter().map(|second| second.answered);
        Self {
            begin: begin as f64,
            end: (begin + step).min(last) as f64,
            intended: mean(total(seconds.iter().map(|second| second.intended))),
            answered: mean(total(answered())),
            answered_least: answered().min().unwrap_or(0) as f64,
            answered_most: answered().max().unwrap_or(0) as f64,
            latency: Latency::of(seconds),
        }
    }
}

impl Latency {
    /// A second in which nothing succeeded has no latency, and its zeros are no measurement.
    fn of(seconds: &[&Second]) -> Option<Self> {
        let measured = seconds.iter().filter(|second| second.max > 0.0 && second.max.is_finite());
        let mut medians: Vec<f64> = measured.clone().map(|second| second.p50).filter(|p50| p50.is_finite()).collect();
        medians.sort_by(f64::total_cmp);
        let p50 = *medians.get(medians.len() / 2)?;
        let greatest = |values: &mut dyn Iterator<Item = f64>| values.fold(p50, f64::max);
        let p99 = greatest(&mut measured.clone().map(|second| second.p99).filter(|p99| p99.is_finite()));
        let max = greatest(&mut measured.map(|second| second.max)).max(p99);
        Some(Self { p50, p99, max })
    }
}

impl Bands {
    fn of(
        rows: &BTreeMap<u64, Vec<&Second>>,
        order: Order,
        counts: impl for<'a> Fn(&'a Second) -> &'a BTreeMap<String, u64>,
    ) -> Self {
        let mut totals: BTreeMap<&str, u64> = BTreeMap::new();
        for (name, count) in rows.values().flatten().flat_map(|second| counts(second)) {
            let total = totals.entry(name).or_default();
            *total = total.saturating_add(*count);
        }
        let mut names: Vec<(&str, u64)> = totals.into_iter().filter(|(_, total)| *total > 0).collect();
        names.sort_by_key(|(name, total)| (*name != OK, std::cmp::Reverse(*total)));
        let merged = if names.len() > BANDS_MAX { names.len() - (BANDS_MAX - 1) } else { 0 };
        names.truncate(if merged > 0 { BANDS_MAX - 1 } else { BANDS_MAX });
        if order == Order::Name {
            names.sort_unstable();
        }
        let index: BTreeMap<&str, usize> = names.iter().enumerate().map(|(index, (name, _))| (*name, index)).collect();
        let bands = names.len() + usize::from(merged > 0);
        let rate = |seconds: &Vec<&Second>| {
            let mut rates = vec![0.0; bands];
            for (name, count) in seconds.iter().flat_map(|second| counts(second)).filter(|(_, count)| **count > 0) {
                let band = index.get(name.as_str()).copied().unwrap_or(bands - 1);
                rates[band] += *count as f64 / seconds.len() as f64;
            }
            rates
        };
        let rates = rows.values().map(rate).collect();
        let mut names: Vec<String> = names.into_iter().map(|(name, _)| figures::plain(name, 200)).collect();
        if merged > 0 {
            names.push(format!("{merged} others"));
        }
        Self { names, rates }
    }
}

/// A sum that sticks at the greatest number.
fn total(counts: impl Iterator<Item = u64>) -> u64 {
    counts.fold(0, u64::saturating_add)
}
