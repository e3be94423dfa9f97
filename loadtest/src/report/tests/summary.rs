use super::fixture;
use crate::report::terminal::{summary, summary_in_colour};

#[test]
fn it_fits_a_screen() {
    for report in [fixture::passed(), fixture::failed(), fixture::void(), fixture::drain(3_600)] {
        let text = summary(&report);
        assert!((15..=26).contains(&text.lines().count()), "{} lines:\n{text}", text.lines().count());
        assert!(!text.contains('\u{1b}') && text.ends_with('\n'));
    }
}

#[test]
fn the_verdict_comes_first_and_failed_checks_next() {
    let text = summary(&fixture::failed());
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("FAILED  drain-under-load"), "{text}");
    assert_eq!(lines[1], "  failed  p99          was 63.1 ms  wanted ≤ 50 ms");
    assert_eq!(lines[2], "  failed  lost         was 2        wanted 0");
    assert_eq!(lines[4], "  7 of 10 expectations met");
    assert!(text.contains("lost 2, duplicated 0") && text.contains("reset 74 (7 unexplained)"), "{text}");
}

#[test]
fn a_void_run_says_why() {
    let text = summary(&fixture::void());
    assert!(text.starts_with("VOID"), "{text}");
    assert!(text.lines().nth(2).unwrap().contains("the generator used 97 % of its core"), "{text}");
}

#[test]
fn columns_are_aligned() {
    let text = summary(&fixture::passed());
    let rows: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("ms ")).take(4).collect();
    let widths: Vec<usize> = rows.iter().map(|row| row.chars().count()).collect();
    assert!(widths.iter().all(|width| *width == widths[0]), "{rows:#?}");
}

#[test]
fn colour_is_only_added() {
    let report = fixture::failed();
    let mut coloured = summary_in_colour(&report);
    assert!(coloured.contains("\u{1b}[1;31mFAILED\u{1b}[0m"));
    for code in ["\u{1b}[1;31m", "\u{1b}[1;32m", "\u{1b}[1;33m", "\u{1b}[0m"] {
        coloured = coloured.replace(code, "");
    }
    assert_eq!(coloured, summary(&report));
}

#[test]
fn names_from_the_run_cannot_move_the_cursor() {
    let mut report = fixture::failed();
    report.scenario.name = "a\u{1b}[2J\nb".into();
    report.outcomes[1].name = "503 \r\u{7}x".into();
    let text = summary(&report);
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
}
