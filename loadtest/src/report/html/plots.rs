//! The plots of the page, each with a title, a legend and a sentence on how to read it.
//!
//! Invariant: all plots over time have the same axis, so that what is above each other happened together.

use maud::{Markup, html};

use crate::report::{
    Report, figures,
    plot::{
        Frame, WIDE,
        axis::Axis,
        faults::Faults,
        line::{self, Point},
        percentile,
        stack::{self, Band, Column, Drawn},
    },
    timeline::{Bands, Bucket, Latency, OK, Timeline},
};

/// Sample of a legend.
enum Sample<'a> {
    Line(&'a str),
    Dot(&'a str),
    Fill(&'a str),
    Shade,
}

pub(super) fn all(report: &Report, timeline: &Timeline) -> Markup {
    let narrow = Frame::new(WIDE, 0.0, 1.0, Axis::time(timeline.end), Axis::share(""));
    let faults = Faults::place(report, &narrow, timeline.end);
    let over_time = OverTime { timeline, faults };
    html! {
        (over_time.latency())
        div.pair { (percentiles(report)) (super::tables::percentiles(report)) }
        (over_time.throughput())
        (over_time.outcomes())
        (super::tables::outcomes(report))
        (over_time.stamps())
        (super::tables::stamps(report))
    }
}

fn figure(title: &str, legend: &[(Sample<'_>, &str)], drawing: &Markup, how_to_read: &str) -> Markup {
    html! {
        figure {
            h2 { (title) }
            ul.legend { @for (sample, name) in legend { li { (sample.draw()) (figures::plain(name, 60)) } } }
            (drawing)
            figcaption { (how_to_read) }
        }
    }
}

impl Sample<'_> {
    fn draw(&self) -> Markup {
        html! {
            svg.sample viewBox="0 0 28 12" aria-hidden="true" {
                @match self {
                    Self::Line(class) => path.line.(class) d="M1 6H27" {},
                    Self::Dot(class) => circle.dot.(class) cx="14" cy="6" r="4" {},
                    Self::Fill(fill) => rect.band fill=(fill) x="1" width="26" height="12" {},
                    Self::Shade => {
                        rect.shade width="28" height="12" {}
                        line.fault x1="1" x2="1" y1="0" y2="12" {}
                    },
                }
            }
        }
    }
}

fn percentiles(report: &Report) -> Markup {
    let title = "Latency by percentile";
    let legend =
        [(Sample::Line("latency"), "from the intended start"), (Sample::Dot("service"), "from the real start")];
    let how = "At 99 the curve shows what the fastest 99 % needed at most; every step to the right looks at a tenth of the \
               requests that are left. Where the dots lie below the curve, requests waited for the generator or a connection.";
    figure(title, &legend, &percentile::draw(report, title), how)
}

/// What all plots over time share.
struct OverTime<'a> {
    timeline: &'a Timeline,
    faults: Faults<'a>,
}

impl OverTime<'_> {
    fn frame(&self, height: f64, y: Axis) -> Frame {
        Frame::new(WIDE, self.faults.strip(), height, Axis::time(self.timeline.end), y)
    }

    /// The drawing: shades, data, faults, names, and the figures under the pointer.
    fn draw(&self, frame: &Frame, title: &str, drawn: &Drawn, figures_of: impl Fn(usize, &Bucket) -> String) -> Markup {
        let timeline = self.timeline;
        let over = html! {
            (drawn.data)
            @if timeline.buckets.is_empty() { (frame.nothing("No second was recorded.")) }
            (self.faults.over(frame))
            (drawn.names)
            @for (index, bucket) in timeline.buckets.iter().enumerate() {
                @let when = timeline.moment(bucket.begin);
                (frame.column(bucket.begin, bucket.end, &format!("{when}\n{}", figures_of(index, bucket))))
            }
        };
        frame.draw(title, &self.faults.under(frame), &over)
    }

    fn figure(&self, title: &str, mut legend: Vec<(Sample<'_>, &str)>, drawing: &Markup, how: &str) -> Markup {
        if !self.faults.is_empty() {
            legend.push((Sample::Shade, "fault"));
        }
        let step = self.timeline.step;
        if step == 1 {
            return figure(title, &legend, drawing, how);
        }
        let step = figures::length(step as f64);
        figure(title, &legend, drawing, &format!("{how} Every point stands for {step}."))
    }

    fn points(&self, value: impl Fn(&Bucket) -> Option<f64>) -> Vec<Point> {
        let point = |bucket: &Bucket| Point { begin: bucket.begin, end: bucket.end, value: value(bucket) };
        self.timeline.buckets.iter().map(point).collect()
    }

    fn latency(&self) -> Markup {
        let title = "Latency over time";
        let measured = || self.timeline.buckets.iter().filter_map(|bucket| bucket.latency);
        let frame = self.frame(270.0, Axis::latency(measured().flat_map(|of| [of.p50, of.p99, of.max])));
        let points = |value: fn(Latency) -> f64| self.points(|bucket| bucket.latency.map(value));
        let (p50, p99, max) = (points(|of| of.p50), points(|of| of.p99), points(|of| of.max));
        let last = measured().next_back();
        let ends = last.map(|of| [(frame.y(of.max), "max"), (frame.y(of.p99), "p99"), (frame.y(of.p50), "p50")]);
        let data = html! {
            (line::between(&frame, "p50", &p50, &p99))
            (line::straight(&frame, "max", &max))
            (line::straight(&frame, "p99", &p99))
            (line::straight(&frame, "p50", &p50))
        };
        let names = html! { @if let Some(ends) = ends { (frame.ends(&ends)) } };
        let figures_of = |_: usize, bucket: &Bucket| match bucket.latency {
            Some(of) => format!(
                "p50 {}\np99 {}\nmax {}",
                figures::latency(of.p50),
                figures::latency(of.p99),
                figures::latency(of.max)
            ),
            None => "nothing succeeded".to_owned(),
        };
        let drawing = self.draw(&frame, title, &Drawn { data, names }, figures_of);
        let legend = vec![(Sample::Line("p50"), "p50"), (Sample::Line("p99"), "p99"), (Sample::Line("max"), "max")];
        let how = match self.timeline.step {
            1 => {
                "Each second shows the requests that were to begin in it and succeeded; a gap is a second in which none did."
            }
            _ => {
                "Each stretch shows its median p50, its greatest p99 and its greatest maximum; a gap is where nothing succeeded."
            }
        };
        self.figure(title, legend, &drawing, how)
    }

    fn throughput(&self) -> Markup {
        let title = "Throughput";
        let most =
            self.timeline.buckets.iter().map(|bucket| bucket.intended.max(bucket.answered_most)).fold(1.0, f64::max);
        let frame = self.frame(190.0, Axis::amount("requests per second", most));
        let zero = self.points(|_| Some(0.0));
        let answered = self.points(|bucket| Some(bucket.answered));
        let intended = self.points(|bucket| Some(bucket.intended));
        let spread = self.timeline.step > 1;
        let last = self.timeline.buckets.last();
        let ends = last.map(|of| [(frame.y(of.intended), "intended"), (frame.y(of.answered), "achieved")]);
        let data = html! {
            (line::between_steps(&frame, "achieved", &zero, &answered))
            @if spread {
                @let least = self.points(|bucket| Some(bucket.answered_least));
                @let most = self.points(|bucket| Some(bucket.answered_most));
                (line::between_steps(&frame, "spread", &least, &most))
            }
            (line::steps(&frame, "achieved", &answered))
            (line::steps(&frame, "intended", &intended))
        };
        let names = html! { @if let Some(ends) = ends { (frame.ends(&ends)) } };
        let figures_of = |_: usize, bucket: &Bucket| {
            format!("intended {}/s\nachieved {}/s", figures::number(bucket.intended), figures::number(bucket.answered))
        };
        let drawing = self.draw(&frame, title, &Drawn { data, names }, figures_of);
        let legend = vec![(Sample::Line("achieved"), "achieved"), (Sample::Line("intended"), "intended")];
        let how =
            "Where achieved is below intended, requests wait or fail; where it is above, a backlog is being answered.";
        let spreads = " The darker band reaches from the worst to the best second.";
        self.figure(title, legend, &drawing, &format!("{how}{}", if spread { spreads } else { "" }))
    }

    fn outcomes(&self) -> Markup {
        let bands = &self.timeline.outcomes;
        let ok = usize::from(bands.names.first().is_some_and(|name| name == OK));
        // the calm fill is for what was wanted alone
        let fills = fills('o', bands, 1 - ok);
        let (all, failed) = ("Outcomes", "Outcomes but ok");
        let stack =
            |title, height, first| Stack { title, height, measure: Measure::PerSecond, bands, fills: &fills, first };
        let how_all = "Every request that was to begin in a second, by how it ended.";
        let how_failed =
            "The same without what went well, on a scale of its own; a single request is still two pixels high.";
        html! {
            (self.figure(all, legend(bands, &fills, 0), &self.stack(&stack(all, 150.0, 0)), how_all))
            @if bands.names.len() > ok {
                (self.figure(failed, legend(bands, &fills, ok), &self.stack(&stack(failed, 130.0, ok)), how_failed))
            }
        }
    }

    fn stamps(&self) -> Markup {
        let bands = &self.timeline.stamps;
        let (title, fills) = ("Who served", fills('s', bands, 0));
        let stack = Stack { title, height: 200.0, measure: Measure::Share, bands, fills: &fills, first: 0 };
        let how = "A stamp's band is as high as its share of the answers; the bands move where tenants move.";
        self.figure(title, legend(bands, &fills, 0), &self.stack(&stack), how)
    }

    fn stack(&self, stack: &Stack<'_>) -> Markup {
        let Stack { title, height, measure, bands, fills, first } = *stack;
        let rates = |index: usize| bands.rates.get(index).map_or(&[][..], |rates| &rates[first..]);
        let sums: Vec<f64> = (0..self.timeline.buckets.len()).map(|index| rates(index).iter().sum()).collect();
        let axis = match measure {
            Measure::PerSecond => Axis::amount("requests per second", sums.iter().copied().fold(0.0, f64::max)),
            Measure::Share => Axis::share("share of the answers, %"),
        };
        let frame = self.frame(height, axis);
        let columns = self.timeline.buckets.iter().zip(&sums).enumerate().map(|(index, (bucket, sum))| {
            let whole = if measure == Measure::Share { *sum } else { 1.0 };
            let heights = rates(index).iter().map(|rate| rate / whole).collect();
            Column { begin: bucket.begin, end: bucket.end, heights }
        });
        let columns: Vec<Column> = columns.collect();
        let named = bands.names.iter().zip(fills).skip(first);
        let drawn: Vec<Band<'_>> = named.map(|(name, fill)| Band { fill, name }).collect();
        let figures_of = |index: usize, _: &Bucket| {
            let row = |(band, rate): (&Band<'_>, &f64)| match measure {
                Measure::PerSecond => format!("{} {}/s", figures::plain(band.name, 40), figures::number(*rate)),
                Measure::Share => format!("{} {}", figures::plain(band.name, 40), figures::percent(rate / sums[index])),
            };
            let rows = drawn.iter().zip(rates(index)).filter(|(_, rate)| **rate > 0.0).map(row);
            rows.collect::<Vec<_>>().join("\n")
        };
        // where only failures are drawn, one of them must be seen
        let least = if first > 0 { 2.0 } else { 0.0 };
        self.draw(&frame, title, &stack::draw(&frame, &drawn, &columns, least), figures_of)
    }
}

/// A stack of bands over time.
#[derive(Clone, Copy)]
struct Stack<'a> {
    title: &'a str,
    height: f64,
    measure: Measure,
    bands: &'a Bands,
    fills: &'a [String],
    /// The first band that is drawn.
    first: usize,
}

/// What the height of a band means.
#[derive(Clone, Copy, PartialEq)]
enum Measure {
    PerSecond,
    /// Of all bands together.
    Share,
}

/// The fills of bands in their order, from `first` on.
fn fills(kind: char, bands: &Bands, first: usize) -> Vec<String> {
    (0..bands.names.len()).map(|index| format!("url(#{kind}{})", (index + first).min(7))).collect()
}

fn legend<'a>(bands: &'a Bands, fills: &'a [String], first: usize) -> Vec<(Sample<'a>, &'a str)> {
    bands.names.iter().zip(fills).skip(first).map(|(name, fill)| (Sample::Fill(fill), name.as_str())).collect()
}
