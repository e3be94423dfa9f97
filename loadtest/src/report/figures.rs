//! Figures as people read them: thousands separators, three digits that matter, one unit.
//!
//! Invariant: no figure is rounded into a claim. 99.997 % is never `100 %`, a little is never `0`, and what is no number
//! is a dash.

use std::time::{Duration, UNIX_EPOCH};

/// What stands where there is no figure.
pub(crate) const NONE: &str = "–";

/// What stands where nobody looked.
pub(crate) const NOT_JUDGED: &str = "not judged";

/// `12,345`.
pub(crate) fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three digits that matter, thousands separated: `0.123`, `4.56`, `78.9`, `12,345`.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return NONE.to_owned();
    }
    if size >= 1e15 {
        return format!("{value:.2e}");
    }
    let text = match size {
        0.0 => "0".to_owned(),
        _ if size < 0.0005 => "<0.001".to_owned(),
        _ if size < 0.9995 => format!("{size:.3}"),
        _ if size < 9.995 => format!("{size:.2}"),
        _ if size < 99.95 => format!("{size:.1}"),
        _ => thousands(size.round() as u64),
    };
    if value < 0.0 { format!("−{text}") } else { text }
}

/// A figure of an axis: no more digits than the tick needs.
pub(crate) fn tick(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return thousands(value.abs() as u64);
    }
    if value.abs() >= 1e15 || value.abs() < 1e-4 {
        return format!("{value:.0e}");
    }
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A latency in the unit that fits: `0.812 ms`, `63.1 ms`, `2.40 s`.
pub(crate) fn latency(ms: f64) -> String {
    if !ms.is_finite() || ms < 0.0 {
        return NONE.to_owned();
    }
    if ms < 999.5 { format!("{} ms", number(ms)) } else { format!("{} s", number(ms / 1_000.0)) }
}

/// A share of 1 in per cent: `34.1 %`, never `100 %` of less than all.
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        _ if !percent.is_finite() => NONE.to_owned(),
        0.0 => "0 %".to_owned(),
        100.0 => "100 %".to_owned(),
        _ if percent > 0.0 && percent < 0.005 => "<0.01 %".to_owned(),
        _ if percent > 99.995 && percent < 100.0 => ">99.99 %".to_owned(),
        _ if (1.0..=99.0).contains(&percent) => format!("{percent:.1} %"),
        _ if percent.abs() < 1_000.0 => format!("{percent:.2} %"),
        _ => format!("{} %", number(percent)),
    }
}

/// `part` of `whole` in per cent.
pub(crate) fn percent_of(part: u64, whole: u64) -> String {
    if whole == 0 { NONE.to_owned() } else { percent(part as f64 / whole as f64) }
}

/// Memory: `48.1 MiB`.
pub(crate) fn memory(kib: u64) -> String {
    let mib = kib as f64 / 1_024.0;
    if mib < 10_000.0 { format!("{} MiB", number(mib)) } else { format!("{} GiB", number(mib / 1_024.0)) }
}

/// A length of time: `12.5 s`, `2 min 5 s`, `1 h 0 min`.
pub(crate) fn length(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return NONE.to_owned();
    }
    let whole = seconds.round() as u64;
    match whole {
        0..120 if seconds.fract() == 0.0 => format!("{whole} s"),
        0..120 => format!("{seconds:.1} s"),
        120..7_200 if whole.is_multiple_of(60) => format!("{} min", whole / 60),
        120..7_200 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", thousands(whole / 3_600), whole % 3_600 / 60),
    }
}

/// A moment of the run: `90 s` in runs of at most two minutes, else `1:30` or `1:01:30`.
pub(crate) fn moment(seconds: f64, end: f64) -> String {
    if !seconds.is_finite() {
        return NONE.to_owned();
    }
    if end <= 120.0 {
        let digits = if seconds.fract() == 0.0 { 0 } else { 1 };
        return format!("{seconds:.digits$} s");
    }
    let sign = if seconds < 0.0 { "−" } else { "" };
    let whole = seconds.abs().round() as u64;
    match whole {
        0..3_600 => format!("{sign}{}:{:02}", whole / 60, whole % 60),
        _ => format!("{sign}{}:{:02}:{:02}", thousands(whole / 3_600), whole % 3_600 / 60, whole % 60),
    }
}

/// A date of the Unix epoch: `2026-10-07 12:00:00 UTC`.
pub(crate) fn date(epoch_ms: u64) -> String {
    // after the year 9999 there is no such notation
    let seconds = (epoch_ms / 1_000).min(253_402_300_799);
    let text = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string();
    text.replace('T', " ").replace('Z', " UTC")
}

/// Text from outside on one line, without anything that moves the cursor or turns the reading direction.
pub(crate) fn plain(text: &str, characters_max: usize) -> String {
    let moves = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut kept: String = text.chars().take(characters_max).map(|c| if moves(c) { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(characters_max).is_some() {
        kept.pop();
        kept.push('…');
    }
    kept
}
