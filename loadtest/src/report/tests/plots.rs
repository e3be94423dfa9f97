use super::fixture;
use crate::report::{
    Mark, Report, Step, html,
    plot::{
        axis::{Axis, linear_ticks, logarithmic_ticks, tail, time_step},
        lettering::{push_apart, width},
    },
};

#[test]
fn linear_ticks_are_one_two_five_and_begin_at_zero() {
    let cases: [(f64, &[f64]); 6] = [
        (5_048.0, &[0.0, 2_000.0, 4_000.0, 6_000.0]),
        (5_000.0, &[0.0, 1_000.0, 2_000.0, 3_000.0, 4_000.0, 5_000.0]),
        (0.9, &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (163.0, &[0.0, 50.0, 100.0, 150.0, 200.0]),
        (0.0, &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (f64::NAN, &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
    ];
    for (high, ticks) in cases {
        assert_eq!(linear_ticks(high, 0.0), ticks, "{high}");
    }
    // counts have no halves
    assert_eq!(linear_ticks(2.0, 1.0), [0.0, 1.0, 2.0]);
}

#[test]
fn linear_ticks_are_few_and_reach_the_top_at_any_size() {
    for power in -5..15 {
        for factor in [1.0, 1.001, 1.7, 2.4, 3.3, 4.99, 5.01, 7.7, 9.999] {
            let high = factor * 10_f64.powi(power);
            let ticks = linear_ticks(high, 0.0);
            assert!((3..=7).contains(&ticks.len()), "{high}: {ticks:?}");
            assert!(ticks[ticks.len() - 1] >= high * 0.999_999, "{high}: {ticks:?}");
        }
    }
}

#[test]
fn logarithmic_ticks_enclose_the_values_and_name_few() {
    let values = |low, high| logarithmic_ticks(low, high).iter().map(|tick| tick.value).collect::<Vec<_>>();
    assert_eq!(values(0.7, 101.0), [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0]);
    assert_eq!(values(1.0, 100.0), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
    let wide = logarithmic_ticks(0.000_3, 600_000.0);
    let named = wide.iter().filter_map(|tick| tick.label.as_deref()).collect::<Vec<_>>();
    assert_eq!(named, ["0.001", "0.01", "0.1", "1", "10", "100", "1,000", "10,000", "100,000", "1,000,000"]);
}

#[test]
fn time_ticks_are_what_people_count_in() {
    for (end, step) in
        [(1.0, 0.1), (5.0, 0.5), (60.0, 5.0), (90.0, 10.0), (600.0, 60.0), (3_600.0, 300.0), (86_400.0, 7_200.0)]
    {
        assert_eq!(time_step(end), step, "{end}");
    }
    let axis = Axis::time(3_600.0);
    let labels: Vec<_> = axis.ticks().iter().filter_map(|tick| tick.label.as_deref()).collect();
    assert_eq!((labels[1], labels[12], labels.len()), ("5:00", "1:00:00", 13));
    assert_eq!(Axis::time(60.0).ticks()[1].label.as_deref(), Some("5"));
}

#[test]
fn a_logarithmic_axis_is_taken_only_where_a_linear_one_would_hide_something() {
    let title = |values: &[f64]| Axis::latency(values.iter().copied()).title().to_owned();
    assert_eq!(title(&[2.0, 40.0]), "latency in ms");
    assert_eq!(title(&[2.0, 60.0]), "latency in ms, logarithmic");
    assert_eq!(title(&[3.0, 3.0]), "latency in ms");
    assert_eq!(title(&[]), "latency in ms");
    assert_eq!(title(&[0.0, f64::NAN, 5.0]), "latency in ms");
}

#[test]
fn an_axis_places_its_ends_and_nothing_beyond() {
    let axis = Axis::latency([1.0, 100.0].into_iter());
    assert_eq!((axis.place(1.0), axis.place(10.0), axis.place(100.0)), (0.0, 0.5, 1.0));
    assert_eq!((axis.place(0.0), axis.place(-5.0), axis.place(1e9)), (0.0, 0.0, 1.0));
    assert_eq!((axis.place(f64::NAN), axis.place(f64::INFINITY)), (0.0, 1.0));
}

#[test]
fn every_nine_of_a_percentile_is_as_wide_as_the_one_before() {
    for (quantile, steps) in [(0.0, 0.0), (0.9, 1.0), (0.99, 2.0), (0.999, 3.0)] {
        assert!((tail(quantile) - steps).abs() < 1e-9, "{quantile}");
    }
    let labels = |steps| {
        Axis::percentile(steps).ticks().iter().filter_map(|tick| tick.label.clone()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(labels(5.4), "0 50 90 99 99.9 99.99 99.999");
    assert_eq!(labels(0.0), "0 50 90");
}

#[test]
fn the_percentile_curve_ends_where_one_of_so_many_requests_belongs() {
    let mut report = fixture::passed();
    report.latency.count = 1_000;
    report.service.count = 0;
    let step = |quantile, ms| Step { quantile, ms };
    report.curve = vec![step(0.0, 1.0), step(0.999, 9.0), step(0.999_999, 9.0), step(1.0, 9.0)];
    let page = html::page(&report);
    let plot = page.split("<figure>").nth(2).unwrap();
    assert!(plot.contains(">99.9<") && !plot.contains(">99.99<"));
}

#[test]
fn names_at_the_end_of_lines_do_not_touch() {
    let placed = push_apart(&[(50.0, "a"), (50.0, "b"), (52.0, "c")], 0.0, 100.0);
    assert!(placed.windows(2).all(|pair| pair[1].y - pair[0].y >= 14.0), "{placed:?}");
    let low = push_apart(&[(99.0, "a"), (100.0, "b")], 0.0, 100.0);
    assert_eq!((low[0].y, low[1].y), (86.0, 100.0));
}

#[test]
fn names_of_faults_do_not_touch_however_many_there_are() {
    for count in [1, 4, 12, 40, 150, 400] {
        let mut report = fixture::passed();
        report.faults = (0..count).map(|index| flap(f64::from(index) * 58.0 / f64::from(count))).collect();
        let labels = fault_labels(&report);
        assert!(!labels.is_empty(), "{count} faults have no label");
        for (index, a) in labels.iter().enumerate() {
            for b in &labels[index + 1..] {
                let apart = a.0 + width(&a.2) <= b.0 || b.0 + width(&b.2) <= a.0;
                assert!(a.1 != b.1 || apart, "{count} faults: {a:?} touches {b:?}");
            }
        }
    }
}

#[test]
fn a_fault_at_the_very_end_is_named_inside_the_drawing() {
    let mut report = fixture::passed();
    report.faults = vec![flap(59.9), Mark { at: 1e9, until: Some(-1e9), what: "beyond".into() }];
    for (x, _, label) in fault_labels(&report) {
        assert!(x >= 0.0 && x + width(&label) <= 900.0, "{label} at {x}");
    }
}

fn flap(at: f64) -> Mark {
    Mark { at, until: Some(at + 1.0), what: "flap synaxis-weu-002".into() }
}

/// Place and text of the names of faults in the first plot over time.
fn fault_labels(report: &Report) -> Vec<(f64, f64, String)> {
    let page = html::page(report);
    let plot = page.split("<figure>").nth(1).unwrap();
    let label = |piece: &str| {
        let (head, text) = piece.split_once('>').unwrap();
        let attribute = |name: &str| head.split(&format!("{name}=\"")).nth(1)?.split('"').next()?.parse().ok();
        (attribute(" x").unwrap(), attribute(" y").unwrap(), text.split('<').next().unwrap().to_owned())
    };
    plot.split("<text class=\"fault\"").skip(1).map(label).collect()
}
