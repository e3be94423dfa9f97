//! Quotas as people write them: `10/s`, `500/min`, `5000/h`, `100000/d`, `10/30s`.
//!
//! Invariant: a quota is shown as text that is read as the same number of requests in the same window.

use std::time::Duration;

use synaxis_ratelimit::quota::{Impossible, Quota};

/// Seconds of the words for a window, the one that is shown first among its like.
const WINDOWS: [(&str, u64); 7] =
    [("s", 1), ("sec", 1), ("min", 60), ("h", 60 * 60), ("hour", 60 * 60), ("d", 24 * 60 * 60), ("day", 24 * 60 * 60)];

/// What stands where a quota could and nothing is limited.
pub(crate) const UNLIMITED: &str = "unlimited";

/// Quotas as editors know them; [`quota`] judges.
pub(crate) const QUOTA: &str = "^[0-9]+/(s|sec|min|h|hour|d|day|[0-9]+(ms|s|m|h))$";

/// Why text is no quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidQuota {
    /// No number, slash and time.
    #[error(
        "a quota is a number of requests, a slash and a time: \"10/s\", \"500/min\", \"5000/h\", \"100000/d\" or \"10/30s\""
    )]
    Form,
    /// Another time than those.
    #[error("the times of a quota are s, min, h and d, or a duration: \"10/s\", \"500/min\", \"5000/h\", \"10/30s\"")]
    Window,
    /// Numbers that are no quota.
    #[error(transparent)]
    Impossible(#[from] Impossible),
}

/// A whole number, a slash, and a word for a window or a duration. A tenth of the requests may come at once.
pub(crate) fn quota(text: &str) -> Result<Quota, InvalidQuota> {
    let (number, window) = text.split_once('/').ok_or(InvalidQuota::Form)?;
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return Err(InvalidQuota::Form);
    }
    let window = match WINDOWS.into_iter().find(|(word, _)| *word == window) {
        Some((_, seconds)) => Duration::from_secs(seconds),
        None => super::duration(window).map_err(|_| InvalidQuota::Window)?,
    };
    let requests = number.parse().map_err(|_| Impossible::Requests)?;
    Ok(Quota::new(requests, window, None)?)
}

/// A quota as it would be written, without its burst.
pub(crate) fn show_quota(quota: Quota) -> String {
    let word = WINDOWS.into_iter().find(|(_, seconds)| Duration::from_secs(*seconds) == quota.window());
    let window = word.map_or_else(|| super::show_duration(quota.window()), |(word, _)| word.to_owned());
    format!("{}/{window}", quota.requests())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_are_read_and_shown_alike() {
        for (text, requests, seconds, shown) in [
            ("10/s", 10, 1, "10/s"),
            ("10/sec", 10, 1, "10/s"),
            ("10/1000ms", 10, 1, "10/s"),
            ("500/min", 500, 60, "500/min"),
            ("500/60s", 500, 60, "500/min"),
            ("500/1m", 500, 60, "500/min"),
            ("7/hour", 7, 3600, "7/h"),
            ("7/1h", 7, 3600, "7/h"),
            ("100000000/d", 100_000_000, 86_400, "100000000/d"),
            ("1/day", 1, 86_400, "1/d"),
            ("1/24h", 1, 86_400, "1/d"),
            ("10/30s", 10, 30, "10/30s"),
            ("10/90m", 10, 5400, "10/90m"),
        ] {
            let read = quota(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((read.requests(), read.window()), (requests, Duration::from_secs(seconds)), "{text}");
            assert_eq!(show_quota(read), shown);
            assert_eq!(quota(shown), Ok(read));
            assert_eq!(read.burst(), (requests / 10).max(1));
        }
        assert_eq!(show_quota(quota("3/1500ms").unwrap()), "3/1500ms");
    }

    #[test]
    fn nothing_is_guessed() {
        use InvalidQuota as Q;
        for (text, expected) in [
            ("", Q::Form),
            ("500", Q::Form),
            ("/min", Q::Form),
            ("min/500", Q::Form),
            ("-5/min", Q::Form),
            ("+5/min", Q::Form),
            ("1.5/s", Q::Form),
            ("1_000/s", Q::Form),
            ("٣/s", Q::Form),
            (" 5/s", Q::Form),
            ("5 /s", Q::Form),
            ("500 per min", Q::Form),
            ("5/", Q::Window),
            ("5/ s", Q::Window),
            ("5/m", Q::Window),
            ("5/minute", Q::Window),
            ("5/Min", Q::Window),
            ("5/30", Q::Window),
            ("5/30d", Q::Window),
            ("5/1.5s", Q::Window),
            ("5/-1s", Q::Window),
            ("5/s/s", Q::Window),
            ("5/18446744073709551615h", Q::Window),
            ("0/s", Q::Impossible(Impossible::Requests)),
            ("100000001/s", Q::Impossible(Impossible::Requests)),
            ("4294967297/s", Q::Impossible(Impossible::Requests)),
            ("5/0s", Q::Impossible(Impossible::Window)),
            ("5/999ms", Q::Impossible(Impossible::Window)),
            ("5/25h", Q::Impossible(Impossible::Window)),
        ] {
            assert_eq!(quota(text), Err(expected), "{text:?}");
        }
        assert_eq!(quota(&format!("{}/s", "9".repeat(100_000))), Err(Q::Impossible(Impossible::Requests)));
    }
}
