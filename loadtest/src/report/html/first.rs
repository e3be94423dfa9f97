//! The first screen: what was run, what it ran on, the verdict and the figures that it rests on.
//!
//! Invariant: zeros are calm and everything else is loud; a void run shows its figures faded, because they say nothing.

use maud::{Markup, html};

use super::text;
use crate::report::{Check, Judgement, Report, Verdict, figures};

/// Most failed checks and reasons in the banner.
const SHOWN_MAX: usize = 6;

pub(super) fn screen(report: &Report) -> Markup {
    let run = &report.scenario;
    html! {
        header {
            p.eyebrow { "load and fault run" @if run.short { " · short form" } }
            h1 { (text(&run.name)) }
            p.about { (text(&run.about)) }
            (banner(report))
            (facts(report))
            div.tiles {
                (rate(report))
                (latency(report))
                (oracle(&report.oracle))
            }
        }
    }
}

fn banner(report: &Report) -> Markup {
    let failed: Vec<&Check> = report.checks.iter().filter(|check| !check.passed).collect();
    let (sign, word) = match report.verdict {
        Verdict::Passed => ("✓", "Passed"),
        Verdict::Failed => ("✗", "Failed"),
        Verdict::Void => ("∅", "Void"),
    };
    let all = report.checks.len();
    html! {
        section.verdict.(report.verdict) {
            p.word { span.sign aria-hidden="true" { (sign) } " " (word) }
            div.why {
                @match report.verdict {
                    Verdict::Passed if all == 0 => p { "Nothing was expected of this run." },
                    Verdict::Passed => p { (met(all - failed.len(), all)) },
                    Verdict::Failed => {
                        p { (met(all - failed.len(), all)) }
                        ul {
                            @for check in failed.iter().take(SHOWN_MAX) {
                                li { b { (text(&check.name)) } " was " b { (text(&check.measured)) } ", wanted " (text(&check.wanted)) }
                            }
                            (more(failed.len()))
                        }
                    },
                    Verdict::Void => {
                        p { "The figures say nothing about the system under test." }
                        ul {
                            @for reason in report.void.iter().take(SHOWN_MAX) { li { (text(reason)) } }
                            (more(report.void.len()))
                        }
                    },
                }
            }
        }
    }
}

fn met(met: usize, all: usize) -> String {
    match all {
        1 if met == 1 => "The one expectation was met.".to_owned(),
        _ if met == all => format!("All {all} expectations were met."),
        _ => format!("{met} of {all} expectations were met."),
    }
}

fn more(all: usize) -> Markup {
    html! { @if all > SHOWN_MAX { li { "and " (all - SHOWN_MAX) " more" } } }
}

fn facts(report: &Report) -> Markup {
    let (run, machine) = (&report.scenario, &report.machine);
    let checkout = run.checkout.as_deref().map_or_else(|| "none".to_owned(), |commit| figures::plain(commit, 60));
    html! {
        dl.facts {
            div { dt { "Began" } dd { (figures::date(run.began_ms)) } }
            div { dt { "Length" } dd { (figures::length(run.seconds)) } }
            div { dt { "Seed" } dd { code { (run.seed) } } }
            div {
                dt { "Client" }
                dd {
                    (run.threads) @if run.threads == 1 { " thread, " } @else { " threads, " }
                     (figures::thousands(run.connections as u64)) " kept connections"
                    @if run.http2_connections > 0 { ", " (figures::thousands(run.http2_connections as u64)) " of HTTP/2" }
                }
            }
            div {
                dt { "Checkout when it ran" }
                dd { code { (checkout) } @if checkout.ends_with('+') { span.soft { " changed work tree" } } }
            }
            div {
                dt { "Machine" }
                dd {
                    (machine.cores) @if machine.cores == 1 { " core" } @else { " cores" }
                    ", " (text(&machine.model)) ", " (figures::thousands(machine.memory_mib)) " MiB, " (text(&machine.kernel))
                }
            }
            @for note in run.notes.iter().take(SHOWN_MAX) { div { dt { "Note" } dd { (text(note)) } } }
        }
    }
}

fn rate(report: &Report) -> Markup {
    let rate = &report.rate;
    let share = if rate.intended > 0.0 { rate.achieved / rate.intended } else { f64::NAN };
    html! {
        section.tile.rate {
            h2 { "Rate" }
            p.big { (figures::number(rate.achieved)) span.unit { "requests/s achieved" } }
            (meter(share))
            p.soft { (figures::percent(share)) " of " (figures::number(rate.intended)) "/s intended" }
        }
    }
}

/// A bar that is full at one.
pub(super) fn meter(share: f64) -> Markup {
    let width = if share.is_finite() { (share.clamp(0.0, 1.0) * 1_000.0).round() / 10.0 } else { 0.0 };
    html! { div.meter aria-hidden="true" { div style={ "width:" (width) "%" } {} } }
}

fn latency(report: &Report) -> Markup {
    let of = &report.latency;
    let shown = |ms: f64| if of.count == 0 { figures::NONE.to_owned() } else { figures::latency(ms) };
    html! {
        section.tile.latency {
            h2 { "Latency" }
            dl {
                @for (name, ms) in [("p50", of.p50), ("p99", of.p99), ("p99.9", of.p999), ("max", of.max)] {
                    div { dt { (name) } dd.big { (shown(ms)) } }
                }
            }
            p.soft {
                "of " (figures::thousands(of.count)) " answers, from the intended start; the generator was at most "
                (figures::latency(report.lag.max)) " late"
            }
        }
    }
}

fn oracle(of: &Judgement) -> Markup {
    let meanings = [
        "success was seen, no origin has a record",
        "ran more than once, must run once",
        "the answer was another request's",
        "served by a stamp that the table did not name",
        "failed, and no fault explains it",
        "recorded by an origin, sent by nobody",
    ];
    html! {
        section.tile.oracle {
            h2 { "Oracle" }
            dl {
                @for ((name, count), meaning) in of.findings().into_iter().zip(meanings) {
                    div class=[count.map(|count| if count == 0 { "calm" } else { "loud" })] {
                        dt { (name) }
                        dd.big {
                            @match count {
                                Some(count) => (figures::thousands(count)),
                                None => span.unjudged { (figures::NOT_JUDGED) },
                            }
                        }
                        dd.meaning { (meaning) }
                    }
                }
            }
            p.soft {
                (figures::thousands(of.sent)) " sent, " (figures::thousands(of.answered)) " answered as wanted"
                @if of.both_ends { ", " (figures::thousands(of.recorded)) " recorded by the origins" }
                @else { "; there are no records of the origins, only the client's end was judged" }
            }
        }
    }
}
