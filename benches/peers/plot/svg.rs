//! The elements that plots are made of, and round steps of an axis.

use std::fmt::Write as _;

pub(super) const INK: &str = "#24292f";
pub(super) const GRID: &str = "#d8dee4";
/// Ours first, then others in order.
pub(super) const COLOURS: [&str; 4] = ["#0969da", "#8c959f", "#bf8700", "#8250df"];

/// A drawing of one size.
pub(super) struct Drawing {
    text: String,
}

impl Drawing {
    pub(super) fn new(width: f64, height: f64, title: &str) -> Self {
        let mut drawing = Self {
            text: format!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
                 height=\"{height:.0}\" font-family=\"system-ui, sans-serif\" font-size=\"13\" role=\"img\">\n\
                 <title>{0}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
                escape(title)
            ),
        };
        let _ = writeln!(
            drawing.text,
            "<text x=\"16\" y=\"26\" font-size=\"16\" font-weight=\"600\" fill=\"{INK}\">{}</text>",
            escape(title)
        );
        drawing
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: &str, width: f64) {
        let _ = writeln!(
            self.text,
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" stroke-width=\"{width}\"/>",
            from.0, from.1, to.0, to.1
        );
    }

    pub(super) fn bar(&mut self, corner: (f64, f64), width: f64, height: f64, colour: &str) {
        let (x, y) = corner;
        let _ = writeln!(
            self.text,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"2\" fill=\"{colour}\"/>"
        );
    }

    pub(super) fn dot(&mut self, at: (f64, f64), colour: &str) {
        let _ = writeln!(self.text, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{colour}\"/>", at.0, at.1);
    }

    /// `anchor`: `start`, `middle` or `end` of the text stands at the point.
    pub(super) fn text(&mut self, at: (f64, f64), anchor: &str, text: &str) {
        let _ = writeln!(
            self.text,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"{INK}\">{}</text>",
            at.0,
            at.1,
            escape(text)
        );
    }

    pub(super) fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Round steps from zero to at least `max`: at most six of them, of 1, 2 or 5 times a power of ten.
pub(super) fn steps(max: f64) -> Vec<f64> {
    let max = max.max(f64::MIN_POSITIVE);
    let power = 10f64.powf((max / 5.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|times| times * power).find(|step| step * 5.0 >= max * 0.999_999);
    let step = step.unwrap_or(max);
    (0..=5).map(|count| f64::from(count) * step).take_while(|at| *at < max + step * 0.999_999).collect()
}

/// `12`, `0.5`: no more digits than the step needs.
pub(super) fn number(figure: f64) -> String {
    if figure.fract().abs() < 1e-9 {
        format!("{figure:.0}")
    } else {
        format!("{figure:.2}").trim_end_matches('0').into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_reach_the_greatest() {
        assert_eq!(steps(50.0), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
        assert_eq!(steps(22.3), [0.0, 5.0, 10.0, 15.0, 20.0, 25.0]);
        assert_eq!(steps(0.9).last().map(|last| number(*last)).as_deref(), Some("1"));
        for max in [0.003, 1.0, 7.7, 99.9, 12_345.0] {
            let steps = steps(max);
            assert!(steps.last().unwrap() * 1.000_001 >= max && steps.len() <= 6, "{max}: {steps:?}");
        }
    }

    #[test]
    fn a_name_cannot_break_out_of_the_picture() {
        let mut drawing = Drawing::new(10.0, 10.0, "a < b & c");
        drawing.text((0.0, 0.0), "end", "</svg><script>");
        let text = drawing.finish();
        assert!(!text.contains("<script>") && text.contains("a &lt; b &amp; c"), "{text}");
        assert_eq!(text.matches("</svg>").count(), 1);
    }
}
