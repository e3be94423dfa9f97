//! Horizontal bars: the median, and a whisker from minimum to maximum.

use super::{
    Bar,
    svg::{COLOURS, Drawing, GRID, INK, number, steps},
};

const WIDTH: f64 = 760.0;
/// Where the bars begin, and where the longest may end.
const LEFT: f64 = 200.0;
const RIGHT: f64 = 690.0;
const TOP: f64 = 48.0;
const ROW: f64 = 34.0;

pub(super) fn draw(title: &str, unit: &str, bars: &[Bar]) -> String {
    let steps = steps(bars.iter().map(|bar| bar.figure.max).fold(0.0, f64::max));
    let greatest = steps.last().copied().unwrap_or(1.0);
    let across = |figure: f64| LEFT + (RIGHT - LEFT) * figure.max(0.0) / greatest;
    let bottom = bars.iter().fold(TOP, |bottom, _| bottom + ROW);

    let mut drawing = Drawing::new(WIDTH, bottom + 46.0, title);
    for step in &steps {
        drawing.line((across(*step), TOP), (across(*step), bottom), GRID, 1.0);
        drawing.text((across(*step), bottom + 18.0), "middle", &number(*step));
    }
    drawing.text((RIGHT, bottom + 36.0), "end", unit);
    let mut top = TOP;
    for bar in bars {
        let middle = top + ROW / 2.0;
        let colour = if bar.ours { COLOURS[0] } else { COLOURS[1] };
        drawing.text((LEFT - 10.0, middle + 4.0), "end", &bar.name);
        drawing.bar((LEFT, top + 6.0), across(bar.figure.median) - LEFT, ROW - 12.0, colour);
        let (min, max) = (across(bar.figure.min), across(bar.figure.max));
        drawing.line((min, middle), (max, middle), INK, 1.5);
        for end in [min, max] {
            drawing.line((end, middle - 5.0), (end, middle + 5.0), INK, 1.5);
        }
        drawing.text((max + 8.0, middle + 4.0), "start", &format!("{:.1}", bar.figure.median));
        top += ROW;
    }
    drawing.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::Spread;

    #[test]
    fn bars_are_as_long_as_their_medians_and_ours_stand_out() {
        let bar = |name: &str, median: f64, ours| {
            let figure = Spread { median, min: median - 1.0, max: median + 1.0 };
            Bar { name: name.into(), figure, ours }
        };
        let text = draw("Cost", "µs", &[bar("nginx", 24.0, false), bar("ours", 12.0, true)]);
        let widths: Vec<f64> = text
            .lines()
            .filter(|line| line.contains("rx=\"2\""))
            .filter_map(|line| line.split("width=\"").nth(1)?.split('"').next()?.parse().ok())
            .collect();
        assert_eq!(widths.len(), 2);
        assert!((widths[0] - 2.0 * widths[1]).abs() < 0.2, "{widths:?}");
        assert_eq!(text.matches(COLOURS[0]).count(), 1);
    }
}
