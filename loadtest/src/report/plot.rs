//! Plots as inline SVG: a frame with two axes, and what is drawn into it.
//!
//! Invariant: everything that comes from the report is an attribute or a text node that maud escapes, and every
//! coordinate is finite and inside the drawing, whatever the figures were.

use maud::{Markup, html};

pub(crate) mod axis;
pub(crate) mod faults;
pub(crate) mod lettering;
pub(crate) mod line;
pub(crate) mod percentile;
pub(crate) mod stack;

use axis::Axis;
use lettering::Placed;

/// Width of the drawing of a plot over time; the page scales it.
pub(crate) const WIDE: f64 = 900.0;
/// Room for the figures of the y axis.
const LEFT: f64 = 58.0;
/// Room for the names of lines.
const RIGHT: f64 = 74.0;
/// Room for half the last figure of the x axis.
const LAST: f64 = 32.0;
/// Room for the title of the y axis.
const TOP: f64 = 28.0;
/// Room for the figures and the title of the x axis.
const BOTTOM: f64 = 40.0;

/// Where data becomes a place: pixels of the drawing, y downwards.
pub(crate) struct Frame {
    x: Axis,
    y: Axis,
    width: f64,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Frame {
    /// A plot of this width whose area is so high, below `strip` pixels for what stands above it.
    pub(crate) fn new(width: f64, strip: f64, height: f64, x: Axis, y: Axis) -> Self {
        let top = TOP + strip;
        Self { x, y, width, left: LEFT, right: width - RIGHT, top, bottom: top + height }
    }

    /// The same without room for names at the right end.
    pub(crate) fn without_names(self) -> Self {
        Self { right: self.width - LAST, ..self }
    }

    /// The pixel of a value of the x axis.
    pub(crate) fn x(&self, value: f64) -> f64 {
        round(self.left + self.x.place(value) * (self.right - self.left))
    }

    /// The pixel of a value of the y axis.
    pub(crate) fn y(&self, value: f64) -> f64 {
        round(self.bottom - self.y.place(value) * (self.bottom - self.top))
    }

    /// The area's left, right, top and bottom.
    pub(crate) const fn area(&self) -> (f64, f64, f64, f64) {
        (self.left, self.right, self.top, self.bottom)
    }

    /// Width of the drawing.
    pub(crate) const fn width(&self) -> f64 {
        self.width
    }

    /// The whole drawing: grid, what is drawn, and the figures of the axes; `title` is for those who hear the page.
    pub(crate) fn draw(&self, title: &str, under: &Markup, over: &Markup) -> Markup {
        let (left, right, _, bottom) = self.area();
        let view = format!("0 0 {} {}", self.width, bottom + BOTTOM);
        html! {
            svg.plot viewBox=(view) role="img" aria-label=(title) {
                (under)
                g.grid {
                    @for tick in self.y.ticks() {
                        @let y = self.y(tick.value);
                        line x1=(left) x2=(right) y1=(y) y2=(y) {}
                        @if let Some(label) = &tick.label { text.right x=(left - 7.0) y=(y + 4.0) { (label) } }
                    }
                    @for tick in self.x.ticks() {
                        @let x = self.x(tick.value);
                        @if tick.label.is_some() { line x1=(x) x2=(x) y1=(bottom) y2=(bottom + 4.0) {} }
                        @if let Some(label) = &tick.label { text.middle x=(x) y=(bottom + 17.0) { (label) } }
                    }
                    line.base x1=(left) x2=(right) y1=(bottom) y2=(bottom) {}
                    text.title x="2" y="13" { (self.y.title()) }
                    text.title.right x=(right) y=(bottom + 34.0) { (self.x.title()) }
                }
                (over)
            }
        }
    }

    /// A line of the grid up from every tick of the x axis.
    pub(crate) fn uprights(&self) -> Markup {
        html! {
            g.grid {
                @for tick in self.x.ticks() {
                    @let x = self.x(tick.value);
                    line x1=(x) x2=(x) y1=(self.top) y2=(self.bottom) {}
                }
            }
        }
    }

    /// Names at the right end of lines, pushed apart.
    pub(crate) fn ends(&self, ends: &[(f64, &str)]) -> Markup {
        let placed = lettering::push_apart(ends, self.top, self.bottom);
        html! {
            @for Placed { y, text } in placed { text.end x=(self.right + 6.0) y=(round(y + 4.0)) { (text) } }
        }
    }

    /// What stands there instead of data.
    pub(crate) fn nothing(&self, why: &str) -> Markup {
        let (x, y) = ((self.left + self.right) / 2.0, (self.top + self.bottom) / 2.0);
        html! { text.nothing.middle x=(x) y=(y) { (why) } }
    }

    /// A column of the plot with the figures of it, which browsers show under the pointer.
    pub(crate) fn column(&self, begin: f64, end: f64, figures: &str) -> Markup {
        let (x, right) = (self.x(begin), self.x(end));
        html! {
            rect.column x=(x) y=(self.top) width=(round((right - x).max(1.0))) height=(self.bottom - self.top) {
                title { (figures) }
            }
        }
    }
}

/// A tenth of a pixel is enough, and short.
pub(crate) fn round(pixels: f64) -> f64 {
    // adding zero makes -0 a 0
    (pixels * 10.0).round() / 10.0 + 0.0
}
