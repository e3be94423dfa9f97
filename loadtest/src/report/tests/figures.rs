use crate::report::figures::{
    date, latency, length, memory, moment, number, percent, percent_of, plain, thousands, tick,
};

#[test]
fn thousands_are_separated() {
    for (count, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (32_145, "32,145"), (1_234_567, "1,234,567")] {
        assert_eq!(thousands(count), text);
    }
    assert_eq!(thousands(u64::MAX), "18,446,744,073,709,551,615");
}

#[test]
fn three_digits_matter() {
    let cases = [
        (0.0, "0"),
        (0.000_1, "<0.001"),
        (0.043, "0.043"),
        (0.999_4, "0.999"),
        (0.999_6, "1.00"),
        (9.994, "9.99"),
        (9.996, "10.0"),
        (99.96, "100"),
        (-4.2, "−4.20"),
        (32_145.4, "32,145"),
        (f64::NAN, "–"),
        (f64::INFINITY, "–"),
    ];
    for (value, text) in cases {
        assert_eq!(number(value), text, "{value}");
    }
}

#[test]
fn latencies_take_the_unit_that_fits() {
    for (ms, text) in [(0.82, "0.820 ms"), (63.1, "63.1 ms"), (999.4, "999 ms"), (2_400.0, "2.40 s"), (-1.0, "–")] {
        assert_eq!(latency(ms), text);
    }
}

#[test]
fn a_share_is_never_rounded_to_all_or_nothing() {
    let cases = [
        (1.0, "100 %"),
        (0.999_999, ">99.99 %"),
        (0.998_7, "99.87 %"),
        (0.341, "34.1 %"),
        (0.000_8, "0.08 %"),
        (0.000_000_1, "<0.01 %"),
        (0.0, "0 %"),
        (1.6, "160.00 %"),
        (f64::NAN, "–"),
    ];
    for (share, text) in cases {
        assert_eq!(percent(share), text, "{share}");
    }
    assert_eq!(percent_of(1, 0), "–");
}

#[test]
fn lengths_moments_dates_and_memory_read_naturally() {
    for (seconds, text) in
        [(12.5, "12.5 s"), (60.0, "60 s"), (125.0, "2 min 5 s"), (3_600.0, "60 min"), (9_000.0, "2 h 30 min")]
    {
        assert_eq!(length(seconds), text);
    }
    assert_eq!(moment(90.0, 120.0), "90 s");
    assert_eq!(moment(90.0, 121.0), "1:30");
    assert_eq!(moment(3_690.0, 7_200.0), "1:01:30");
    assert_eq!(moment(-3.0, 600.0), "−0:03");
    assert_eq!(date(1_790_000_000_000), "2026-09-21 14:13:20 UTC");
    assert_eq!(date(u64::MAX), "9999-12-31 23:59:59 UTC");
    assert_eq!(memory(49_254), "48.1 MiB");
    assert_eq!(memory(20 << 20), "20.0 GiB");
}

#[test]
fn ticks_have_no_more_digits_than_they_need() {
    for (value, text) in
        [(0.0, "0"), (0.5, "0.5"), (0.002, "0.002"), (2_500.0, "2,500"), (1e20, "1e20"), (1e-7, "1e-7")]
    {
        assert_eq!(tick(value), text);
    }
}

#[test]
fn foreign_text_stays_on_its_line_and_keeps_its_direction() {
    assert_eq!(plain("503 no_stamp", 20), "503 no_stamp");
    assert_eq!(plain("a\u{1b}[2Jb\nc\u{202e}d", 20), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d");
    assert_eq!(plain("0123456789", 10), "0123456789");
    assert_eq!(plain("0123456789x", 10), "012345678…");
}
