//! Lines over time: straight from middle to middle, or as steps; broken where nothing was measured.
//!
//! Invariant: a value with no neighbour is a dot, so that nothing measured is invisible.

use maud::{Markup, html};

use crate::report::plot::{Frame, round};

/// A value for a stretch of the x axis; `None` where there is none.
#[derive(Clone, Copy)]
pub(crate) struct Point {
    pub(crate) begin: f64,
    pub(crate) end: f64,
    pub(crate) value: Option<f64>,
}

/// Points that follow each other without a gap.
fn runs(points: &[Point]) -> Vec<Vec<(Point, f64)>> {
    let mut runs: Vec<Vec<(Point, f64)>> = vec![];
    let mut before: Option<Point> = None;
    for point in points {
        if let Some(value) = point.value.filter(|value| value.is_finite()) {
            match runs.last_mut().filter(|_| before.is_some_and(|before| before.end == point.begin)) {
                Some(run) => run.push((*point, value)),
                None => runs.push(vec![(*point, value)]),
            }
        }
        before = point.value.map(|_| *point);
    }
    runs
}

/// A line from the middle of a stretch to the middle of the next.
pub(crate) fn straight(frame: &Frame, class: &str, points: &[Point]) -> Markup {
    let middle = |(point, value): &(Point, f64)| (frame.x((point.begin + point.end) / 2.0), frame.y(*value));
    let mut path = String::new();
    let mut dots = vec![];
    for run in runs(points) {
        match run.as_slice() {
            [alone] => dots.push(middle(alone)),
            run => add(&mut path, 'M', run.iter().map(middle)),
        }
    }
    html! {
        @if !path.is_empty() { path.line.(class) d=(path) {} }
        @for (x, y) in dots { circle.dot.(class) cx=(x) cy=(y) r="3" {} }
    }
}

/// A line that is level for each stretch.
pub(crate) fn steps(frame: &Frame, class: &str, points: &[Point]) -> Markup {
    let mut path = String::new();
    for run in runs(points) {
        add(&mut path, 'M', run.iter().flat_map(|point| level(frame, point)));
    }
    html! { @if !path.is_empty() { path.line.(class) d=(path) {} } }
}

/// The area between two lines, as steps; both have a value or none.
pub(crate) fn between_steps(frame: &Frame, class: &str, lower: &[Point], upper: &[Point]) -> Markup {
    area(class, &runs(lower), &runs(upper), |point| level(frame, point).to_vec())
}

/// The area between two lines, from middle to middle.
pub(crate) fn between(frame: &Frame, class: &str, lower: &[Point], upper: &[Point]) -> Markup {
    let middle = |(point, value): &(Point, f64)| vec![(frame.x((point.begin + point.end) / 2.0), frame.y(*value))];
    area(class, &runs(lower), &runs(upper), middle)
}

fn area(
    class: &str,
    lower: &[Vec<(Point, f64)>],
    upper: &[Vec<(Point, f64)>],
    corners: impl Fn(&(Point, f64)) -> Vec<(f64, f64)>,
) -> Markup {
    let mut path = String::new();
    for (lower, upper) in lower.iter().zip(upper) {
        add(&mut path, 'M', upper.iter().flat_map(&corners));
        let back: Vec<(f64, f64)> = lower.iter().flat_map(&corners).collect();
        add(&mut path, 'L', back.into_iter().rev());
        path.push('Z');
    }
    html! { @if !path.is_empty() { path.area.(class) d=(path) {} } }
}

/// Both ends of a level stretch.
fn level(frame: &Frame, (point, value): &(Point, f64)) -> [(f64, f64); 2] {
    let y = frame.y(*value);
    [(frame.x(point.begin), y), (frame.x(point.end), y)]
}

/// Appends corners to a path, the first one with this command, without repeating what did not change.
pub(crate) fn add(path: &mut String, first: char, corners: impl Iterator<Item = (f64, f64)>) {
    let mut before: Option<(f64, f64)> = None;
    for (x, y) in corners {
        let (x, y) = (round(x), round(y));
        match before {
            None => path.push_str(&format!("{first}{x} {y}")),
            Some(last) if last == (x, y) => {}
            Some(last) if last.1 == y => path.push_str(&format!("H{x}")),
            Some(last) if last.0 == x => path.push_str(&format!("V{y}")),
            Some(_) => path.push_str(&format!("L{x} {y}")),
        }
        before = Some((x, y));
    }
}
