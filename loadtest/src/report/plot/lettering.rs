//! Text in drawings: SVG does not wrap or avoid, so its width is estimated and its place computed.
//!
//! Invariant: the estimate is above the real width in every common sans serif, so that what is placed by it does not touch.

/// Size of the text in drawings, in pixels.
pub(crate) const SIZE: f64 = 12.0;
/// Least distance of two lines of text.
const LINE: f64 = 14.0;

/// A text and the middle of its line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Placed<'a> {
    pub(crate) y: f64,
    pub(crate) text: &'a str,
}

/// Width of a text in pixels, rather too much than too little.
pub(crate) fn width(text: &str) -> f64 {
    let ems = |c: char| match c {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | ' ' => 0.36,
        'f' | 'r' | 't' | '(' | ')' | '-' | '/' => 0.43,
        'm' | 'w' | 'M' | 'W' | '%' | '@' => 1.0,
        'A'..='Z' => 0.8,
        c if c.is_ascii() => 0.65,
        _ => 1.05,
    };
    text.chars().map(ems).sum::<f64>() * SIZE
}

/// Moves texts up and down until none touches another, in the order of where they wanted to be.
pub(crate) fn push_apart<'a>(wanted: &[(f64, &'a str)], top: f64, bottom: f64) -> Vec<Placed<'a>> {
    let mut placed: Vec<Placed<'a>> = wanted.iter().map(|(y, text)| Placed { y: *y, text }).collect();
    placed.sort_by(|a, b| a.y.total_cmp(&b.y));
    let mut least = top;
    for text in &mut placed {
        text.y = text.y.max(least);
        least = text.y + LINE;
    }
    let mut most = bottom;
    for text in placed.iter_mut().rev() {
        text.y = text.y.min(most);
        most = text.y - LINE;
    }
    placed
}
