//! Invented runs: a drain under load that passed, failed or is void.

use std::collections::BTreeMap;

use crate::report::{
    Binary, Check, FORMAT, Judgement, Machine, Mark, Outcome, Percentiles, Process, Rate, Relay, Report, Run, Second,
    Shared, StampShare, Step, Verdict,
};

/// A stamp is drained from 20 s to 35 s of a minute, another one is killed at 45 s; every expectation was met.
pub(crate) fn passed() -> Report {
    drain(60)
}

/// The same, with three expectations that were not met.
pub(crate) fn failed() -> Report {
    let mut report = passed();
    report.verdict = Verdict::Failed;
    for (name, measured) in [("p99", "63.1 ms"), ("lost", "2"), ("unexplained", "7")] {
        let check = report.checks.iter_mut().find(|check| check.name == name).unwrap();
        check.measured = measured.into();
        check.passed = false;
    }
    report.oracle.lost = 2;
    report.oracle.unexplained = 7;
    report.oracle.examples = vec![
        "lost: request 48,211 of tenant-0042 was answered 200 by synaxis-weu-002, no origin has a record".into(),
        "unexplained: request 50,003 of tenant-0007 ended as `reset` at 47.2 s, no fault is declared there".into(),
    ];
    report.outcomes[2].explained = report.outcomes[2].count - 7;
    report
}

/// The same, and the generator fell behind.
pub(crate) fn void() -> Report {
    let mut report = passed();
    report.verdict = Verdict::Void;
    report.void = vec![
        "the generator began 4.1 % of the requests more than 10 ms late (at most 1 % may be)".into(),
        "the generator used 97 % of its core".into(),
    ];
    report.lag = percentiles(300_000, 4.5);
    report
}

/// Reads of shared resources, which no run above has.
pub(crate) fn shared() -> Shared {
    let (requests, memory, store, collapsed) = (10_000, 9_412, 509, 19);
    Shared { requests, memory, store, collapsed, asked: Some(60), hits_memory: 0.9412, hits: 0.9921 }
}

/// A drain in a run of so many seconds.
pub(crate) fn drain(seconds: u32) -> Report {
    let scale = f64::from(seconds) / 60.0;
    let seconds: Vec<Second> = (0..seconds).map(|at| second(at, f64::from(at) / scale)).collect();
    let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
    let mut stamps: BTreeMap<String, u64> = BTreeMap::new();
    for second in &seconds {
        second.outcomes.iter().for_each(|(name, count)| *outcomes.entry(name.clone()).or_default() += count);
        second.stamps.iter().for_each(|(name, count)| *stamps.entry(name.clone()).or_default() += count);
    }
    let sent: u64 = outcomes.values().sum();
    let answered = outcomes["ok"];
    let mut outcomes: Vec<Outcome> = outcomes.into_iter().map(|(name, count)| outcome(name, count)).collect();
    outcomes.sort_by_key(|outcome| std::cmp::Reverse(outcome.count));
    let share =
        |(id, served): (String, u64)| StampShare { id, served, share: rounded(served as f64 / answered as f64) };
    let length = seconds.len() as f64;
    Report {
        format: FORMAT,
        scenario: Run {
            name: "drain-under-load".into(),
            about: "A stamp is drained while it serves, and a process dies later: tenants move once, nothing is lost."
                .into(),
            seed: 7_215_331,
            short: false,
            arguments: vec!["run".into(), "drain-under-load".into(), "--rate".into(), "5000".into()],
            notes: vec![],
            resolved: "seed = 7215331\n\n[world]\nstamps = 3\n\n[load]\nconnections = 64\n".into(),
            checkout: Some("70be36d1c2+".into()),
            binaries: vec![
                binary("proxy", "synaxis-proxy", "0123456789abcdef"),
                binary("app", "synaxis-loadtest", "fedcba9876543210"),
                binary("generator", "synaxis-loadtest", "fedcba9876543210"),
            ],
            threads: 2,
            connections: 64,
            http2_connections: 0,
            began_ms: 1_790_000_000_000,
            seconds: length,
        },
        machine: Machine {
            cores: 2,
            model: "AMD EPYC 9V74 80-Core Processor".into(),
            memory_mib: 7_936,
            kernel: "Linux 6.8.0-1021".into(),
        },
        verdict: Verdict::Passed,
        void: vec![],
        checks: checks(),
        rate: Rate { elapsed: length, intended: 5_000.0, achieved: rounded(answered as f64 / length), in_time: 1.0 },
        latency: percentiles(answered, 1.0),
        service: percentiles(answered, 0.8),
        lag: percentiles(sent, 0.02),
        queue: percentiles(sent, 0.01),
        opened_again: 0,
        sent_again: 0,
        curve: curve(),
        oracle: Judgement {
            both_ends: true,
            echo: true,
            sent,
            answered,
            recorded: answered + 12,
            ..Judgement::default()
        },
        shared: None,
        seconds,
        outcomes,
        stamps: stamps.into_iter().map(share).collect(),
        faults: vec![
            Mark { at: 20.0 * scale, until: Some(35.0 * scale), what: "drain synaxis-weu-002".into() },
            Mark { at: 22.0 * scale, until: Some(24.0 * scale), what: "latency 80 ms at synaxis-weu-001/1".into() },
            Mark { at: 45.0 * scale, until: Some(45.0 * scale), what: "kill synaxis-weu-003/2".into() },
            Mark { at: 52.0 * scale, until: None, what: "redis hung".into() },
        ],
        processes: processes(),
        relays: vec![relay("synaxis-weu-001", 9_120), relay("synaxis-weu-002", 3_047)],
    }
}

/// A second of the drain; `minute` is where it lies when the run is squeezed into a minute.
fn second(at: u32, minute: f64) -> Second {
    // a small generator is enough noise, and the same everywhere
    let noise = f64::from((at.wrapping_mul(2_654_435_761) >> 16) % 1_000) / 1_000.0;
    let drained = ((minute - 20.0) / 15.0).clamp(0.0, 1.0);
    let slow = if (22.0..24.0).contains(&minute) { 30.0 } else { 1.0 };
    let killed = (45.0..46.5).contains(&minute);
    let intended = 4_950 + (noise * 100.0) as u64;
    let stopped = if (20.0..35.0).contains(&minute) { (noise * 9.0) as u64 } else { 0 };
    let reset = if killed { 37 } else { 0 };
    let refused = if killed { 120 + (noise * 40.0) as u64 } else { 0 };
    let ok = intended - stopped - reset - refused;
    let moved = (ok as f64 / 3.0 * (1.0 - drained)) as u64;
    let rest = ok - moved;
    let counted = |pairs: &[(&str, u64)]| {
        pairs.iter().filter(|(_, count)| *count > 0).map(|(name, count)| ((*name).to_owned(), *count)).collect()
    };
    Second {
        at,
        intended,
        answered: if killed {
            ok - 600
        } else if (46.5..47.5).contains(&minute) {
            ok + 500
        } else {
            ok
        },
        p50: rounded(0.7 + noise * 0.2),
        p99: rounded((2.4 + noise) * slow * if killed { 20.0 } else { 1.0 }),
        max: rounded((9.0 + noise * 20.0) * if killed { 8.0 } else { slow.sqrt() * 1.4 }),
        lag_p99: 0.1,
        busy: 0.3,
        outcomes: counted(&[("ok", ok), ("503 draining", stopped), ("reset", reset), ("502 connect_refused", refused)]),
        histograms: BTreeMap::from([("ok".to_owned(), "HISTFAAA".to_owned())]),
        stamps: counted(&[
            ("synaxis-weu-001", rest / 2),
            ("synaxis-weu-002", moved),
            ("synaxis-weu-003", rest - rest / 2),
        ]),
    }
}

fn outcome(name: String, count: u64) -> Outcome {
    let (p50, p99, max) = if name == "ok" { (0.82, 3.69, 29.4) } else { (1_020.0, 2_480.0, 10_007.0) };
    Outcome { name, count, explained: count, p50, p99, max, histogram: "HISTFAAA".into() }
}

fn relay(id: &str, relayed: u64) -> Relay {
    Relay { name: format!("balancer before the edge of {id}"), relayed, open: 64, ..Relay::default() }
}

fn binary(role: &str, file: &str, xxh3: &str) -> Binary {
    Binary { role: role.into(), file: file.into(), xxh3: xxh3.into() }
}

fn percentiles(count: u64, scale: f64) -> Percentiles {
    let at = |nines: f64| rounded(ms_at(nines) * scale);
    let p50 = at(0.3);
    Percentiles { count, mean: rounded(p50 * 1.3), p50, p90: at(1.0), p99: at(2.0), p999: at(3.0), max: at(5.4) }
}

fn curve() -> Vec<Step> {
    let step = |tenth: u32| {
        let nines = f64::from(tenth) / 10.0;
        let quantile = ((1.0 - 10_f64.powf(-nines)) * 1e7).round() / 1e7;
        Step { quantile, ms: rounded(ms_at(nines)) }
    };
    (0..54).map(step).chain([Step { quantile: 1.0, ms: rounded(ms_at(5.4)) }]).collect()
}

/// Latency at 90 (1 nine), 99 (2 nines) … per cent: a bend where the faults begin to show.
fn ms_at(nines: f64) -> f64 {
    0.7 + nines * 0.35 + 90.0 / (1.0 + (-4.0 * (nines - 2.9)).exp()) + nines.powi(3) * 0.6
}

/// Few enough digits that JSON reads back what it wrote.
fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

fn checks() -> Vec<Check> {
    let check = |name: &str, wanted: &str, measured: &str| Check {
        name: name.into(),
        wanted: wanted.into(),
        measured: measured.into(),
        passed: true,
    };
    vec![
        check("achieved", "≥ 99 % of intended", "99.87 %"),
        check("p50", "≤ 2 ms", "0.82 ms"),
        check("p99", "≤ 50 ms", "3.69 ms"),
        check("lost", "0", "0"),
        check("duplicated", "0", "0"),
        check("cross-talk", "0", "0"),
        check("misrouted", "0", "0"),
        check("unexplained", "0", "0"),
        check("invented", "0", "0"),
        check("tenants moved more than once", "0", "0"),
    ]
}

fn processes() -> Vec<Process> {
    let process = |name: &str, cpu_seconds: f64, kib: [u64; 3], descriptors: u64| Process {
        name: name.into(),
        cpu_seconds,
        rss_begin_kib: kib[0],
        rss_max_kib: kib[1],
        rss_end_kib: kib[2],
        descriptors_begin: descriptors,
        descriptors_max: descriptors,
        descriptors,
    };
    vec![
        process("proxy synaxis-weu-001/1", 21.43, [18_204, 41_388, 33_120], 412),
        process("proxy synaxis-weu-002/1", 14.07, [18_112, 38_044, 22_980], 96),
        process("proxy synaxis-weu-003/1", 22.91, [18_320, 44_700, 44_512], 431),
        process("origin synaxis-weu-001", 6.2, [8_204, 9_960, 9_812], 120),
        process("redis-server", 0.82, [7_120, 8_040, 8_040], 23),
        process("generator", 31.5, [22_400, 96_220, 61_004], 1_033),
    ]
}
