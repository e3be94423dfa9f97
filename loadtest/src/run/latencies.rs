//! Distributions of latencies, and how they are written down.
//!
//! Invariant: what is written can be merged with what another run wrote: microseconds in `HdrHistogram`'s V2 format.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hdrhistogram::{
    Histogram,
    serialization::{Serializer as _, V2DeflateSerializer},
};

use crate::report::{Percentiles, Step};

/// Longest latency that is told from longer ones, in microseconds: an hour.
const MAX_US: u64 = 3_600_000_000;
/// Digits that the figures of a report are right to.
const DIGITS: u8 = 3;
/// Digits of what is kept of every second.
const DIGITS_OF_A_SECOND: u8 = 2;

/// Latencies in microseconds, from one to an hour, to three digits.
pub(super) struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Self(blank(DIGITS))
    }
}

fn blank(digits: u8) -> Histogram<u64> {
    Histogram::new_with_bounds(1, MAX_US, digits).unwrap_or_else(|_| unreachable!("sound bounds"))
}

impl Latencies {
    pub(super) fn of(micros: impl Iterator<Item = u64>) -> Self {
        let mut all = Self::default();
        micros.for_each(|micros| all.record(micros));
        all
    }

    pub(super) fn record(&mut self, micros: u64) {
        self.0.saturating_record(micros.max(1));
    }

    /// In milliseconds; 0 of nothing.
    pub(super) fn at(&self, quantile: f64) -> f64 {
        if self.0.is_empty() { 0.0 } else { ms(self.0.value_at_quantile(quantile)) }
    }

    pub(super) fn percentiles(&self) -> Percentiles {
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
    pub(super) fn curve(&self) -> Vec<Step> {
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

    /// In the compressed V2 format, as base64.
    pub(super) fn written(&self) -> String {
        written(&self.0)
    }

    /// The same to two digits, which is a quarter as long.
    pub(super) fn written_of_a_second(&self) -> String {
        let mut coarse = blank(DIGITS_OF_A_SECOND);
        coarse.add(&self.0).unwrap_or_else(|_| unreachable!("the same bounds"));
        written(&coarse)
    }
}

fn written(histogram: &Histogram<u64>) -> String {
    let mut bytes = Vec::new();
    let done = V2DeflateSerializer::new().serialize(histogram, &mut bytes);
    done.unwrap_or_else(|_| unreachable!("memory takes it, and no count is above 2^63"));
    BASE64_STANDARD.encode(bytes)
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of hours")]
fn ms(micros: u64) -> f64 {
    micros as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::Deserializer;

    use super::*;

    fn read(text: &str) -> Histogram<u64> {
        Deserializer::new().deserialize(&mut BASE64_STANDARD.decode(text).unwrap().as_slice()).unwrap()
    }

    #[test]
    fn what_is_written_of_parts_adds_up_to_the_whole() {
        let parts = [0..5_000_u64, 5_000..9_000, 40_000_000..40_000_010];
        let whole = Latencies::of(parts.iter().cloned().flatten());
        // the mark of the compressed V2 format
        assert!(whole.written().starts_with("HISTFAAA"));
        assert_eq!(read(&whole.written()), whole.0);
        let mut merged = blank(DIGITS_OF_A_SECOND);
        for part in parts {
            merged.add(read(&Latencies::of(part).written_of_a_second())).unwrap();
        }
        assert_eq!(merged.len(), whole.0.len());
        for quantile in [0.5, 0.99, 0.999, 1.0] {
            let (merged, whole) = (merged.value_at_quantile(quantile), whole.0.value_at_quantile(quantile));
            assert!(merged.abs_diff(whole) * 100 <= whole, "{quantile}: {merged} {whole}");
        }
    }

    #[test]
    fn a_busy_second_is_written_in_few_bytes() {
        let second = Latencies::of((0..5_000).map(|each: u64| 300 + each * each % 9_001));
        assert!(second.written_of_a_second().len() < 1_000, "{}", second.written_of_a_second().len());
        assert!(Latencies::default().written_of_a_second().len() < 100);
    }
}
