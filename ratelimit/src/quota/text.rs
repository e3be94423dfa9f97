//! Quotas as people write them: `10/s`, `500/min`, `5000/h`, `100000/d`, `10/30s`, and where nothing else says it, how many may
//! come at once: `500/min,burst=20`.
//!
//! Invariant: a quota is shown as text that is read as the same quota.

use std::{fmt, str::FromStr, time::Duration};

use super::{Impossible, Quota};

/// Seconds of the words for a window, the one that is shown first among its like.
const WINDOWS: [(&str, u64); 7] =
    [("s", 1), ("sec", 1), ("min", 60), ("h", 60 * 60), ("hour", 60 * 60), ("d", 24 * 60 * 60), ("day", 24 * 60 * 60)];

/// Milliseconds of the units of any other window, largest first.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// What stands before a burst, behind a comma.
const BURST: &str = "burst=";

/// Why text is no quota. Never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQuota {
    /// No number, slash and time.
    #[error(
        "a quota is a number of requests, a slash and a time: \"10/s\", \"500/min\", \"5000/h\", \"100000/d\" or \"10/30s\""
    )]
    Form,
    /// Another time than those.
    #[error("the times of a quota are s, min, h and d, or a duration: \"10/s\", \"500/min\", \"5000/h\", \"10/30s\"")]
    Window,
    /// Something else than a burst behind it.
    #[error("behind a quota stands nothing, or how many requests may come at once: \"500/min,burst=20\"")]
    Burst,
    /// Numbers that are no quota.
    #[error(transparent)]
    Impossible(#[from] Impossible),
}

impl Quota {
    /// A whole number, a slash, and a word for a window or a duration. A tenth of the requests may come at once.
    ///
    /// # Errors
    /// Why it is none; a burst behind it is not read here.
    pub fn parse_plain(text: &str) -> Result<Self, InvalidQuota> {
        let (requests, window) = plain(text)?;
        Ok(Self::new(requests, window, None)?)
    }

    /// As [`parse_plain`](Self::parse_plain) reads it: without its burst.
    #[must_use]
    pub fn plain(&self) -> String {
        let word = WINDOWS.into_iter().find(|(_, seconds)| Duration::from_secs(*seconds) == self.window);
        let window = word.map_or_else(|| show(self.window), |(word, _)| word.to_owned());
        format!("{}/{window}", self.requests)
    }
}

impl FromStr for Quota {
    type Err = InvalidQuota;

    /// As [`parse_plain`](Self::parse_plain), and perhaps `,burst=N` behind it.
    fn from_str(text: &str) -> Result<Self, InvalidQuota> {
        let Some((rate, behind)) = text.split_once(',') else { return Self::parse_plain(text) };
        let (requests, window) = plain(rate)?;
        let burst = behind.strip_prefix(BURST).and_then(digits).ok_or(InvalidQuota::Burst)?.unwrap_or(u32::MAX);
        Ok(Self::new(requests, window, Some(burst))?)
    }
}

impl fmt::Display for Quota {
    /// With its burst, unless it is the one that the quota has without.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.plain())?;
        if Self::new(self.requests, self.window, None) == Ok(*self) {
            return Ok(());
        }
        write!(f, ",{BURST}{}", self.burst)
    }
}

fn plain(text: &str) -> Result<(u32, Duration), InvalidQuota> {
    let (requests, window) = text.split_once('/').ok_or(InvalidQuota::Form)?;
    let requests = digits(requests).ok_or(InvalidQuota::Form)?;
    let window = match WINDOWS.into_iter().find(|(word, _)| *word == window) {
        Some((_, seconds)) => Duration::from_secs(seconds),
        None => duration(window).ok_or(InvalidQuota::Window)?,
    };
    Ok((requests.ok_or(Impossible::Requests)?, window))
}

/// The inner `None`: more than any number that is read.
fn digits(text: &str) -> Option<Option<u32>> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())
}

fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let (_, millis) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(millis).map(Duration::from_millis)
}

/// Windows are whole milliseconds wherever they are written.
fn show(window: Duration) -> String {
    let millis = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
    let (name, unit) = UNITS.into_iter().find(|(_, unit)| millis.is_multiple_of(*unit)).unwrap_or(("ms", 1));
    format!("{}{name}", millis / unit)
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
            let read = Quota::parse_plain(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((read.requests(), read.window()), (requests, Duration::from_secs(seconds)), "{text}");
            assert_eq!((read.plain(), read.to_string()), (shown.to_owned(), shown.to_owned()));
            assert_eq!((Quota::parse_plain(shown), shown.parse()), (Ok(read), Ok(read)));
            assert_eq!(read.burst(), (requests / 10).max(1));
        }
        assert_eq!(Quota::parse_plain("3/1500ms").unwrap().plain(), "3/1500ms");
    }

    #[test]
    fn a_burst_stands_behind_a_quota_that_has_another_than_its_own() {
        for (text, burst, shown) in [
            ("500/min,burst=20", 20, "500/min,burst=20"),
            ("500/min,burst=50", 50, "500/min"),
            ("500/60s,burst=500", 500, "500/min,burst=500"),
            ("5/s,burst=01", 1, "5/s"),
        ] {
            let read: Quota = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((read.burst(), read.to_string().as_str()), (burst, shown), "{text}");
            assert_eq!(shown.parse(), Ok(read));
            assert!(Quota::parse_plain(text).is_err(), "a burst has its own key where this is read");
        }
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
            ("unlimited", Q::Form),
            ("5/", Q::Window),
            ("5/ s", Q::Window),
            ("5/s ", Q::Window),
            ("5/m", Q::Window),
            ("5/minute", Q::Window),
            ("5/Min", Q::Window),
            ("5/30", Q::Window),
            ("5/30d", Q::Window),
            ("5/1.5s", Q::Window),
            ("5/-1s", Q::Window),
            ("5/s/s", Q::Window),
            ("5/18446744073709551615h", Q::Window),
            ("5/18446744073709551616ms", Q::Window),
            ("0/s", Q::Impossible(Impossible::Requests)),
            ("100000001/s", Q::Impossible(Impossible::Requests)),
            ("4294967297/s", Q::Impossible(Impossible::Requests)),
            ("5/0s", Q::Impossible(Impossible::Window)),
            ("5/999ms", Q::Impossible(Impossible::Window)),
            ("5/25h", Q::Impossible(Impossible::Window)),
        ] {
            assert_eq!((Quota::parse_plain(text), text.parse::<Quota>()), (Err(expected), Err(expected)), "{text:?}");
        }
        let many = "9".repeat(100_000);
        assert_eq!(Quota::parse_plain(&format!("{many}/s")), Err(Q::Impossible(Impossible::Requests)));
        for (text, expected) in [
            ("5/s,", Q::Burst),
            ("5/s,2", Q::Burst),
            ("5/s,burst", Q::Burst),
            ("5/s,burst=", Q::Burst),
            ("5/s,burst=-1", Q::Burst),
            ("5/s,burst=+1", Q::Burst),
            ("5/s,burst=1.5", Q::Burst),
            ("5/s,burst= 2", Q::Burst),
            ("5/s, burst=2", Q::Burst),
            ("5/s,Burst=2", Q::Burst),
            ("5/s,burst=2,burst=2", Q::Burst),
            ("5/s;burst=2", Q::Window),
            ("5,burst=2", Q::Form),
            (",burst=2", Q::Form),
            ("5/s,burst=0", Q::Impossible(Impossible::Burst(5))),
            ("5/s,burst=6", Q::Impossible(Impossible::Burst(5))),
            ("5/s,burst=99999999999999999999", Q::Impossible(Impossible::Burst(5))),
            ("3651/d,burst=3651", Q::Impossible(Impossible::Fill)),
        ] {
            assert_eq!(text.parse::<Quota>(), Err(expected), "{text:?}");
        }
        assert_eq!(format!("5/s,burst={many}").parse::<Quota>(), Err(Q::Impossible(Impossible::Burst(5))));
    }
}
