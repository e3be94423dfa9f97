//! Durations as operators write them: `300s`, `5m`, `1h30m`, `250ms`; a bare number is seconds.

use std::time::Duration;

/// Longest duration that is understood: a year.
const MAX: Duration = Duration::from_secs(366 * 24 * 3_600);

/// Parses a duration.
///
/// # Errors
/// In words, for anything else, including more than a year.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration such as 300s, 5m, 1h30m or 250ms (at most a year)");
    if text.is_empty() || text.len() > 32 {
        return Err(wrong());
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit_ms: u64 = match &rest[..letters] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "" if digits == text.len() => 1_000,
            _ => return Err(wrong()),
        };
        rest = &rest[letters..];
        let part = number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(wrong)?;
        total = total.checked_add(part).filter(|total| *total <= MAX).ok_or_else(wrong)?;
    }
    Ok(total)
}

/// A duration in whole seconds, for ramps.
///
/// # Errors
/// As [`parse`], and for fractions of a second.
pub(crate) fn parse_seconds(text: &str) -> Result<u32, String> {
    let duration = parse(text)?;
    if duration.subsec_nanos() != 0 {
        return Err(format!("{text:?}: a ramp is a whole number of seconds"));
    }
    u32::try_from(duration.as_secs()).map_err(|_| format!("{text:?} is too long"))
}

/// A duration in the two largest units that it has: `3d 4h`, `5m 0s`, `12s`.
pub(crate) fn words(milliseconds: u64) -> String {
    let seconds = milliseconds / 1_000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m {}s", seconds % 60),
        (0, hours, minutes) => format!("{hours}h {minutes}m"),
        (days, hours, _) => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_operators_write_them() {
        for (text, milliseconds) in [
            ("300s", 300_000),
            ("300", 300_000),
            ("0", 0),
            ("60m", 3_600_000),
            ("1h30m", 5_400_000),
            ("250ms", 250),
            ("2d", 172_800_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for bad in ["", "s", "-1s", "1.5s", "1w", "5 m", "1h30", "99999999999999999999s", "18446744073709551615d", "ñ"]
        {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(parse_seconds("5m"), Ok(300));
        assert!(parse_seconds("250ms").is_err());
    }

    #[test]
    fn ages_are_shown_in_two_units() {
        for (milliseconds, text) in
            [(999, "0s"), (59_000, "59s"), (300_000, "5m 0s"), (5_400_000, "1h 30m"), (273_600_000, "3d 4h")]
        {
            assert_eq!(words(milliseconds), text);
        }
    }
}
