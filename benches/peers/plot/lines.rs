//! Lines over a number on a logarithmic axis, with a whisker at every point. The vertical axis begins at zero, so that a
//! small growth looks small.

use super::{
    Line, Mark,
    svg::{COLOURS, Drawing, GRID, INK, number, steps},
};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 620.0;
const TOP: f64 = 66.0;
const BOTTOM: f64 = 344.0;
/// Between the names at the ends of two lines.
const APART: f64 = 16.0;

pub(super) fn draw(title: &str, over: &str, unit: &str, lines: &[Line]) -> String {
    let marks = || lines.iter().flat_map(|line| &line.marks);
    let steps = steps(marks().map(|mark| mark.figure.max).fold(0.0, f64::max));
    let greatest = steps.last().copied().unwrap_or(1.0);
    let up = |figure: f64| BOTTOM - (BOTTOM - TOP) * figure.max(0.0) / greatest;
    let mut numbers: Vec<u64> = marks().map(|mark| mark.at).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let (least, most) = (numbers.first().map_or(0.0, |at| log(*at)), numbers.last().map_or(1.0, |at| log(*at)));
    let across = |at: u64| LEFT + (RIGHT - LEFT) * (log(at) - least) / (most - least).max(f64::MIN_POSITIVE);

    let mut drawing = Drawing::new(WIDTH, HEIGHT, title);
    drawing.text((16.0, 44.0), "start", unit);
    for step in &steps {
        drawing.line((LEFT, up(*step)), (RIGHT, up(*step)), GRID, 1.0);
        drawing.text((LEFT - 8.0, up(*step) + 4.0), "end", &number(*step));
    }
    for at in &numbers {
        drawing.line((across(*at), BOTTOM), (across(*at), BOTTOM + 5.0), INK, 1.0);
        drawing.text((across(*at), BOTTOM + 20.0), "middle", &thousands(*at));
    }
    drawing.text(((LEFT + RIGHT) / 2.0, BOTTOM + 44.0), "middle", over);
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let at = |mark: &Mark| (across(mark.at), up(mark.figure.median));
        for pair in line.marks.windows(2) {
            drawing.line(at(&pair[0]), at(&pair[1]), colour, 2.0);
        }
        for mark in &line.marks {
            let x = across(mark.at);
            drawing.line((x, up(mark.figure.min)), (x, up(mark.figure.max)), colour, 1.5);
            drawing.dot(at(mark), colour);
        }
    }
    let ends = lines.iter().filter_map(|line| Some((up(line.marks.last()?.figure.median), line.name.as_str())));
    for (height, name) in apart(ends.collect()) {
        drawing.text((RIGHT + 12.0, height + 4.0), "start", name);
    }
    drawing.finish()
}

/// The names from the highest to the lowest, moved down as far as they would lie on each other.
fn apart(mut ends: Vec<(f64, &str)>) -> Vec<(f64, &str)> {
    ends.sort_by(|one, other| one.0.total_cmp(&other.0));
    for index in 1..ends.len() {
        ends[index].0 = ends[index].0.max(ends[index - 1].0 + APART);
    }
    ends
}

fn log(at: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a position on an axis")]
    let at = at.max(1) as f64;
    at.log10()
}

/// `10,000`.
fn thousands(at: u64) -> String {
    let digits = at.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::Spread;

    #[test]
    fn points_stand_by_the_logarithm_of_their_number() {
        let mark = |at| Mark { at, figure: Spread { median: 20.0, min: 19.0, max: 21.0 } };
        let line = Line { name: "ours".into(), marks: vec![mark(10), mark(100), mark(1_000)] };
        let text = draw("Growth", "stamps", "µs", &[line]);
        let places: Vec<f64> = text
            .lines()
            .filter_map(|line| line.strip_prefix("<circle cx=\"")?.split('"').next()?.parse().ok())
            .collect();
        assert_eq!(places, [LEFT, (LEFT + RIGHT) / 2.0, RIGHT]);
        assert!(text.contains(">1,000<"), "{text}");
    }

    #[test]
    fn one_point_alone_can_be_drawn() {
        let mark = Mark { at: 10, figure: Spread { median: 1.0, min: 1.0, max: 1.0 } };
        let text = draw("Growth", "stamps", "µs", &[Line { name: "ours".into(), marks: vec![mark] }]);
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }

    #[test]
    fn names_do_not_lie_on_each_other() {
        let ends = apart(vec![(101.0, "nginx"), (100.0, "ours"), (200.0, "other")]);
        assert_eq!(ends, [(100.0, "ours"), (116.0, "nginx"), (200.0, "other")]);
    }

    #[test]
    fn large_numbers_are_grouped() {
        assert_eq!(thousands(64), "64");
        assert_eq!(thousands(1_000_000), "1,000,000");
    }
}
