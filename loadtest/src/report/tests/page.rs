use super::fixture;
use crate::report::{Judgement, Report, Shared, Verdict, html::page, terminal::summary};

/// Largest page, in bytes.
const BYTES_MAX: usize = 1_000_000;

#[test]
fn nothing_from_the_run_becomes_markup() {
    let hostile = "<script>alert(1)</script>\" onload='x' & </style></svg>";
    let mut report = fixture::failed();
    report.scenario.name = hostile.into();
    report.scenario.about = hostile.into();
    report.scenario.checkout = Some(hostile.into());
    report.scenario.resolved = hostile.into();
    report.scenario.arguments = vec![hostile.into()];
    report.scenario.notes = vec![hostile.into()];
    report.scenario.binaries.iter_mut().for_each(|binary| {
        (binary.role, binary.file, binary.xxh3) = (hostile.into(), hostile.into(), hostile.into());
    });
    report.machine.model = hostile.into();
    report.machine.kernel = hostile.into();
    report.void = vec![hostile.into()];
    report.checks.iter_mut().for_each(|check| {
        (check.name, check.wanted, check.measured) = (hostile.into(), hostile.into(), hostile.into());
    });
    report.oracle.examples = vec![hostile.into()];
    report.outcomes.iter_mut().for_each(|outcome| outcome.name = hostile.into());
    report.stamps.iter_mut().for_each(|stamp| stamp.id = hostile.into());
    report.faults.iter_mut().for_each(|fault| fault.what = hostile.into());
    report.processes.iter_mut().for_each(|process| process.name = hostile.into());
    report.relays.iter_mut().for_each(|relay| relay.name = hostile.into());
    for second in &mut report.seconds {
        second.outcomes = second.outcomes.values().map(|count| (hostile.into(), *count)).collect();
        second.stamps = second.stamps.values().map(|count| (hostile.into(), *count)).collect();
    }
    for verdict in [Verdict::Passed, Verdict::Failed, Verdict::Void] {
        report.verdict = verdict;
        let page = page(&report);
        assert_eq!(page.matches("<script").count(), 1, "{verdict}");
        assert_eq!(page.matches("</style").count(), 1, "{verdict}");
        assert_eq!(page.matches("<svg").count(), page.matches("</svg").count(), "{verdict}");
        assert!(!page.contains("alert(1)</script"), "{verdict}");
        // a quote must not end an attribute either
        assert!(!page.contains("\" onload"), "{verdict}");
    }
}

#[test]
fn it_loads_nothing() {
    let page = page(&fixture::failed());
    for loading in ["http:", "https:", "src=", "href=", "@import", "url(\"", "<link", "<img", "<iframe"] {
        assert!(!page.contains(loading), "{loading}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn an_hour_with_many_stamps_stays_below_a_megabyte() {
    let mut report = fixture::drain(3_600);
    for second in &mut report.seconds {
        let at = u64::from(second.at);
        second
            .stamps
            .extend((0..40).map(|name| (format!("synaxis-weu-with-a-long-name-{name:03}"), (at * 7 + name) % 90)));
        second
            .outcomes
            .extend((0..40).map(|name| (format!("5{name:02} some_long_reason_{name}"), (at * 3 + name) % 11)));
    }
    let page = page(&report);
    assert!(page.len() < BYTES_MAX, "{} bytes", page.len());
}

#[test]
fn names_of_any_length_are_cut_and_rows_of_any_number_are_left_out() {
    let mut report = fixture::passed();
    let mut outcome = report.outcomes[1].clone();
    outcome.name = "x".repeat(100_000);
    report.outcomes = vec![outcome; 5_000];
    report.scenario.name = "y".repeat(1_000_000);
    let page = page(&report);
    assert!(page.len() < BYTES_MAX, "{} bytes", page.len());
    assert!(page.contains("The first 200 of 5,000 are shown"));
}

#[test]
fn the_first_screen_says_what_was_run_and_what_came_of_it() {
    let page = page(&fixture::passed());
    let first = first_screen(&page);
    for fact in [
        "drain-under-load",
        "tenants move once",
        "Passed",
        "All 10 expectations were met.",
        "7215331",
        "70be36d1c2+",
        "AMD EPYC",
        "2026-09-21 14:13:20 UTC",
        "60 s",
        "of 5,000/s intended",
        "p99.9",
    ] {
        assert!(first.contains(fact), "{fact}");
    }
}

#[test]
fn it_holds_what_somebody_needs_to_run_the_same() {
    let mut report = fixture::passed();
    report.scenario.notes = vec!["--target takes the faults away".into()];
    let page = page(&report);
    for fact in ["0123456789abcdef", "run drain-under-load --rate 5000", "<details>", "connections = 64\n"] {
        assert!(page.contains(fact), "{fact}");
    }
    assert!(first_screen(&page).contains("--target takes the faults away"));
    assert!(summary(&report).contains("note       --target takes the faults away"));
}

#[test]
fn failed_checks_stand_in_the_verdict() {
    let page = page(&fixture::failed());
    let first = first_screen(&page);
    assert!(first.contains("7 of 10 expectations were met."));
    assert!(first.contains("<b>p99</b> was <b>63.1 ms</b>, wanted ≤ 50 ms"));
    assert!(page.contains("lost: request 48,211"));
}

#[test]
fn a_void_run_says_why_and_fades_its_figures() {
    let page = page(&fixture::void());
    assert!(first_screen(&page).contains("the generator used 97 % of its core"));
    assert!(page.contains("<body class=\"void\">"));
}

#[test]
fn findings_are_loud_and_zeros_are_calm() {
    let loud = |report: &Report| page(report).matches("<div class=\"loud\"").count();
    assert_eq!(loud(&fixture::passed()), 0);
    assert_eq!(loud(&fixture::failed()), 2);
}

#[test]
fn connections_that_a_balancer_refused_are_loud() {
    let mut report = fixture::passed();
    assert!(!summary(&report).contains("\nrefused"), "{}", summary(&report));
    (report.relays[0].nobody_ready, report.relays[0].not_taken) = (3, 1_230);
    let page = page(&report);
    let row =
        page.split("<tr class=\"loud\"><th scope=\"row\">balancer before the edge of synaxis-weu-001<").nth(1).unwrap();
    let row = row.split("</tr>").next().unwrap();
    assert!([">9,120<", ">3<", ">1,230<"].iter().all(|count| row.contains(count)), "{row}");
    let words = "refused    balancer before the edge of synaxis-weu-001 1,233 of 10,353 connections";
    assert!(summary(&report).contains(words), "{}", summary(&report));
}

#[test]
fn reads_of_shared_resources_are_shown_where_there_are_some() {
    let mut report = fixture::passed();
    assert!(!page(&report).contains("shared resources") && !summary(&report).contains("\nshared"));
    report.shared = Some(fixture::shared());
    let page = page(&report);
    let section = page.split("Reads of shared resources").nth(1).unwrap().split("</section>").next().unwrap();
    for (name, count, share) in [
        ("memory (L1)", "9,412", "94.1 %"),
        ("memory or store (L1 + L2)", "9,921", "99.21 %"),
        ("fetched for another request", "19", "0.19 %"),
        ("came to an app, by its record", "60", "0.60 %"),
    ] {
        let row = section.split(&format!(">{name}<")).nth(1).unwrap().split("</tr>").next().unwrap();
        assert!([count, share].iter().all(|figure| row.contains(&format!(">{figure}<"))), "{name}: {row}");
    }
    assert!(section.contains("Of 10,000 requests"), "{section}");
    let words = "\nshared     10,000 reads, memory (L1) 94.1 %, memory or store (L1+L2) 99.21 %, collapsed 19, asked of apps 60\n";
    assert!(summary(&report).contains(words), "{}", summary(&report));
    report.shared = report.shared.map(|shared| Shared { asked: None, ..shared });
    assert!(summary(&report).contains("asked of apps not judged\n"), "{}", summary(&report));
    assert!(crate::report::html::page(&report).contains("<td class=\"n\">not judged</td><td class=\"n\">–</td>"));
}

#[test]
fn it_says_how_long_failures_took() {
    let page = page(&fixture::passed());
    let row = page.split("<th scope=\"row\">reset</th>").nth(1).unwrap().split("</tr>").next().unwrap();
    for took in ["1.02 s", "2.48 s", "10.0 s"] {
        assert!(row.contains(&format!("<td class=\"n\">{took}</td>")), "{row}");
    }
}

#[test]
fn what_nobody_looked_at_is_no_zero() {
    for (echo, calm, cross_talk) in [(true, 2, "0"), (false, 1, "not judged")] {
        let mut report = fixture::passed();
        report.oracle = Judgement { both_ends: false, echo, ..report.oracle };
        let page = page(&report);
        assert_eq!(first_screen(&page).matches("<div class=\"calm\"").count(), calm);
        assert_eq!(first_screen(&page).matches(">not judged<").count(), 6 - calm);
        assert!(page.contains("no records of the origins"));
        let words = format!("lost not judged, duplicated not judged, cross-talk {cross_talk}, misrouted not judged");
        assert!(summary(&report).contains(&words), "{}", summary(&report));
    }
}

#[test]
fn every_plot_has_axes_a_legend_and_a_sentence() {
    let page = page(&fixture::passed());
    let figures: Vec<&str> = page.split("<figure>").skip(1).collect();
    assert_eq!(figures.len(), 6);
    for figure in figures {
        let figure = figure.split("</figure>").next().unwrap();
        for part in
            ["<h2>", "class=\"legend\"", "class=\"title\"", "class=\"title right\"", "<figcaption>", "aria-label"]
        {
            assert!(figure.contains(part), "{part} in {}", &figure[..80]);
        }
    }
}

#[test]
fn a_run_without_anything_is_a_page_too() {
    let mut report = fixture::passed();
    report.seconds.clear();
    report.curve.clear();
    report.outcomes.clear();
    report.stamps.clear();
    report.faults.clear();
    report.processes.clear();
    report.checks.clear();
    report.latency = Default::default();
    report.service = Default::default();
    let page = page(&report);
    for said in ["No second was recorded.", "No request was answered.", "Nothing was expected of this run."] {
        assert!(page.contains(said), "{said}");
    }
}

#[test]
fn a_single_second_is_drawn_as_dots_and_bars() {
    let mut report = fixture::passed();
    report.seconds.truncate(1);
    report.scenario.seconds = 1.0;
    report.faults.clear();
    let page = page(&report);
    let latency = page.split("<figure>").nth(1).unwrap();
    assert_eq!(latency.matches("<circle class=\"dot ").count(), 3);
}

fn first_screen(page: &str) -> &str {
    page.split("<main>").next().unwrap()
}
