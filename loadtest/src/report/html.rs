//! The page: one file with everything in it, to be looked at before it is read.
//!
//! Invariant: it loads nothing, and is complete without its script; every text that came from the run is escaped by maud.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::report::{Report, Verdict, figures, timeline::Timeline};

mod first;
mod plots;
mod subject;
mod tables;

/// Most rows of a table; the JSON has them all.
const ROWS_MAX: usize = 200;
/// Longest text of a cell, in characters.
const TEXT_MAX: usize = 400;
/// The page may load nothing; the browser holds it to that.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// The whole page.
pub fn page(report: &Report) -> String {
    let timeline = Timeline::of(report);
    let void = (report.verdict == Verdict::Void).then_some("void");
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (text(&report.scenario.name)) " · " (report.verdict) }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body class=[void] {
                (fills())
                (first::screen(report))
                main { (plots::all(report, &timeline)) (tables::all(report)) (subject::section(report)) }
                footer { "synaxis-loadtest, seed " (report.scenario.seed) ". Latency counts from the intended start of a request." }
                script { (PreEscaped(include_str!("hover.js"))) }
            }
        }
    };
    page.into_string()
}

/// A text from the run, of bearable length.
fn text(raw: &str) -> String {
    figures::plain(raw, TEXT_MAX)
}

/// What is left out of a table.
fn left_out(rows: usize) -> Markup {
    html! {
        @if rows > ROWS_MAX {
            p.more { "The first " (ROWS_MAX) " of " (figures::thousands(rows as u64)) " are shown; the JSON has all." }
        }
    }
}

/// Fills of bands: a colour and a pattern each, so that they differ without colours as well.
fn fills() -> Markup {
    const PATTERNS: [&str; 8] = [
        "",
        "M-2 2L2 -2M0 8L8 0M6 10L10 6",
        "M2 2h.01M6 6h.01",
        "M-2 6L2 10M0 0L8 8M6 -2L10 2",
        "M0 2H8M0 6H8",
        "M0 8L8 0M0 0L8 8",
        "M2 0V8M6 0V8",
        "M4 4h.01",
    ];
    html! {
        svg.fills width="0" height="0" aria-hidden="true" {
            defs {
                @for kind in ["s", "o"] {
                    @for (index, pattern) in PATTERNS.iter().enumerate() {
                        pattern id={ (kind) (index) } width="8" height="8" patternUnits="userSpaceOnUse" {
                            rect class={ (kind) (index) } width="8" height="8" {}
                            @if !pattern.is_empty() { path class={ "hatch hatch" (index) } d=(pattern) {} }
                        }
                    }
                }
            }
        }
    }
}
