//! Durations and sizes as people write them, `25s`, `250ms`, `32KiB`, and the words around quotas.
//!
//! Invariant: a number without its unit is never guessed at, and nothing overflows.

use std::time::Duration;

/// What stands where a quota could and nothing is limited.
pub(crate) const UNLIMITED: &str = "unlimited";

/// Quotas as editors know them; [`Quota::parse_plain`](synaxis_ratelimit::quota::Quota::parse_plain) judges.
pub(crate) const QUOTA: &str = "^[0-9]+/(s|sec|min|h|hour|d|day|[0-9]+(ms|s|m|h))$";

/// Milliseconds of the units of a duration, largest first.
const DURATION_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Bytes of the units of a size, largest first.
const SIZE_UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// Why text is no duration or size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQuantity {
    /// No whole number with a unit.
    #[error("a duration is a whole number and its unit: \"250ms\", \"25s\", \"5m\", \"72h\"")]
    Duration,
    /// A duration with a fraction.
    #[error("a duration is a whole number and its unit; instead of a fraction take the smaller unit: \"1500ms\"")]
    DurationFraction,
    /// Another unit than ms, s, m and h.
    #[error("the units of a duration are ms, s, m and h: \"250ms\", \"25s\", \"5m\", \"72h\"")]
    DurationUnit,
    /// No size.
    #[error("a size is a number of bytes, or a whole number and its unit: \"32KiB\", \"256MiB\"")]
    Size,
    /// Another unit than KiB, MiB and GiB.
    #[error("the units of a size are KiB, MiB and GiB (1 KiB is 1024 bytes): \"32KiB\", \"256MiB\"")]
    SizeUnit,
    /// Below zero.
    #[error("it is never negative")]
    Negative,
    /// Beyond 64 bits.
    #[error("it is too large")]
    TooLarge,
}

/// A whole number and `ms`, `s`, `m` or `h`, as every duration of the file is written.
///
/// # Errors
/// [`InvalidQuantity`]: why it is none.
pub fn duration(text: &str) -> Result<Duration, InvalidQuantity> {
    let (number, unit) = split(text, InvalidQuantity::Duration)?;
    if unit.starts_with(['.', ',']) {
        return Err(InvalidQuantity::DurationFraction);
    }
    let (_, millis) =
        DURATION_UNITS.into_iter().find(|(name, _)| *name == unit).ok_or(InvalidQuantity::DurationUnit)?;
    number.checked_mul(millis).map(Duration::from_millis).ok_or(InvalidQuantity::TooLarge)
}

/// A whole number and `KiB`, `MiB` or `GiB`; in bytes.
pub(crate) fn size(text: &str) -> Result<u64, InvalidQuantity> {
    let (number, unit) = split(text, InvalidQuantity::Size)?;
    let (_, bytes) = SIZE_UNITS.into_iter().find(|(name, _)| *name == unit).ok_or(InvalidQuantity::SizeUnit)?;
    number.checked_mul(bytes).ok_or(InvalidQuantity::TooLarge)
}

fn split(text: &str, otherwise: InvalidQuantity) -> Result<(u64, &str), InvalidQuantity> {
    if text.starts_with('-') {
        return Err(InvalidQuantity::Negative);
    }
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    if digits.is_empty() || unit.is_empty() {
        return Err(otherwise);
    }
    let number = digits.parse().map_err(|_| InvalidQuantity::TooLarge)?;
    Ok((number, unit))
}

/// A duration as it would be written.
pub(crate) fn show_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let whole = DURATION_UNITS.into_iter().find(|(_, unit)| millis > 0 && millis.is_multiple_of(*unit));
    let (name, unit) = whole.unwrap_or(("s", 1_000));
    format!("{}{name}", millis / unit)
}

/// A size as it would be written.
pub(crate) fn show_size(bytes: u64) -> String {
    match SIZE_UNITS.into_iter().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_shown_alike() {
        for (text, millis) in [("250ms", 250), ("25s", 25_000), ("5m", 300_000), ("72h", 259_200_000), ("0s", 0)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
            assert_eq!(show_duration(Duration::from_millis(millis)), text);
        }
        assert_eq!(show_duration(Duration::from_millis(1500)), "1500ms");
        assert_eq!(show_duration(Duration::from_secs(60 * 60)), "1h");
    }

    #[test]
    fn sizes_are_read_and_shown_alike() {
        for (text, bytes) in [("32KiB", 32 << 10), ("256MiB", 256 << 20), ("1GiB", 1 << 30)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
            assert_eq!(show_size(bytes), text);
        }
        assert_eq!(show_size(1000), "1000");
        assert_eq!(show_size(0), "0");
    }

    #[test]
    fn nothing_is_guessed() {
        use InvalidQuantity as Q;
        for (text, expected) in [
            ("", Q::Duration),
            ("s", Q::Duration),
            ("25", Q::Duration),
            (" 25s", Q::Duration),
            ("+25s", Q::Duration),
            ("٣s", Q::Duration),
            ("25 s", Q::DurationUnit),
            ("25S", Q::DurationUnit),
            ("25sec", Q::DurationUnit),
            ("3d", Q::DurationUnit),
            ("25s ", Q::DurationUnit),
            ("5m30s", Q::DurationUnit),
            ("1.5s", Q::DurationFraction),
            ("-5s", Q::Negative),
            ("18446744073709551616ms", Q::TooLarge),
            ("18446744073709551615h", Q::TooLarge),
        ] {
            assert_eq!(duration(text), Err(expected), "{text:?}");
        }
        for (text, expected) in [
            ("", Q::Size),
            ("KiB", Q::Size),
            ("32", Q::Size),
            ("32KB", Q::SizeUnit),
            ("32kib", Q::SizeUnit),
            ("32K", Q::SizeUnit),
            ("1.5MiB", Q::SizeUnit),
            ("-1KiB", Q::Negative),
            ("18446744073709551615KiB", Q::TooLarge),
        ] {
            assert_eq!(size(text), Err(expected), "{text:?}");
        }
    }
}
