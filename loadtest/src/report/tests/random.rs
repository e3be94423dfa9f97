use std::collections::BTreeMap;

use proptest::prelude::*;

use super::fixture;
use crate::report::{
    Check, Judgement, Mark, Outcome, Percentiles, Process, Rate, Report, Second, Shared, StampShare, Step, Verdict,
    compare, html, terminal,
};

/// A figure as a broken run could have it. Boxed as all parts are: together they would not fit a test's stack.
fn figure() -> BoxedStrategy<f64> {
    prop_oneof![
        4 => 0.0..10_000.0_f64,
        1 => prop::num::f64::ANY,
        1 => prop::sample::select(vec![0.0, -0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE]),
    ]
    .boxed()
}

fn count() -> BoxedStrategy<u64> {
    prop_oneof![4 => 0..10_000_u64, 1 => any::<u64>()].boxed()
}

fn name() -> BoxedStrategy<String> {
    prop_oneof![3 => "[a-z0-9 _]{0,20}", 1 => any::<String>(), 1 => Just("<script>\"'&".to_owned())].boxed()
}

fn counts() -> BoxedStrategy<BTreeMap<String, u64>> {
    prop::collection::btree_map(prop_oneof![Just("ok".to_owned()), name()], count(), 0..12).boxed()
}

prop_compose! {
    fn second()(
        at in prop_oneof![4 => 0..200_u32, 1 => any::<u32>()],
        (intended, answered) in (count(), count()),
        (p50, p99, max) in (figure(), figure(), figure()),
        (lag_p99, busy) in (figure(), figure()),
        (outcomes, stamps) in (counts(), counts()),
    ) -> Second {
        Second { at, intended, answered, p50, p99, max, lag_p99, busy, outcomes, stamps, ..Second::default() }
    }
}

prop_compose! {
    fn percentiles()(count in count(), f in prop::array::uniform6(figure())) -> Percentiles {
        Percentiles { count, mean: f[0], p50: f[1], p90: f[2], p99: f[3], p999: f[4], max: f[5] }
    }
}

fn marks() -> impl Strategy<Value = Vec<Mark>> {
    let mark = (figure(), prop::option::of(figure()), name()).prop_map(|(at, until, what)| Mark { at, until, what });
    prop::collection::vec(mark, 0..40)
}

fn processes() -> impl Strategy<Value = Vec<Process>> {
    let process = (name(), figure(), prop::array::uniform4(count())).prop_map(|(name, cpu_seconds, counts)| Process {
        name,
        cpu_seconds,
        rss_begin_kib: counts[0],
        rss_max_kib: counts[1],
        rss_end_kib: counts[2],
        descriptors_begin: counts[3],
        descriptors_max: counts[3],
        descriptors: counts[3],
    });
    prop::collection::vec(process, 0..6)
}

prop_compose! {
    fn report()(
        verdict in prop::sample::select(vec![Verdict::Passed, Verdict::Failed, Verdict::Void]),
        void in prop::collection::vec(name(), 0..9),
        checks in prop::collection::vec((name(), name(), name(), any::<bool>()), 0..12),
        (length, began_ms, intended, achieved, in_time) in (figure(), any::<u64>(), figure(), figure(), figure()),
        (latency, service, lag) in (percentiles(), percentiles(), percentiles()),
        curve in prop::collection::vec((figure(), figure()), 0..50),
        found in prop::array::uniform6(count()),
        seconds in prop::collection::vec(second(), 0..40),
        outcomes in prop::collection::vec((name(), count(), count(), prop::array::uniform3(figure())), 0..12),
        stamps in prop::collection::vec((name(), count(), figure()), 0..12),
        shared in prop::option::of((prop::array::uniform4(count()), prop::option::of(count()), figure(), figure())),
        faults in marks(),
        processes in processes(),
    ) -> Report {
        let mut report = fixture::passed();
        report.scenario.seconds = length;
        report.scenario.began_ms = began_ms;
        let checks = checks.into_iter();
        let checks = checks.map(|(name, wanted, measured, passed)| Check { name, wanted, measured, passed }).collect();
        let [lost, duplicated, cross_talk, misrouted, unexplained, invented] = found;
        let oracle = Judgement { lost, duplicated, cross_talk, misrouted, unexplained, invented, ..Judgement::default() };
        Report {
            verdict,
            void,
            checks,
            rate: Rate { elapsed: length, intended, achieved, in_time },
            latency,
            service,
            lag,
            curve: curve.into_iter().map(|(quantile, ms)| Step { quantile, ms }).collect(),
            oracle,
            seconds,
            outcomes: outcomes.into_iter().map(outcome).collect(),
            stamps: stamps.into_iter().map(|(id, served, share)| StampShare { id, served, share }).collect(),
            shared: shared.map(|([requests, memory, store, collapsed], asked, hits_memory, hits)| {
                Shared { requests, memory, store, collapsed, asked, hits_memory, hits }
            }),
            faults,
            processes,
            ..report
        }
    }
}

fn outcome((name, count, explained, [p50, p99, max]): (String, u64, u64, [f64; 3])) -> Outcome {
    Outcome { name, count, explained, p50, p99, max, histogram: String::new() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_report_can_be_shown(a in report(), b in report()) {
        let page = html::page(&a);
        prop_assert_eq!(page.matches("<script").count(), 1);
        prop_assert_eq!(page.matches("<svg").count(), page.matches("</svg").count());
        prop_assert!(page.len() < 1_000_000);
        for plot in page.split("<svg class=\"plot\"").skip(1) {
            let plot = plot.split("</svg").next().unwrap();
            check_coordinates(plot)?;
        }
        let text = terminal::summary(&a) + &compare::table(&a, &b);
        prop_assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
    }
}

/// Every number of a geometric attribute is finite and inside the drawing.
fn check_coordinates(plot: &str) -> Result<(), TestCaseError> {
    for name in ["x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width", "height", "d"] {
        for piece in plot.split(&format!(" {name}=\"")).skip(1) {
            let value = piece.split('"').next().unwrap();
            for number in value.split([' ', 'M', 'L', 'H', 'V', 'Z']).filter(|number| !number.is_empty()) {
                let number: f64 = number.parse().map_err(|_| TestCaseError::fail(format!("{name}={value}")))?;
                prop_assert!((-1.0..=920.0).contains(&number), "{name}={value}");
            }
        }
    }
    Ok(())
}
