//! The percentile curve: how slow the slowest tenth, hundredth, thousandth of the requests was.
//!
//! Invariant: it ends at the slowest request, which is drawn where one of so many requests belongs.

use maud::{Markup, html};

use crate::report::{
    Percentiles, Report, figures,
    plot::{
        Frame,
        axis::{Axis, tail},
        line::add,
    },
};

/// Width of the drawing; half a page.
const WIDTH: f64 = 620.0;
/// Most corners of the curve.
const CORNERS_MAX: usize = 500;

/// The plot.
pub(crate) fn draw(report: &Report, title: &str) -> Markup {
    let last = (report.latency.count.max(1) as f64).log10();
    let mut curve: Vec<(f64, f64)> = report
        .curve
        .iter()
        .filter(|step| step.quantile.is_finite() && step.ms.is_finite())
        // a histogram's steps run on beyond the quantile of the slowest request
        .map(|step| (tail(step.quantile).min(last), step.ms))
        .collect();
    curve.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let service = points(&report.service);
    let end = curve.iter().chain(&service).map(|(x, _)| *x).fold(1.0, f64::max);
    let values = || curve.iter().chain(&service).map(|(_, ms)| *ms);
    let frame = Frame::new(WIDTH, 0.0, 280.0, Axis::percentile(end), Axis::latency(values())).without_names();

    let every = curve.len().div_ceil(CORNERS_MAX).max(1);
    let mut path = String::new();
    // the last corner is the slowest request and always drawn
    let kept = curve.iter().enumerate().filter(|(index, _)| index % every == 0 || index + 1 == curve.len());
    add(&mut path, 'M', kept.map(|(_, (x, ms))| (frame.x(*x), frame.y(*ms))));
    let over = html! {
        @if curve.is_empty() {
            (frame.nothing("No request was answered."))
        } @else {
            path.line.latency d=(path) {}
            @if let [(x, ms)] = curve[..] { circle.dot.latency cx=(frame.x(x)) cy=(frame.y(ms)) r="3" {} }
        }
        @for (x, ms) in &service { circle.dot.service cx=(frame.x(*x)) cy=(frame.y(*ms)) r="4" {} }
        @for pair in curve.windows(every + 1).step_by(every) {
            @let (quantile, ms) = (1.0 - 10_f64.powf(-pair[every].0), pair[every].1);
            (frame.column(pair[0].0, pair[every].0, &format!("{} of the requests took at most {}", figures::percent(quantile), figures::latency(ms))))
        }
    };
    frame.draw(title, &frame.uprights(), &over)
}

/// The known percentiles of a distribution as places on the axis and milliseconds.
fn points(of: &Percentiles) -> Vec<(f64, f64)> {
    if of.count == 0 {
        return vec![];
    }
    let most = (of.count as f64).log10();
    let known =
        [(0.5, of.p50), (0.9, of.p90), (0.99, of.p99), (0.999, of.p999)].map(|(quantile, ms)| (tail(quantile), ms));
    let known = known.into_iter().filter(|(x, _)| *x <= most);
    known.chain([(most, of.max)]).filter(|(_, ms)| ms.is_finite()).collect()
}
