use super::fixture;
use crate::report::timeline::{BUCKETS_MAX, Timeline};

#[test]
fn an_hour_is_merged_into_few_buckets() {
    let timeline = Timeline::of(&fixture::drain(3_600));
    assert_eq!((timeline.step, timeline.buckets.len()), (10, 360));
    assert_eq!(Timeline::of(&fixture::drain(400)).step, 1);
    assert!(timeline.buckets.len() as u64 <= BUCKETS_MAX);
}

#[test]
fn merging_hides_no_peak_and_no_dip() {
    let mut report = fixture::drain(3_600);
    report.seconds[1_234].p99 = 700.0;
    report.seconds[1_235].max = 7_000.0;
    report.seconds[1_236].answered = 3;
    let timeline = Timeline::of(&report);
    let bucket = &timeline.buckets[123];
    let latency = bucket.latency.unwrap();
    assert_eq!((latency.p99, latency.max), (700.0, 7_000.0));
    assert_eq!(bucket.answered_least, 3.0);
    assert!(bucket.answered > 4_000.0 && latency.p50 < 1.0);
}

#[test]
fn a_second_without_success_has_no_latency() {
    let mut report = fixture::passed();
    (report.seconds[7].p50, report.seconds[7].p99, report.seconds[7].max) = (0.0, 0.0, 0.0);
    let timeline = Timeline::of(&report);
    assert!(timeline.buckets[7].latency.is_none());
    assert!(timeline.buckets[8].latency.is_some());
}

#[test]
fn many_names_become_few_bands_without_losing_a_request() {
    let mut report = fixture::passed();
    for second in &mut report.seconds {
        second.outcomes = (0..30).map(|name| (format!("5{name:02} reason"), 10)).collect();
        second.outcomes.insert("ok".into(), 1);
    }
    let outcomes = Timeline::of(&report).outcomes;
    assert_eq!(outcomes.names.len(), 8);
    assert_eq!((outcomes.names[0].as_str(), outcomes.names[7].as_str()), ("ok", "24 others"));
    assert_eq!(outcomes.rates[0].iter().sum::<f64>(), 301.0);
}
