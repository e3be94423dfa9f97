//! Expectations against figures, and whether the figures are worth anything.

use std::time::Duration;

use super::{aftermath::Aftermath, figures::count, impact};
use crate::{
    client::{NO_SOCKET, OK, Samples},
    descriptors,
    fault::Window,
    oracle::Oracle,
    quantity::{micros, millis},
    report::{Check, Percentiles, Report},
    scenario::{Scenario, Share},
    world::stamp_id,
};

/// A disturbed second bends the load for a moment, and its latencies count from the intended starts all the same; with more
/// than one in so many, the load was another one.
const LATE_ONE_IN: usize = 20;

/// With fewer descriptors left than these, between two looks, there may have been none.
const SPARE: u64 = 32;

/// Why a run says nothing about the system under test. `prompt` is the latency from the instant in which the generator got to
/// a request.
pub(super) fn void(scenario: &Scenario, report: &Report, prompt: &Percentiles) -> Vec<String> {
    let mut reasons = Vec::new();
    let bound = millis(scenario.load.lag_max);
    if report.lag.p99 > bound {
        reasons.push(format!(
            "the generator fell behind its schedule: one request in a hundred began {:.1} ms or more after its intended \
             start (allowed {bound:.1} ms), at worst {:.1} ms; lower the rate or give it more of the machine",
            report.lag.p99, report.lag.max
        ));
    }
    let late = || report.seconds.iter().filter(|second| second.lag_p99 > bound);
    let worst = late().max_by(|a, b| a.lag_p99.total_cmp(&b.lag_p99));
    if let Some(worst) = worst.filter(|_| late().count() * LATE_ONE_IN > report.seconds.len()) {
        reasons.push(format!(
            "the generator fell behind its schedule in {} of {} seconds; in second {} one request in a hundred began \
             {:.1} ms or more after its intended start (allowed {bound:.1} ms)",
            late().count(),
            report.seconds.len(),
            worst.at,
            worst.lag_p99
        ));
    }
    let most = scenario.load.busy_max;
    let busy = || report.seconds.iter().filter(|second| second.busy > most);
    if let Some(first) = busy().next() {
        reasons.push(format!(
            "a thread of the generator was busy or waiting for a core all the time in {} of {} seconds (first in second \
             {}, {:.0} %, allowed {:.0} %): what it measured then is itself",
            busy().count(),
            report.seconds.len(),
            first.at,
            first.busy * 100.0,
            most * 100.0
        ));
    }
    if let Some(own) = report.outcomes.iter().find(|outcome| outcome.name == NO_SOCKET) {
        reasons.push(format!("the generator's machine had no socket for {} requests", own.count));
    }
    let own = report.processes.iter().find(|process| process.name == "client").map_or(0, |own| own.descriptors_max);
    if descriptors::limit().is_some_and(|limit| own + SPARE > limit) {
        reasons.push(format!("the generator had {own} descriptors open, nearly all that it may have: `ulimit -Hn`"));
    }
    if most < 1.0 && scenario.length() >= Duration::from_secs(1) && report.seconds.iter().all(|at| at.busy == 0.0) {
        reasons.push("this kernel does not tell how busy a thread is (/proc/thread-self/schedstat)".into());
    }
    let seconds = report.rate.elapsed.max(f64::MIN_POSITIVE);
    let apps = report.processes.iter().filter(|process| process.name.starts_with("origin "));
    for app in apps.filter(|app| app.cpu_seconds / seconds > most) {
        // it has one thread
        let used = app.cpu_seconds / seconds * 100.0;
        reasons.push(format!("{} used {used:.0} % of the one core that it can use: the app was the limit", app.name));
    }
    let measured = bounds(scenario, &report.latency).into_iter().zip(bounds(scenario, prompt));
    for ((name, bound, measured), (_, _, prompt)) in measured {
        if bound.is_some_and(|bound| measured > millis(bound) && prompt <= millis(bound)) {
            reasons.push(format!(
                "{name} is {measured:.2} ms and over its bound only because the generator began late: from its begin it \
                 is {prompt:.2} ms"
            ));
        }
    }
    if report.oracle.sent == 0 {
        reasons.push("no request was to be sent".into());
    }
    reasons
}

/// Bounds of latency with what was measured, in milliseconds.
fn bounds(scenario: &Scenario, measured: &Percentiles) -> [(&'static str, Option<Duration>, f64); 4] {
    let expect = &scenario.expect;
    [
        ("p50", expect.p50, measured.p50),
        ("p99", expect.p99, measured.p99),
        ("p99.9", expect.p999, measured.p999),
        ("max", expect.max, measured.max),
    ]
}

fn none(name: &str, found: u64) -> Check {
    Check { name: name.into(), wanted: "0".into(), measured: found.to_string(), passed: found == 0 }
}

/// Expectations that no late generator can make fail.
pub(super) fn hard(scenario: &Scenario, report: &Report, windows: &[Window], aftermath: &Aftermath) -> Vec<Check> {
    let mut checks: Vec<Check> = windows.iter().filter_map(|window| done(window, scenario.length())).collect();
    let oracle = &report.oracle;
    if oracle.echo || oracle.both_ends || oracle.cross_talk > 0 {
        checks.push(none("cross-talk", oracle.cross_talk));
    }
    if oracle.both_ends {
        checks.extend([
            none("lost", oracle.lost),
            none("duplicated", oracle.duplicated),
            none("misrouted", oracle.misrouted),
            none("invented", oracle.invented),
        ]);
    }
    // an answer with a status is the system's own word, which a client that was late has not put into its mouth
    let answers =
        report.outcomes.iter().filter(|outcome| outcome.name.starts_with(|first: char| first.is_ascii_digit()));
    checks.push(none(
        "unexplained answers",
        answers.map(|outcome| outcome.count.saturating_sub(outcome.explained)).sum(),
    ));
    let wrong = |name: &str, wanted: &str, measured: String| Check {
        name: name.to_owned(),
        wanted: wanted.to_owned(),
        measured,
        passed: false,
    };
    checks.extend(aftermath.ended.iter().map(|name| wrong(name, "runs to the end", "ended by itself".into())));
    checks.extend(aftermath.panicked.iter().map(|name| wrong(name, "no panic", "see its log".into())));
    if aftermath.restless {
        checks.push(wrong("origins", "quiet after the load", "still recording".into()));
    }
    checks
}

/// Expectations that a late generator may have made fail.
pub(super) fn soft(scenario: &Scenario, report: &Report, samples: &Samples, oracle: &Oracle<'_>) -> Vec<Check> {
    let judged = &report.oracle;
    let mut checks = vec![none("unexplained", judged.unexplained)];
    let expect = &scenario.expect;
    for (name, bound, measured) in bounds(scenario, &report.latency) {
        checks.extend(bound.map(|bound| at_most(name, bound, measured)));
    }
    checks.push(Check {
        name: "answered in time".into(),
        wanted: format!("≥ {:.0} %", expect.in_time * 100.0),
        measured: format!("{:.1} %", report.rate.in_time * 100.0),
        passed: report.rate.in_time >= expect.in_time,
    });
    let failed = judged.sent - judged.answered;
    checks.push(Check {
        name: "failed".into(),
        wanted: format!("≤ {}", expect.failed),
        measured: failed.to_string(),
        passed: failed <= expect.failed,
    });
    checks.extend(expect.shares.iter().map(|share| served(share, samples)));
    checks.extend(expect.unmoved.iter().map(|stretch| impact::unmoved(stretch, samples, oracle)));
    checks.extend(expect.outcomes.iter().map(|wanted| impact::outcomes(wanted, samples)));
    let shared = report.shared.unwrap_or_default();
    for (name, least, share) in [
        ("hits in memory", expect.hits_memory, shared.hits_memory),
        ("hits in memory or store", expect.hits, shared.hits),
    ] {
        checks.extend(least.map(|least| Check {
            name: name.into(),
            wanted: format!("≥ {:.1} %", least * 100.0),
            measured: format!("{:.2} % of {}", share * 100.0, shared.requests),
            passed: shared.requests > 0 && share >= least,
        }));
    }
    // one that was started again has no begin to compare with
    let proxies = || {
        let running = report.processes.iter().filter(|process| process.rss_end_kib > 0);
        running.filter(|process| process.name.starts_with("proxy ") && !process.name.contains("(start"))
    };
    if (expect.memory_growth.is_some() || expect.descriptor_growth.is_some()) && proxies().next().is_none() {
        let (name, wanted) = ("growth of proxies".into(), "one that ran from begin to end".into());
        checks.push(Check { name, wanted, measured: "none did".into(), passed: false });
    }
    if let Some(bound) = expect.memory_growth {
        checks.extend(proxies().map(|proxy| {
            let growth = count(proxy.rss_end_kib) / count(proxy.rss_begin_kib.max(1));
            let (name, measured) = (format!("memory of {}", proxy.name), format!("{growth:.2} ×"));
            Check { name, wanted: format!("≤ {bound:.2} × of the begin"), measured, passed: growth <= bound }
        }));
    }
    if let Some(bound) = expect.descriptor_growth {
        checks.extend(proxies().map(|proxy| {
            let growth = proxy.descriptors.saturating_sub(proxy.descriptors_begin);
            let (name, measured) = (format!("descriptors of {}", proxy.name), growth.to_string());
            Check { name, wanted: format!("≤ {bound} more than at the begin"), measured, passed: growth <= bound }
        }));
    }
    checks
}

/// A fault that did not go as it should have, or of which the load saw nothing or only the begin.
fn done(window: &Window, end: Duration) -> Option<Check> {
    let (wanted, measured) = match (&window.failed, window.missed(end)) {
        (Some(failed), _) => ("goes as it should", failed.clone()),
        (None, Some(missed)) => ("done before the load ends", missed),
        (None, None) => return None,
    };
    Some(Check { name: window.what.clone(), wanted: wanted.into(), measured, passed: false })
}

fn at_most(name: &str, bound: Duration, measured: f64) -> Check {
    Check {
        name: name.into(),
        wanted: format!("≤ {} ms", millis(bound)),
        measured: format!("{measured:.2} ms"),
        passed: measured <= millis(bound),
    }
}

fn served(share: &Share, samples: &Samples) -> Check {
    let id = stamp_id(share.stamp).map(|id| id.to_string()).unwrap_or_default();
    let (from, until) = (micros(share.from), micros(share.until));
    let within =
        samples.samples.iter().filter(|sample| sample.outcome == OK && (from..until).contains(&sample.intended));
    let (mut all, mut own) = (0, 0);
    for sample in within {
        all += 1;
        own += u64::from(samples.stamps.name(sample.stamp) == id);
    }
    let measured = count(own) / count(all.max(1));
    Check {
        name: format!("share of {id} from {:?} to {:?}", share.from, share.until),
        wanted: format!("{:.0} to {:.0} %", share.least * 100.0, share.most * 100.0),
        measured: format!("{:.1} % of {all}", measured * 100.0),
        passed: all > 0 && (share.least..=share.most).contains(&measured),
    }
}
