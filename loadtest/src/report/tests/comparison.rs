use super::fixture;
use crate::report::{Outcome, Report, compare::table};

#[test]
fn it_shows_difference_and_ratio() {
    let (a, mut b) = (fixture::passed(), fixture::passed());
    b.latency.p99 = a.latency.p99 * 1.5;
    b.processes[0].cpu_seconds = a.processes[0].cpu_seconds / 2.0;
    b.outcomes.push(Outcome { name: "504 timeout".into(), count: 12, explained: 0, ..a.outcomes[0].clone() });
    let text = table(&a, &b);
    assert_eq!(row(&text, "latency p99, ms"), ["8.59", "12.9", "+4.30", "1.500"]);
    assert_eq!(row(&text, "latency p50, ms"), ["0.824", "0.824", "0", "1.000"]);
    assert_eq!(row(&text, "proxy synaxis-weu-001/1: CPU, s"), ["21.4", "10.7", "−10.7", "0.500"]);
    assert_eq!(row(&text, "proxy synaxis-weu-001/1: CPU per answer, µs"), ["71.5", "35.8", "−35.8", "0.500"]);
    assert_eq!(row(&text, "outcome 504 timeout"), ["0", "12", "+12", "–"]);
    assert_eq!(row(&text, "lost"), ["0", "0", "0", "–"]);
    assert!(!text.contains("warning"), "{text}");
}

#[test]
fn a_process_of_one_run_alone_has_no_ratio() {
    let (a, mut b) = (fixture::passed(), fixture::passed());
    b.processes[5].name = "generator/2".into();
    let text = table(&a, &b);
    assert_eq!(row(&text, "generator: CPU, s"), ["31.5", "–", "–", "–"]);
    assert_eq!(row(&text, "generator/2: CPU, s"), ["–", "31.5", "–", "–"]);
}

#[test]
fn reads_of_shared_resources_are_compared_where_a_run_has_some() {
    let (a, mut b) = (fixture::passed(), fixture::passed());
    assert!(!table(&a, &b).contains("shared reads"));
    b.shared = Some(fixture::shared());
    assert_eq!(row(&table(&a, &b), "shared reads from memory (L1), %"), ["–", "94.1", "–", "–"]);
    assert_eq!(row(&table(&b, &b), "shared reads from memory or store (L1+L2), %"), ["99.2", "99.2", "0", "1.000"]);
    assert_eq!(row(&table(&b, &b), "shared reads asked of apps"), ["60", "60", "0", "1.000"]);
}

#[test]
fn nothing_is_divided_by_no_answers() {
    let mut a = fixture::passed();
    a.oracle.answered = 0;
    a.latency.count = 0;
    let text = table(&a, &fixture::passed());
    assert_eq!(row(&text, "CPU of all per answer, µs")[0], "–");
    assert_eq!(row(&text, "latency p99, ms")[0], "–");
}

#[test]
fn it_warns_of_what_makes_runs_incomparable() {
    let changes: [Change; 10] = [
        ("the scenario differs", |b| b.scenario.name = "steady".into()),
        ("the form differs: A full, B short", |b| b.scenario.short = true),
        ("the seed differs: A 7215331, B 1", |b| b.scenario.seed = 1),
        ("what was run differs in load.connections: ", |b| b.scenario.resolved = changed(b, "64", "65")),
        ("what was run differs in load.connections, world.more: ", |b| {
            b.scenario.resolved = changed(b, "64", "65").replace("stamps = 3", "stamps = 3\nmore = 1");
        }),
        ("the processor differs", |b| b.machine.cores = 64),
        ("the kernel differs", |b| b.machine.kernel = "Linux 7".into()),
        ("the machine's memory differs", |b| b.machine.memory_mib *= 2),
        ("the length differs: A 60 s, B 30 s", |b| b.scenario.seconds = 30.0),
        ("B is void, its figures say nothing: the generator began", |b| *b = fixture::void()),
    ];
    for (warning, change) in changes {
        let mut b = fixture::passed();
        change(&mut b);
        let text = table(&fixture::passed(), &b);
        assert!(text.contains(&format!("warning: {warning}")), "{warning}:\n{text}");
        assert_eq!(text.matches("warning: ").count(), 1, "{warning}:\n{text}");
    }
}

#[test]
fn bounds_and_targets_make_nothing_incomparable() {
    let (a, mut b) = (fixture::passed(), fixture::passed());
    b.scenario.resolved += "[expect]\np99 = \"1s\"\n";
    b.scenario.resolved = format!("targets = [\"127.0.0.1:80\"]\n{}", b.scenario.resolved);
    assert!(!table(&a, &b).contains("warning"));
    b.scenario.resolved = "no TOML".into();
    assert!(table(&a, &b).contains("warning: what was run differs in its text"));
}

#[test]
fn other_programs_are_named_and_no_reason_to_warn() {
    let (a, mut b) = (fixture::passed(), fixture::passed());
    b.scenario.binaries[0].xxh3 = "1111111111111111".into();
    b.scenario.binaries.remove(1);
    let text = table(&a, &b);
    for line in [
        "proxy: A synaxis-proxy 0123456789abcdef, B synaxis-proxy 1111111111111111",
        "app: A synaxis-loadtest fedcba9876543210, B none",
        "generator: the same, synaxis-loadtest fedcba9876543210",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}:\n{text}");
    }
    assert!(!text.contains("warning"), "{text}");
}

#[test]
fn it_is_an_aligned_markdown_table_whatever_the_names_are() {
    let mut b = fixture::passed();
    b.outcomes[1].name = "5|3 \u{1b}[2J\n".into();
    let text = table(&fixture::passed(), &b);
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 30);
    assert!(rows.iter().all(|row| row.chars().count() == rows[0].chars().count()), "{text}");
    assert!(rows.iter().all(|row| row.replace("\\|", "").matches('|').count() == 6), "{text}");
}

/// A warning and what brings it about.
type Change = (&'static str, fn(&mut Report));

fn changed(report: &Report, from: &str, to: &str) -> String {
    report.scenario.resolved.replace(from, to)
}

/// The figures of a row.
fn row(text: &str, label: &str) -> [String; 4] {
    let mut rows = text.lines().map(|line| line.split('|').map(str::trim).map(str::to_owned).collect::<Vec<_>>());
    let row = rows.find(|row| row.get(1).is_some_and(|name| name == label));
    let row = row.unwrap_or_else(|| panic!("no row {label} in\n{text}"));
    std::array::from_fn(|index| row[index + 2].clone())
}
