//! The tables of the page.
//!
//! Invariant: a table has at most a bounded number of rows, and says what it leaves out.

use maud::{Markup, html};

use super::{ROWS_MAX, first::meter, left_out, text};
use crate::report::{Check, Outcome, Percentiles, Report, Shared, figures, plot::faults, timeline::OK};

pub(super) fn all(report: &Report) -> Markup {
    html! {
        (checks(&report.checks))
        (examples(report))
        (shared(report))
        (fault_list(report))
        (processes(report))
        (relays(report))
    }
}

pub(super) fn percentiles(report: &Report) -> Markup {
    let all = [&report.latency, &report.service, &report.queue, &report.lag];
    let busiest = report.busiest();
    let shown = |of: &Percentiles, ms: f64| if of.count == 0 { figures::NONE.to_owned() } else { figures::number(ms) };
    html! {
        section {
            h2 { "In milliseconds" }
            table.compact {
                thead { tr { th {} th.n { "latency" } th.n { "service" } th.n { "queue" } th.n { "lag" } } }
                tbody {
                    tr { th scope="row" { "count" } @for of in all { td.n { (figures::thousands(of.count)) } } }
                    @for (index, (name, _)) in report.latency.parts().into_iter().enumerate() {
                        tr { th scope="row" { (name) } @for of in all { td.n { (shown(of, of.parts()[index].1)) } } }
                    }
                }
            }
            p.caption {
                "Latency counts from the intended start, service from the real one, both to the last byte. Queue is the wait for \
                 a connection. Lag is how late the generator began: where it is not small beside the latency, the generator \
                 was measured too. Its busiest thread worked or waited for a core for " (figures::percent(busiest)) " of \
                 its busiest second. It opened " (figures::thousands(report.opened_again)) " connections again and sent "
                (figures::thousands(report.sent_again)) " requests again."
            }
        }
    }
}

pub(super) fn outcomes(report: &Report) -> Markup {
    let all = report.outcomes.iter().fold(0_u64, |sum, outcome| sum.saturating_add(outcome.count));
    let class = |outcome: &Outcome| (outcome.count > outcome.explained && outcome.name != OK).then_some("loud");
    html! {
        section {
            h3 { "How requests ended" }
            table {
                thead { tr { th { "outcome" } th.n { "requests" } th.n { "share" } th.n { "explained by a fault" } th.n { "unexplained" } th.n { "p50" } th.n { "p99" } th.n { "max" } } }
                tbody {
                    @for outcome in report.outcomes.iter().take(ROWS_MAX) {
                        tr class=[class(outcome)] {
                            th scope="row" { (text(&outcome.name)) }
                            td.n { (figures::thousands(outcome.count)) }
                            td.n { (figures::percent_of(outcome.count, all)) }
                            @if outcome.name == OK {
                                td.n.soft { (figures::NONE) } td.n.soft { (figures::NONE) }
                            } @else {
                                td.n { (figures::thousands(outcome.explained)) }
                                td.n { (figures::thousands(outcome.count.saturating_sub(outcome.explained))) }
                            }
                            @for ms in [outcome.p50, outcome.p99, outcome.max] { td.n { (figures::latency(ms)) } }
                        }
                    }
                    @if report.outcomes.is_empty() { (none(8, "No request ended.")) }
                }
            }
            (left_out(report.outcomes.len()))
        }
    }
}

pub(super) fn stamps(report: &Report) -> Markup {
    html! {
        section {
            h3 { "Requests by stamp" }
            table {
                thead { tr { th { "stamp" } th.n { "served" } th.n { "share" } th.bar.long {} } }
                tbody {
                    @for stamp in report.stamps.iter().take(ROWS_MAX) {
                        tr {
                            th scope="row" { (text(&stamp.id)) }
                            td.n { (figures::thousands(stamp.served)) }
                            td.n { (figures::percent(stamp.share)) }
                            td.bar { (meter(stamp.share)) }
                        }
                    }
                    @if report.stamps.is_empty() { (none(4, "No answer named the stamp that served it.")) }
                }
            }
            (left_out(report.stamps.len()))
        }
    }
}

fn fault_list(report: &Report) -> Markup {
    let marks = faults::sorted(report);
    let end = report.scenario.seconds;
    let moment = |seconds: f64| figures::moment(seconds, end);
    html! {
        @if !marks.is_empty() {
            section {
                h2 { "Faults" }
                table {
                    thead { tr { th.n.narrow { "number" } th.n.narrow { "from" } th.n.narrow { "until" } th { "what was done" } } }
                    tbody {
                        @for (index, mark) in marks.iter().enumerate().take(ROWS_MAX) {
                            tr {
                                td.n { (index + 1) }
                                td.n { (moment(mark.at)) }
                                td.n { @match mark.until { Some(until) => (moment(until)), None => "the end" } }
                                th scope="row" { (text(&mark.what)) }
                            }
                        }
                    }
                }
                (left_out(marks.len()))
            }
        }
    }
}

fn processes(report: &Report) -> Markup {
    let most =
        report.processes.iter().map(|of| of.rss_max_kib.max(of.rss_end_kib).max(of.rss_begin_kib)).max().unwrap_or(0);
    html! {
        section {
            h2 { "Processes" }
            table {
                thead {
                    tr {
                        th { "process" } th.n { "CPU seconds" } th.n { "of one core" } th.bar {}
                        th.n { "memory at begin" } th.n { "most" } th.n { "at end" } th.bar {} th.n { "descriptors" }
                    }
                }
                tbody {
                    @for process in report.processes.iter().take(ROWS_MAX) {
                        @let share = process.cpu_seconds / report.rate.elapsed;
                        tr {
                            th scope="row" { (text(&process.name)) }
                            td.n { (figures::number(process.cpu_seconds)) }
                            td.n { (figures::percent(share)) }
                            td.bar { (meter(share)) }
                            td.n { (figures::memory(process.rss_begin_kib)) }
                            td.n { (figures::memory(process.rss_max_kib)) }
                            td.n { (figures::memory(process.rss_end_kib)) }
                            td.bar { (range(process.rss_begin_kib, process.rss_max_kib, process.rss_end_kib, most)) }
                            td.n { (figures::thousands(process.descriptors)) }
                        }
                    }
                    @if report.processes.is_empty() { (none(9, "No process was watched.")) }
                }
            }
            (left_out(report.processes.len()))
            p.caption {
                "The memory bar ends at the most, from zero, on one scale for all: the thin line is where it began, the thick \
                 one where it ended. Memory that only grows ends at its most."
            }
        }
    }
}

fn shared(report: &Report) -> Markup {
    let rows = |of: &Shared| {
        [
            ("memory (L1)", Some(of.memory), Some(of.hits_memory)),
            ("memory or store (L1 + L2)", Some(of.memory.saturating_add(of.store)), Some(of.hits)),
            ("fetched for another request", Some(of.collapsed), None),
            ("came to an app, by its record", of.asked, None),
        ]
    };
    html! {
        @if let Some(of) = &report.shared {
            section {
                h2 { "Reads of shared resources" }
                table {
                    thead { tr { th { "answered from" } th.n { "requests" } th.n { "share" } th.bar.long {} } }
                    tbody {
                        @for (name, count, share) in rows(of) {
                            @let shown = count.map_or_else(|| figures::NOT_JUDGED.to_owned(), figures::thousands);
                            @let of_all = count.map_or_else(|| figures::NONE.to_owned(), |count| figures::percent_of(count, of.requests));
                            tr {
                                th scope="row" { (name) }
                                td.n { (shown) }
                                td.n { (share.map_or(of_all, figures::percent)) }
                                td.bar { @if let Some(share) = share { (meter(share)) } }
                            }
                        }
                    }
                }
                p.caption {
                    "Of " (figures::thousands(of.requests)) " requests, from the first one on, as Cache-Status of their answers \
                     says; the last row is what the apps themselves have seen."
                }
            }
        }
    }
}

fn relays(report: &Report) -> Markup {
    let relays = &report.relays;
    html! {
        @if !relays.is_empty() {
            section {
                h2 { "Connections between processes" }
                table {
                    thead {
                        tr {
                            th { "relay" } th.n { "relayed" } th.n { "nobody ready" } th.n { "not taken" }
                            th.n { "above the cap" } th.n { "accept errors" } th.n { "open at end" }
                        }
                    }
                    tbody {
                        @for relay in relays.iter().take(ROWS_MAX) {
                            tr class=[(relay.refused() > 0 || relay.accept_errors > 0).then_some("loud")] {
                                th scope="row" { (text(&relay.name)) }
                                @for count in [relay.relayed, relay.nobody_ready, relay.not_taken, relay.above_cap, relay.accept_errors] {
                                    td.n { (figures::thousands(count)) }
                                }
                                td.n { (figures::thousands(relay.open as u64)) }
                            }
                        }
                    }
                }
                (left_out(relays.len()))
                p.caption {
                    "From the begin of the world to the end of the load. What is relayed may still fail behind the relay; the                      other columns are connections that it ended itself."
                }
            }
        }
    }
}

/// Memory at begin, most and end on a scale that ends at `most`.
fn range(begin: u64, max: u64, end: u64, most: u64) -> Markup {
    let x = |kib: u64| (kib as f64 / most.max(1) as f64 * 1_180.0).round() / 10.0 + 1.0;
    html! {
        svg.range viewBox="0 0 120 12" aria-hidden="true" {
            rect.most x="1" y="3" width=(x(max) - 1.0) height="6" {}
            line.begin x1=(x(begin)) x2=(x(begin)) y1="1" y2="11" {}
            line.finish x1=(x(end)) x2=(x(end)) y1="1" y2="11" {}
        }
    }
}

fn checks(checks: &[Check]) -> Markup {
    let mut checks: Vec<&Check> = checks.iter().collect();
    checks.sort_by_key(|check| check.passed);
    html! {
        section {
            h2 { "Expectations" }
            table {
                thead { tr { th { "what" } th { "wanted" } th { "measured" } th { "met" } } }
                tbody {
                    @for check in checks.iter().take(ROWS_MAX) {
                        tr class=[(!check.passed).then_some("loud")] {
                            th scope="row" { (text(&check.name)) }
                            td { (text(&check.wanted)) }
                            td { (text(&check.measured)) }
                            td { @if check.passed { "✓ yes" } @else { "✗ no" } }
                        }
                    }
                    @if checks.is_empty() { (none(4, "Nothing was expected of this run.")) }
                }
            }
            (left_out(checks.len()))
        }
    }
}

fn examples(report: &Report) -> Markup {
    let examples = &report.oracle.examples;
    html! {
        @if !examples.is_empty() {
            section {
                h2 { "What the oracle found" }
                ul.examples { @for example in examples.iter().take(ROWS_MAX) { li { (text(example)) } } }
                (left_out(examples.len()))
            }
        }
    }
}

fn none(columns: u8, why: &str) -> Markup {
    html! { tr { td.soft colspan=(columns) { (why) } } }
}
