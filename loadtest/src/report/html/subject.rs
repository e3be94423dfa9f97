//! What was run: the programs, the arguments, and the scenario with every default and change.
//!
//! Invariant: with this section alone somebody else can run the same.

use maud::{Markup, html};

use super::{ROWS_MAX, left_out, text};
use crate::report::{Report, figures};

/// Most lines of a scenario.
const LINES_MAX: usize = 600;

pub(super) fn section(report: &Report) -> Markup {
    let run = &report.scenario;
    html! {
        section {
            h2 { "What was run" }
            table {
                thead { tr { th { "program" } th { "file" } th { "XXH3 of its bytes" } } }
                tbody {
                    @for binary in run.binaries.iter().take(ROWS_MAX) {
                        tr {
                            th scope="row" { (text(&binary.role)) }
                            td { code { (text(&binary.file)) } }
                            td { code { (text(&binary.xxh3)) } }
                        }
                    }
                }
            }
            (left_out(run.binaries.len()))
            @if !run.arguments.is_empty() {
                p.caption { "Arguments: " code { (text(&run.arguments.join(" "))) } }
            }
            (scenario(&run.resolved))
        }
    }
}

fn scenario(resolved: &str) -> Markup {
    let lines = resolved.lines().count();
    html! {
        details {
            summary { "The scenario with every default and change" }
            pre { @for line in resolved.lines().take(LINES_MAX) { (text(line)) "\n" } }
            @if lines > LINES_MAX {
                p.more { "The first " (LINES_MAX) " of " (figures::thousands(lines as u64)) " lines are shown; the JSON has all." }
            }
        }
    }
}
