//! Axes: where a value lies between the ends, and at which values a figure stands.
//!
//! Invariant: a linear axis of amounts begins at zero; a logarithmic one is only taken where a linear one would hide
//! what matters, and says so. Ticks are 1, 2 or 5 times a power of ten, or what people count time in.

use crate::report::figures;

/// Spans greater than this are drawn on a logarithmic axis.
const SPAN_LINEAR_MAX: f64 = 25.0;
/// Latencies beyond these, in milliseconds, are no measurement; the axis stays readable.
const MS: (f64, f64) = (1e-4, 1e9);

/// One axis.
pub(crate) struct Axis {
    title: String,
    low: f64,
    high: f64,
    logarithmic: bool,
    ticks: Vec<Tick>,
}

/// A line of the grid.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tick {
    pub(crate) value: f64,
    /// `None` where a figure would be one too many.
    pub(crate) label: Option<String>,
}

impl Axis {
    /// Milliseconds.
    pub(crate) fn latency(values: impl Iterator<Item = f64>) -> Self {
        let mut range: Option<(f64, f64)> = None;
        for value in values.filter(|value| value.is_finite() && *value > 0.0) {
            let value = value.clamp(MS.0, MS.1);
            let (low, high) = range.unwrap_or((value, value));
            range = Some((low.min(value), high.max(value)));
        }
        match range {
            Some((low, high)) if high / low > SPAN_LINEAR_MAX => {
                Self::logarithmic("latency in ms, logarithmic", low, high)
            }
            Some((_, high)) => Self::linear("latency in ms", high, None),
            None => Self::linear("latency in ms", 1.0, None),
        }
    }

    /// Amounts of something, from zero.
    pub(crate) fn amount(title: &str, high: f64) -> Self {
        // nobody answers half a request in a second
        Self::linear(title, high, Some(1.0))
    }

    /// Per cent of a whole, as 0 to 1.
    pub(crate) fn share(title: &str) -> Self {
        let ticks = [0.0, 0.25, 0.5, 0.75, 1.0];
        let tick = |value: f64| Tick { value, label: Some(figures::tick(value * 100.0)) };
        Self { title: title.to_owned(), low: 0.0, high: 1.0, logarithmic: false, ticks: ticks.map(tick).to_vec() }
    }

    /// Seconds since the begin of the load.
    pub(crate) fn time(end: f64) -> Self {
        let end = end.clamp(1.0, 1e10);
        let unit = if end <= 120.0 { "s" } else { "min:s" };
        let label = |value: f64| figures::moment(value, end).trim_end_matches(" s").to_owned();
        let step = time_step(end);
        let ticks = (0..).map(|index| f64::from(index) * step).take_while(|value| *value <= end);
        let ticks = ticks.map(|value| Tick { value, label: Some(label(value)) }).collect();
        let title = format!("time since the begin of the load, {unit}");
        Self { title, low: 0.0, high: end, logarithmic: false, ticks }
    }

    /// Percentiles: nine tenths of what is left are one step of the axis, so that the slow few are as wide as the rest.
    pub(crate) fn percentile(steps: f64) -> Self {
        let steps = steps.clamp(1.0, 7.0);
        let mut ticks = vec![("0".to_owned(), 0.0), ("50".to_owned(), tail(0.5)), ("90".to_owned(), 1.0)];
        for nines in 2..=steps.floor() as usize {
            let digits = "9".repeat(nines - 2);
            let label = if digits.is_empty() { "99".to_owned() } else { format!("99.{digits}") };
            ticks.push((label, nines as f64));
        }
        let ticks = ticks.into_iter().map(|(label, value)| Tick { value, label: Some(label) }).collect();
        let title = "percentile of the requests".to_owned();
        Self { title, low: 0.0, high: steps, logarithmic: false, ticks }
    }

    fn linear(title: &str, high: f64, step_min: Option<f64>) -> Self {
        let ticks = linear_ticks(high, step_min.unwrap_or(0.0));
        let high = ticks.last().copied().unwrap_or(1.0);
        let ticks = ticks.into_iter().map(|value| Tick { value, label: Some(figures::tick(value)) }).collect();
        Self { title: title.to_owned(), low: 0.0, high, logarithmic: false, ticks }
    }

    fn logarithmic(title: &str, low: f64, high: f64) -> Self {
        let ticks = logarithmic_ticks(low, high);
        let ends = (ticks.first().map(|tick| tick.value), ticks.last().map(|tick| tick.value));
        Self {
            title: title.to_owned(),
            low: ends.0.unwrap_or(low),
            high: ends.1.unwrap_or(high),
            logarithmic: true,
            ticks,
        }
    }

    /// 0 at the low end, 1 at the high end, never beyond.
    pub(crate) fn place(&self, value: f64) -> f64 {
        let place = if self.logarithmic {
            (value.max(self.low).log10() - self.low.log10()) / (self.high.log10() - self.low.log10())
        } else {
            (value - self.low) / (self.high - self.low)
        };
        if place.is_nan() { 0.0 } else { place.clamp(0.0, 1.0) }
    }

    pub(crate) fn ticks(&self) -> &[Tick] {
        &self.ticks
    }

    pub(crate) fn title(&self) -> &str {
        &self.title
    }
}

/// Where a quantile (0 to 1) lies on a percentile axis: how many nines it has.
pub(crate) fn tail(quantile: f64) -> f64 {
    -(1.0 - quantile.clamp(0.0, 1.0)).max(1e-12).log10() + 0.0
}

/// From zero to the first tick at or above `high`: four to six steps of 1, 2 or 5 times a power of ten.
pub(crate) fn linear_ticks(high: f64, step_min: f64) -> Vec<f64> {
    let high = if high.is_finite() && high > 0.0 { high.clamp(1e-6, 1e18) } else { 1.0 };
    let power = 10_f64.powf((high / 5.0).log10().floor());
    let fits = |factor: &f64| factor * power * 5.0 >= high * (1.0 - 1e-9);
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(fits).unwrap_or(10.0) * power;
    let step = step.max(step_min);
    let count = (high / step * (1.0 - 1e-9)).ceil().max(1.0) as u32;
    // a step like 0.2 has no exact binary form; its multiples are rounded back to what is written
    let digits = 10_f64.powf((2.0 - step.log10().floor()).max(0.0));
    (0..=count).map(|index| (f64::from(index) * step * digits).round() / digits).collect()
}

/// From the tick at or below `low` to the one at or above `high`.
pub(crate) fn logarithmic_ticks(low: f64, high: f64) -> Vec<Tick> {
    let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
    let all: Vec<(f64, bool)> =
        decades.flat_map(|decade| [1.0, 2.0, 5.0].map(|factor| (decimal(factor, decade), factor == 1.0))).collect();
    let first = all.iter().rposition(|(value, _)| *value <= low * (1.0 + 1e-9)).unwrap_or(0);
    let last = all.iter().position(|(value, _)| *value >= high * (1.0 - 1e-9)).unwrap_or(all.len() - 1);
    let kept = &all[first..=last];
    let every = kept.len() <= 10;
    let label = |(value, decade): &(f64, bool)| (every || *decade).then(|| figures::tick(*value));
    kept.iter().map(|tick| Tick { value: tick.0, label: label(tick) }).collect()
}

/// `factor` times ten to the power, as close as it can be written.
fn decimal(factor: f64, power: i32) -> f64 {
    if power >= 0 { factor * 10_f64.powi(power) } else { factor / 10_f64.powi(-power) }
}

/// At most twelve steps of what people count time in, in seconds.
pub(crate) fn time_step(end: f64) -> f64 {
    const STEPS: [f64; 17] =
        [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 7_200.0];
    let whole_hours = (end / 12.0 / 7_200.0).ceil() * 7_200.0;
    STEPS.into_iter().find(|step| end / step <= 12.0).unwrap_or(whole_hours)
}
