//! Faults in plots over time: shaded where they last, a line where they begin, and a bar with their name above the plot.
//!
//! Invariant: no two names touch. Where full names have no room they are shortened, then only numbers, which the table of
//! faults explains; all of one run are written the same way.

use maud::{Markup, html};

use crate::report::{
    Mark, Report, figures,
    plot::{Frame, lettering, round},
};

/// Height of a row of bars.
const LANE: f64 = 17.0;
/// Most rows.
const LANES_MAX: usize = 4;
/// How long the names may be, until they have room; no character leaves the number.
const CHARACTERS: [usize; 3] = [44, 18, 0];
/// Most faults that are drawn; more would be a grey wall.
const DRAWN_MAX: usize = 300;

/// All faults of a run, earliest first, placed above the plots of one time axis.
pub(crate) struct Faults<'a> {
    placed: Vec<Placed<'a>>,
    lanes: usize,
}

/// A fault and where its bar and name are, in pixels.
struct Placed<'a> {
    mark: &'a Mark,
    label: String,
    begin: f64,
    end: f64,
    /// Where the name begins.
    text: f64,
    /// `None` if there is no room for it.
    lane: Option<usize>,
}

/// Faults in the order of their begin: their place is their number.
pub(crate) fn sorted(report: &Report) -> Vec<&Mark> {
    let mut marks: Vec<&Mark> = report.faults.iter().collect();
    marks.sort_by(|a, b| a.at.total_cmp(&b.at));
    marks
}

/// When a fault was over: the end of the run if it lasted.
pub(crate) fn end_of(mark: &Mark, end: f64) -> f64 {
    mark.until.filter(|until| until.is_finite()).unwrap_or(end).max(mark.at)
}

impl<'a> Faults<'a> {
    /// Places them on the time axis of `frame`, which lasts to `end` seconds.
    pub(crate) fn place(report: &'a Report, frame: &Frame, end: f64) -> Self {
        let mut marks = sorted(report);
        marks.truncate(DRAWN_MAX);
        let mut placed = vec![];
        for characters in CHARACTERS {
            placed = arrange(&marks, characters, frame, end);
            if placed.iter().all(|placed| placed.lane.is_some()) {
                break;
            }
        }
        let lanes = placed.iter().filter_map(|placed| placed.lane).max().map_or(0, |lane| lane + 1);
        Self { placed, lanes }
    }

    /// Room that the bars need above a plot, in pixels.
    pub(crate) fn strip(&self) -> f64 {
        self.lanes as f64 * LANE + if self.lanes > 0 { 4.0 } else { 0.0 }
    }

    /// What lies under the data: the shade.
    pub(crate) fn under(&self, frame: &Frame) -> Markup {
        let (_, _, top, bottom) = frame.area();
        html! {
            // one shade where several overlap, or the plot would darken
            @for (begin, end) in self.shaded() {
                rect.shade x=(begin) y=(top) width=(round(end - begin)) height=(bottom - top) {}
            }
        }
    }

    /// What lies over the data: lines at the begin, then bars and names, which no line crosses.
    pub(crate) fn over(&self, frame: &Frame) -> Markup {
        let (_, _, top, bottom) = frame.area();
        let lane_top = |lane: usize| top - self.strip() + lane as f64 * LANE;
        html! {
            @for fault in &self.placed {
                @let above = fault.lane.map_or(top, lane_top);
                line.fault x1=(fault.begin) x2=(fault.begin) y1=(above) y2=(bottom) {}
            }
            @for fault in &self.placed {
                @if let Some(y) = fault.lane.map(lane_top) {
                    @let wide = round(lettering::width(&fault.label));
                    rect.paper x=(round(fault.text - 2.0)) y=(y) width=(wide) height=(LANE - 3.0) {}
                    rect.fault x=(fault.begin) y=(y) width=(round((fault.end - fault.begin).max(3.0))) height=(LANE - 3.0) {
                        title { (figures::plain(&fault.mark.what, 300)) }
                    }
                    text.fault x=(round(fault.text)) y=(y + 11.0) { (fault.label) }
                }
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.placed.is_empty()
    }

    /// Stretches with at least one fault.
    fn shaded(&self) -> Vec<(f64, f64)> {
        let mut shaded: Vec<(f64, f64)> = vec![];
        for fault in self.placed.iter().filter(|fault| fault.end > fault.begin) {
            match shaded.last_mut().filter(|(_, end)| fault.begin <= *end) {
                Some((_, end)) => *end = end.max(fault.end),
                None => shaded.push((fault.begin, fault.end)),
            }
        }
        shaded
    }
}

/// Gives each fault the first row in which neither its bar nor its name touches another's.
fn arrange<'a>(marks: &[&'a Mark], characters: usize, frame: &Frame, axis_end: f64) -> Vec<Placed<'a>> {
    let mut free = [f64::NEG_INFINITY; LANES_MAX];
    let left = frame.area().0;
    let place = |(index, mark): (usize, &&'a Mark)| {
        let name = figures::plain(&mark.what, characters);
        let label = if characters > 0 { format!("{} {name}", index + 1) } else { (index + 1).to_string() };
        let (begin, end) = (frame.x(mark.at), frame.x(end_of(mark, axis_end)));
        let width = lettering::width(&label);
        let text = (begin + 4.0).min(frame.width() - width).max(left);
        let lane = free.iter().position(|free| *free <= begin.min(text));
        if let Some(lane) = lane {
            free[lane] = end.max(text + width) + 5.0;
        }
        Placed { mark, label, begin, end, text, lane }
    };
    marks.iter().enumerate().map(place).collect()
}
