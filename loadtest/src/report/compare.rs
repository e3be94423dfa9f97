//! The difference of two runs, as an aligned table that is Markdown as well.
//!
//! Invariant: it says first why the two may not be compared; a ratio is only there where both runs have the figure.

use std::collections::BTreeMap;

mod difference;

use crate::report::{Judgement, Percentiles, Process, Report, Shared, Verdict, figures};

/// Most outcomes and processes.
const ROWS_MAX: usize = 60;
/// Most keys in which two scenarios differ.
const KEYS_MAX: usize = 8;

/// Warnings, then one table: A, B, B − A and B / A.
pub fn table(a: &Report, b: &Report) -> String {
    let mut text = format!("A: {}\nB: {}\n", named(a), named(b));
    text += &programs(a, b);
    for warning in warnings(a, b) {
        text += &format!("warning: {warning}\n");
    }
    let mut rows = vec![];
    rates(a, b, &mut rows);
    oracle(a, b, &mut rows);
    shared(a, b, &mut rows);
    outcomes(a, b, &mut rows);
    processes(a, b, &mut rows);
    text + "\n" + &aligned(&rows)
}

/// One line about a run.
fn named(report: &Report) -> String {
    let run = &report.scenario;
    format!(
        "{}{}, {}, seed {}, checkout {}, {}",
        name(&run.name),
        if run.short { " (short form)" } else { "" },
        report.verdict,
        run.seed,
        run.checkout.as_deref().map_or_else(|| "none".to_owned(), name),
        figures::date(run.began_ms),
    )
}

/// Which programs the two ran: what differs there is what one compares.
fn programs(a: &Report, b: &Report) -> String {
    let mut roles: Vec<&str> = vec![];
    for binary in a.scenario.binaries.iter().chain(&b.scenario.binaries) {
        if !roles.contains(&binary.role.as_str()) && roles.len() < ROWS_MAX {
            roles.push(&binary.role);
        }
    }
    let line = |role: &str| {
        let of = |report: &Report| {
            let binary = report.scenario.binaries.iter().find(|binary| binary.role == role);
            binary.map_or_else(|| "none".to_owned(), |binary| format!("{} {}", name(&binary.file), name(&binary.xxh3)))
        };
        let (a, b) = (of(a), of(b));
        let which = if a == b { format!("the same, {a}") } else { format!("A {a}, B {b}") };
        format!("{}: {which}\n", name(role))
    };
    roles.into_iter().map(line).collect()
}

/// Why the two may not be compared.
fn warnings(a: &Report, b: &Report) -> Vec<String> {
    let (run_a, run_b, machine_a, machine_b) = (&a.scenario, &b.scenario, &a.machine, &b.machine);
    let mut warnings = vec![];
    for (which, report) in [("A", a), ("B", b)] {
        if report.verdict == Verdict::Void {
            let why = report.void.iter().map(|reason| figures::plain(reason, 160)).collect::<Vec<_>>().join("; ");
            warnings.push(format!("{which} is void, its figures say nothing: {why}"));
        }
    }
    let mut differ = |what: &str, a: String, b: String| {
        if a != b {
            warnings.push(format!("{what} differs: A {a}, B {b}"));
        }
    };
    let form = |short: bool| if short { "short" } else { "full" }.to_owned();
    let cores = |cores: usize, model: &str| format!("{cores} × {}", name(model));
    differ("the scenario", name(&run_a.name), name(&run_b.name));
    differ("the form", form(run_a.short), form(run_b.short));
    differ("the seed", run_a.seed.to_string(), run_b.seed.to_string());
    differ("the processor", cores(machine_a.cores, &machine_a.model), cores(machine_b.cores, &machine_b.model));
    differ("the kernel", name(&machine_a.kernel), name(&machine_b.kernel));
    let memory = |mib: u64| format!("{} MiB", figures::thousands(mib));
    if machine_a.memory_mib.abs_diff(machine_b.memory_mib) > machine_a.memory_mib / 50 {
        differ("the machine's memory", memory(machine_a.memory_mib), memory(machine_b.memory_mib));
    }
    if (run_a.seconds - run_b.seconds).abs() > 0.01 * run_a.seconds {
        differ("the length", figures::length(run_a.seconds), figures::length(run_b.seconds));
    }
    let keys = difference::keys(&run_a.resolved, &run_b.resolved);
    if !keys.is_empty() {
        let shown = keys.iter().take(KEYS_MAX).map(|key| name(key)).collect::<Vec<_>>().join(", ");
        let more = if keys.len() > KEYS_MAX { format!(" and {} more", keys.len() - KEYS_MAX) } else { String::new() };
        warnings.push(format!("what was run differs in {shown}{more}: these are figures of two things"));
    }
    warnings
}

/// A figure of both runs.
struct Row {
    label: String,
    a: Option<f64>,
    b: Option<f64>,
    /// How a figure of it is written.
    written: fn(f64) -> String,
}

impl Row {
    fn new(label: &str, a: impl Into<Option<f64>>, b: impl Into<Option<f64>>) -> Self {
        let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
        Self { label: label.to_owned(), a: finite(a.into()), b: finite(b.into()), written: figures::number }
    }

    fn count(label: &str, a: Option<u64>, b: Option<u64>) -> Self {
        let figure = |count: Option<u64>| count.map(|count| count as f64);
        Self { written: figures::tick, ..Self::new(label, figure(a), figure(b)) }
    }

    fn cells(&self) -> [String; 5] {
        let shown = |value: Option<f64>| value.map_or_else(|| figures::NONE.to_owned(), self.written);
        let both = self.a.zip(self.b);
        let difference = both.map_or_else(|| figures::NONE.to_owned(), |(a, b)| self.signed(b - a));
        let ratio = both.filter(|(a, _)| *a > 0.0).map_or_else(|| figures::NONE.to_owned(), |(a, b)| ratio(b / a));
        // the label may come from a run, and a bar would end the cell
        [self.label.replace('|', "\\|"), shown(self.a), shown(self.b), difference, ratio]
    }

    fn signed(&self, difference: f64) -> String {
        let size = (self.written)(difference.abs());
        match difference {
            0.0 => "0".to_owned(),
            _ if difference > 0.0 => format!("+{size}"),
            _ => format!("−{size}"),
        }
    }
}

fn ratio(ratio: f64) -> String {
    if ratio < 100.0 { format!("{ratio:.3}") } else { figures::number(ratio) }
}

fn rates(a: &Report, b: &Report, rows: &mut Vec<Row>) {
    rows.push(Row::new("intended, requests/s", a.rate.intended, b.rate.intended));
    rows.push(Row::new("achieved, requests/s", a.rate.achieved, b.rate.achieved));
    rows.push(Row::count("connections opened again", Some(a.opened_again), Some(b.opened_again)));
    rows.push(Row::count("requests sent again", Some(a.sent_again), Some(b.sent_again)));
    for (label, a, b) in [
        ("latency", &a.latency, &b.latency),
        ("service", &a.service, &b.service),
        ("queue", &a.queue, &b.queue),
        ("lag", &a.lag, &b.lag),
    ] {
        let known = |of: &Percentiles, ms: f64| (of.count > 0).then_some(ms);
        for ((part, in_a), (_, in_b)) in a.parts().into_iter().zip(b.parts()) {
            rows.push(Row::new(&format!("{label} {part}, ms"), known(a, in_a), known(b, in_b)));
        }
    }
}

fn oracle(a: &Report, b: &Report, rows: &mut Vec<Row>) {
    let (a, b) = (&a.oracle, &b.oracle);
    let counts = [("sent", a.sent, b.sent), ("answered", a.answered, b.answered)];
    rows.extend(counts.map(|(label, a, b)| Row::count(label, Some(a), Some(b))));
    let recorded = |of: &Judgement| of.both_ends.then_some(of.recorded);
    rows.push(Row::count("recorded", recorded(a), recorded(b)));
    let found = a.findings().into_iter().zip(b.findings());
    rows.extend(found.map(|((label, a), (_, b))| Row::count(label, a, b)));
}

fn shared(a: &Report, b: &Report, rows: &mut Vec<Row>) {
    if a.shared.is_none() && b.shared.is_none() {
        return;
    }
    let count = |label: &str, of: fn(&Shared) -> Option<u64>| {
        Row::count(label, a.shared.as_ref().and_then(of), b.shared.as_ref().and_then(of))
    };
    let share = |label: &str, of: fn(&Shared) -> f64| {
        let percent = |report: &Report| report.shared.as_ref().map(|shared| of(shared) * 100.0);
        Row::new(label, percent(a), percent(b))
    };
    rows.push(count("shared reads", |of| Some(of.requests)));
    rows.push(share("shared reads from memory (L1), %", |of| of.hits_memory));
    rows.push(share("shared reads from memory or store (L1+L2), %", |of| of.hits));
    rows.push(count("shared reads collapsed", |of| Some(of.collapsed)));
    rows.push(count("shared reads asked of apps", |of| of.asked));
}

fn outcomes(a: &Report, b: &Report, rows: &mut Vec<Row>) {
    let counts = |report: &Report| -> BTreeMap<String, u64> {
        report.outcomes.iter().map(|outcome| (outcome.name.clone(), outcome.count)).collect()
    };
    // an outcome that did not happen happened no times
    let (of_a, of_b) = (counts(a), counts(b));
    let mut names: Vec<&String> = of_a.keys().chain(of_b.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let count = |of: &BTreeMap<String, u64>, outcome: &str| Some(of.get(outcome).copied().unwrap_or(0));
    rows.extend(names.into_iter().take(ROWS_MAX).map(|outcome| {
        Row::count(&format!("outcome {}", name(outcome)), count(&of_a, outcome), count(&of_b, outcome))
    }));
}

fn processes(a: &Report, b: &Report, rows: &mut Vec<Row>) {
    let mut names: Vec<&str> = vec![];
    for process in a.processes.iter().chain(&b.processes) {
        if !names.contains(&process.name.as_str()) && names.len() < ROWS_MAX {
            names.push(&process.name);
        }
    }
    let micros = |report: &Report, cpu_seconds: f64| cpu_seconds * 1e6 / report.oracle.answered as f64;
    let both = |label: &str, of: &dyn Fn(&Report) -> Option<f64>| Row::new(label, of(a), of(b));
    let cpu = |report: &Report| report.processes.iter().map(|process| process.cpu_seconds).sum::<f64>();
    rows.push(both("CPU of all, s", &|report| Some(cpu(report))));
    rows.push(both("CPU of all per answer, µs", &|report| Some(micros(report, cpu(report)))));
    for process in names {
        let of = |report: &Report, part: fn(&Process) -> f64| {
            report.processes.iter().find(|of| of.name == process).map(part)
        };
        let shown = name(process);
        rows.push(both(&format!("{shown}: CPU, s"), &|report| of(report, |of| of.cpu_seconds)));
        let per_answer = |report: &Report| of(report, |of| of.cpu_seconds).map(|cpu| micros(report, cpu));
        rows.push(both(&format!("{shown}: CPU per answer, µs"), &per_answer));
        rows.push(both(&format!("{shown}: memory at most, MiB"), &|report| {
            of(report, |of| of.rss_max_kib as f64 / 1_024.0)
        }));
        rows.push(both(&format!("{shown}: memory at end, MiB"), &|report| {
            of(report, |of| of.rss_end_kib as f64 / 1_024.0)
        }));
    }
}

/// Columns of one width; figures to the right.
fn aligned(rows: &[Row]) -> String {
    let head = ["", "A", "B", "B − A", "B / A"].map(str::to_owned);
    let cells: Vec<[String; 5]> = std::iter::once(head).chain(rows.iter().map(Row::cells)).collect();
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(3);
    let widths: [usize; 5] = std::array::from_fn(width);
    let line = |row: &[String; 5]| {
        let [label, figures @ ..] = row;
        let figures = figures.iter().zip(&widths[1..]).map(|(cell, width)| format!(" {cell:>width$} |"));
        format!("| {label:<width$} |{}\n", figures.collect::<String>(), width = widths[0])
    };
    let rule: String = widths[1..].iter().map(|width| format!("-{}:|", "-".repeat(*width))).collect();
    let rule = format!("|-{}-|{rule}\n", "-".repeat(widths[0]));
    let (head, body) = (&cells[0], &cells[1..]);
    line(head) + &rule + &body.iter().map(line).collect::<String>()
}

/// A name from a run, short enough for a cell.
fn name(raw: &str) -> String {
    figures::plain(raw, 44)
}
