//! The run in a few lines of text: the first screen of the page for those who do not open it.
//!
//! Invariant: what failed comes first; no line depends on colour, and nothing from the run can move the cursor.

use std::fmt::Write as _;

use crate::report::{
    Binary, Check, Mark, Outcome, Percentiles, Relay, Report, StampShare, Verdict, figures, plot::faults,
};

/// Most failed checks and reasons.
const FAILED_MAX: usize = 6;
/// Most outcomes, faults and processes.
const ROWS_MAX: usize = 4;

/// Plain text, about twenty lines.
pub fn summary(report: &Report) -> String {
    Summary { report, colour: false }.write()
}

/// The same with ANSI colours for the verdict and what failed.
pub fn summary_in_colour(report: &Report) -> String {
    Summary { report, colour: true }.write()
}

struct Summary<'a> {
    report: &'a Report,
    colour: bool,
}

/// What a piece of text says about the run.
#[derive(Clone, Copy)]
enum Tone {
    Good,
    Bad,
    Worthless,
}

impl Summary<'_> {
    fn write(&self) -> String {
        let sections = [
            self.verdict(),
            self.run(),
            self.rates(),
            self.oracle(),
            self.shared(),
            self.outcomes(),
            self.stamps(),
            self.faults(),
            self.processes(),
            self.refused(),
        ];
        sections.concat()
    }

    fn paint(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => 32,
            Tone::Bad => 31,
            Tone::Worthless => 33,
        };
        if self.colour { format!("\u{1b}[1;{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn verdict(&self) -> String {
        let (report, run) = (self.report, &self.report.scenario);
        let tone = match report.verdict {
            Verdict::Passed => Tone::Good,
            Verdict::Failed => Tone::Bad,
            Verdict::Void => Tone::Worthless,
        };
        let verdict = self.paint(tone, &report.verdict.to_string().to_uppercase());
        let short = if run.short { " (short form)" } else { "" };
        let mut text = format!("{verdict}  {}{short}: {}\n", name(&run.name), figures::plain(&run.about, 100));
        for reason in report.void.iter().take(FAILED_MAX) {
            text += &format!("  {}  {}\n", self.paint(Tone::Worthless, "void  "), figures::plain(reason, 160));
        }
        text += &and_more(report.void.len(), FAILED_MAX);
        let failed: Vec<&Check> = report.checks.iter().filter(|check| !check.passed).collect();
        let widths = failed.iter().take(FAILED_MAX).fold((0, 0), |widths, check| {
            (widths.0.max(characters(&name(&check.name))), widths.1.max(characters(&name(&check.measured))))
        });
        for check in failed.iter().take(FAILED_MAX) {
            let sign = self.paint(Tone::Bad, "failed");
            let (what, measured) = (padded(&name(&check.name), widths.0), padded(&name(&check.measured), widths.1));
            text += &format!("  {sign}  {what}  was {measured}  wanted {}\n", name(&check.wanted));
        }
        text += &and_more(failed.len(), FAILED_MAX);
        let all = report.checks.len();
        text + &format!("  {} of {all} expectations met\n", all - failed.len())
    }

    fn run(&self) -> String {
        let (run, machine) = (&self.report.scenario, &self.report.machine);
        let checkout = run.checkout.as_deref().map_or_else(|| "none".to_owned(), name);
        let cores = if machine.cores == 1 { "core" } else { "cores" };
        let threads = if run.threads == 1 { "thread" } else { "threads" };
        let http2 = match run.http2_connections {
            0 => String::new(),
            some => format!(", {} of HTTP/2", figures::thousands(some as u64)),
        };
        let mut text = format!(
            "run        seed {}, checkout {checkout}, began {}, {} long\n\
             client     {} {threads}, {} kept connections{http2}\n\
             machine    {} {cores}, {}, {} MiB, {}\n",
            run.seed,
            figures::date(run.began_ms),
            figures::length(run.seconds),
            run.threads,
            figures::thousands(run.connections as u64),
            machine.cores,
            name(&machine.model),
            figures::thousands(machine.memory_mib),
            name(&machine.kernel),
        );
        let program = |binary: &Binary| format!("{} {} {}", name(&binary.role), name(&binary.file), name(&binary.xxh3));
        text += &list("programs", run.binaries.iter().map(program));
        for note in run.notes.iter().take(FAILED_MAX) {
            text += &format!("note       {}\n", figures::plain(note, 160));
        }
        text
    }

    fn rates(&self) -> String {
        let report = self.report;
        let rate = &report.rate;
        let share = if rate.intended > 0.0 { rate.achieved / rate.intended } else { f64::NAN };
        let mut text = format!(
            "rate       intended {}/s, achieved {}/s ({})\n",
            figures::number(rate.intended),
            figures::number(rate.achieved),
            figures::percent(share),
        );
        let head = report.latency.parts().map(|(part, _)| format!("{part:>10}")).concat();
        let _ = writeln!(text, "ms        {head}{:>13}", "count");
        let rows: [(&str, &Percentiles); 4] = [
            ("latency", &report.latency),
            ("service", &report.service),
            ("queue", &report.queue),
            ("lag", &report.lag),
        ];
        for (label, of) in rows {
            let shown = |ms: f64| if of.count == 0 { figures::NONE.to_owned() } else { figures::number(ms) };
            let cells = of.parts().map(|(_, ms)| format!("{:>10}", shown(ms)));
            let _ = writeln!(text, "{label:<10}{}{:>13}", cells.concat(), figures::thousands(of.count));
        }
        let busiest = report.busiest();
        let (opened, sent) = (figures::thousands(report.opened_again), figures::thousands(report.sent_again));
        let _ = writeln!(
            text,
            "generator  {} of a core in its busiest second and thread, {opened} connections opened again, {sent} requests \
             sent again",
            figures::percent(busiest)
        );
        text
    }

    fn oracle(&self) -> String {
        let of = &self.report.oracle;
        let finding = |(label, count): (&str, Option<u64>)| match count {
            None => format!("{label} {}", figures::NOT_JUDGED),
            Some(0) => format!("{label} 0"),
            Some(count) => self.paint(Tone::Bad, &format!("{label} {}", figures::thousands(count))),
        };
        let findings = of.findings().map(finding);
        let ends = if of.both_ends {
            format!("{} recorded by the origins", figures::thousands(of.recorded))
        } else {
            "only the client's end was judged".to_owned()
        };
        let (sent, answered) = (figures::thousands(of.sent), figures::thousands(of.answered));
        format!("oracle     {}\n           {sent} sent, {answered} answered as wanted, {ends}\n", findings.join(", "))
    }

    fn shared(&self) -> String {
        let Some(of) = &self.report.shared else { return String::new() };
        let [requests, collapsed] = [of.requests, of.collapsed].map(figures::thousands);
        let asked = of.asked.map_or_else(|| figures::NOT_JUDGED.to_owned(), figures::thousands);
        format!(
            "shared     {requests} reads, memory (L1) {}, memory or store (L1+L2) {}, collapsed {collapsed}, asked of apps {asked}\n",
            figures::percent(of.hits_memory),
            figures::percent(of.hits),
        )
    }

    fn outcomes(&self) -> String {
        let outcome = |outcome: &Outcome| {
            let text = format!("{} {}", name(&outcome.name), figures::thousands(outcome.count));
            match outcome.count.saturating_sub(outcome.explained) {
                0 => text,
                some => self.paint(Tone::Bad, &format!("{text} ({} unexplained)", figures::thousands(some))),
            }
        };
        list("outcomes", self.report.outcomes.iter().map(outcome))
    }

    fn stamps(&self) -> String {
        let share = |stamp: &StampShare| format!("{} {}", name(&stamp.id), figures::percent(stamp.share));
        list("stamps", self.report.stamps.iter().map(share))
    }

    fn faults(&self) -> String {
        let end = self.report.scenario.seconds;
        let moment = |seconds| figures::moment(seconds, end);
        let fault = |mark: &Mark| {
            let until = match mark.until {
                Some(until) if until <= mark.at => String::new(),
                Some(until) => format!(" to {}", moment(until)),
                None => " to the end".to_owned(),
            };
            format!("{}{until}: {}", moment(mark.at), name(&mark.what))
        };
        list("faults", faults::sorted(self.report).into_iter().map(fault))
    }

    /// Connections that a balancer or a chaos proxy did not pass on; nothing if there are none.
    fn refused(&self) -> String {
        let refused: Vec<&Relay> = self.report.relays.iter().filter(|relay| relay.refused() > 0).collect();
        let words = |relay: &&Relay| {
            let all = relay.relayed.saturating_add(relay.refused());
            let (refused, all) = (figures::thousands(relay.refused()), figures::thousands(all));
            self.paint(Tone::Bad, &format!("{} {refused} of {all} connections", figures::plain(&relay.name, 60)))
        };
        list("refused", refused.iter().map(words))
    }

    fn processes(&self) -> String {
        let mut processes: Vec<_> = self.report.processes.iter().collect();
        processes.sort_by(|a, b| b.cpu_seconds.total_cmp(&a.cpu_seconds));
        let mut text = String::new();
        let shown = processes.iter().take(ROWS_MAX);
        let width = shown.clone().map(|process| characters(&name(&process.name))).max().unwrap_or(0);
        for (index, process) in shown.enumerate() {
            let label = if index == 0 { "processes" } else { "" };
            let share = process.cpu_seconds / self.report.rate.elapsed;
            let _ = writeln!(
                text,
                "{label:<10} {}  {:>7} CPU s  {:>7} of a core  {:>10}, at most {:>10}  {:>6} descriptors",
                padded(&name(&process.name), width),
                figures::number(process.cpu_seconds),
                figures::percent(share),
                figures::memory(process.rss_end_kib),
                figures::memory(process.rss_max_kib),
                figures::thousands(process.descriptors),
            );
        }
        text + &and_more(processes.len(), ROWS_MAX)
    }
}

/// A name from the run, short enough for a line.
fn name(raw: &str) -> String {
    figures::plain(raw, 44)
}

fn characters(text: &str) -> usize {
    text.chars().count()
}

fn padded(text: &str, width: usize) -> String {
    format!("{text:<width$}")
}

fn and_more(all: usize, shown: usize) -> String {
    if all > shown {
        format!("           and {} more\n", figures::thousands((all - shown) as u64))
    } else {
        String::new()
    }
}

/// One line of a few items; nothing if there is none.
fn list(label: &str, items: impl ExactSizeIterator<Item = String>) -> String {
    let all = items.len();
    let mut shown: Vec<String> = items.take(ROWS_MAX).collect();
    if all > shown.len() {
        shown.push(format!("{} more", figures::thousands((all - shown.len()) as u64)));
    }
    if shown.is_empty() { String::new() } else { format!("{label:<10} {}\n", shown.join(", ")) }
}
