//! Bands on top of each other over time, each with its name inside where it is wide enough.
//!
//! Invariant: bands lie as steps, one level per bucket: what was counted in a second is not smeared into the next.

use maud::{Markup, html};

use crate::report::plot::{
    Frame,
    lettering::{self, SIZE},
    line::add,
    round,
};

/// A stretch of the x axis and the height of each band there, in values of the y axis.
pub(crate) struct Column {
    pub(crate) begin: f64,
    pub(crate) end: f64,
    pub(crate) heights: Vec<f64>,
}

/// How a band is drawn.
pub(crate) struct Band<'a> {
    /// Its fill, such as `url(#s1)`.
    pub(crate) fill: &'a str,
    pub(crate) name: &'a str,
}

/// Left, right, top and bottom of one step of a band, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Step {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

/// Data and its names, apart because nothing may cross the names.
pub(crate) struct Drawn {
    pub(crate) data: Markup,
    pub(crate) names: Markup,
}

/// All bands, the first at the bottom. What is there at all is at least `least` pixels high.
pub(crate) fn draw(frame: &Frame, bands: &[Band<'_>], columns: &[Column], least: f64) -> Drawn {
    let mut steps: Vec<Vec<Step>> = vec![vec![]; bands.len()];
    let (_, _, ceiling, floor) = frame.area();
    for column in columns {
        let (left, right) = (frame.x(column.begin), frame.x(column.end));
        let (mut sum, mut bottom) = (0.0, floor);
        for (band, height) in steps.iter_mut().zip(&column.heights) {
            if !(height.is_finite() && *height > 0.0) {
                continue;
            }
            sum += height;
            let top = frame.y(sum).min(round(bottom - least)).max(ceiling);
            band.push(Step { left, right, top, bottom });
            bottom = top;
        }
    }
    let data = html! {
        @for (band, steps) in bands.iter().zip(&steps) {
            @let path = outline(steps);
            @if !path.is_empty() { path.band fill=(band.fill) d=(path) { title { (band.name) } } }
        }
    };
    let names = html! {
        @for (band, steps) in bands.iter().zip(&steps) {
            @let wide = lettering::width(band.name);
            @if let Some((x, y)) = place(steps, wide + 8.0) {
                rect.inside x=(round(x - wide / 2.0)) y=(round(y - SIZE * 0.66)) width=(round(wide)) height=(round(SIZE * 1.33)) rx="3" {}
                text.inside.middle x=(round(x)) y=(round(y + SIZE * 0.35)) { (band.name) }
            }
        }
    };
    Drawn { data, names }
}

/// One closed path for each run of steps that touch.
fn outline(steps: &[Step]) -> String {
    let mut path = String::new();
    let mut rest = steps;
    while !rest.is_empty() {
        let length = 1 + rest.windows(2).take_while(|pair| pair[0].right == pair[1].left).count();
        let (run, after) = rest.split_at(length);
        add(&mut path, 'M', run.iter().flat_map(|step| [(step.left, step.top), (step.right, step.top)]));
        add(&mut path, 'L', run.iter().rev().flat_map(|step| [(step.right, step.bottom), (step.left, step.bottom)]));
        path.push('Z');
        rest = after;
    }
    path
}

/// Middle of the widest stretch of a band in which a name of this width has room.
fn place(steps: &[Step], width: f64) -> Option<(f64, f64)> {
    const ROOM: f64 = SIZE + 6.0;
    let mut best: Option<(f64, f64, f64)> = None;
    for first in 0..steps.len() {
        let Step { mut top, mut bottom, mut right, left } = steps[first];
        for (index, step) in steps.iter().enumerate().skip(first) {
            let touches = index == first || step.left == right;
            let (lower, upper) = (bottom.min(step.bottom), top.max(step.top));
            if !touches || lower - upper < ROOM {
                break;
            }
            (top, bottom, right) = (upper, lower, step.right);
        }
        let wide = right - left;
        if bottom - top >= ROOM && wide >= width && best.is_none_or(|(widest, ..)| wide > widest) {
            best = Some((wide, (left + right) / 2.0, (top + bottom) / 2.0));
        }
    }
    best.map(|(_, x, y)| (x, y))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(left: f64, top: f64, bottom: f64) -> Step {
        Step { left, right: left + 10.0, top, bottom }
    }

    #[test]
    fn a_band_is_one_path_per_stretch_without_a_gap() {
        assert_eq!(outline(&[]), "");
        let level = [step(0.0, 5.0, 9.0), step(10.0, 5.0, 9.0), step(30.0, 6.0, 9.0)];
        assert_eq!(outline(&level), "M0 5H10H20L20 9H10H0ZM30 6H40L40 9H30Z");
    }

    #[test]
    fn a_name_stands_where_the_band_is_high_and_wide_enough() {
        assert_eq!(place(&[], 5.0), None);
        assert_eq!(place(&[step(0.0, 0.0, 40.0)], 11.0), None);
        assert_eq!(place(&[step(0.0, 0.0, 10.0)], 5.0), None);
        let uneven = [step(0.0, 0.0, 4.0), step(10.0, 0.0, 40.0), step(20.0, 10.0, 60.0), step(30.0, 50.0, 60.0)];
        assert_eq!(place(&uneven, 15.0), Some((20.0, 25.0)));
    }
}
