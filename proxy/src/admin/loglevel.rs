//! Which events are logged, changed while the process runs: `/loglevel`.
//!
//! Invariant: a filter that was set for a time goes back to the one before it, also when others were set for a time in
//! between. The filter itself belongs to whoever started the server.

use std::{
    cell::RefCell,
    sync::Arc,
    time::{Duration, Instant},
};

use http::Response;
use serde::Deserialize;
use serde_json::json;

use super::{
    access::Refusal,
    answers::{self, Reply},
};

/// Longest filter in bytes.
const FILTER_MAX: usize = 1_024;
/// Longest time for which a filter is set.
const TIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The filter of a process's events.
pub trait LogFilter: Send + Sync {
    /// As it was last set.
    fn current(&self) -> String;

    /// Replaces it.
    ///
    /// # Errors
    /// In words: not understood. The old one stays.
    fn set(&self, filter: &str) -> Result<(), String>;
}

/// What is asked for: `{"filter": "info,synaxis_proxy=debug", "for": "10m"}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    filter: String,
    #[serde(rename = "for")]
    time: Option<String>,
}

/// The filter, and what it goes back to.
pub(super) struct Levels {
    filter: Option<Arc<dyn LogFilter>>,
    back: RefCell<Option<Back>>,
}

struct Back {
    to: String,
    at: Instant,
}

impl Levels {
    pub(super) fn new(filter: Option<Arc<dyn LogFilter>>) -> Self {
        Self { filter, back: RefCell::default() }
    }

    pub(super) fn show(&self, now: Instant) -> Result<Response<Reply>, Refusal> {
        let filter = self.filter.as_ref().ok_or(Refusal::LogLevelFixed)?;
        let back = self.back.borrow();
        Ok(answers::document(&json!({
            "filter": filter.current(),
            "back_to": back.as_ref().map(|back| &back.to),
            "seconds_left": back.as_ref().map(|back| back.at.saturating_duration_since(now).as_secs()),
        })))
    }

    pub(super) fn change(&self, wanted: &Wanted, now: Instant) -> Result<Response<Reply>, Refusal> {
        let filter = self.filter.as_ref().ok_or(Refusal::LogLevelFixed)?;
        check(&wanted.filter).map_err(|why| Refusal::BodyInvalid(format!("filter: {why}")))?;
        let time = wanted.time.as_deref().map(time).transpose();
        let time = time.map_err(|why| Refusal::BodyInvalid(format!("for: {why}")))?;
        let old = filter.current();
        filter.set(&wanted.filter).map_err(|why| Refusal::BodyInvalid(format!("filter: {why}")))?;
        tracing::info!(filter = wanted.filter, old, ?time, "an operator changed which events are logged");
        self.back.replace_with(|back| {
            let to = back.take().map_or(old, |back| back.to);
            time.map(|time| Back { to, at: now + time })
        });
        self.show(now)
    }

    /// Goes back when the time is over. Called every second.
    pub(super) fn expire(&self, now: Instant) {
        let Some(back) = self.back.borrow_mut().take_if(|back| back.at <= now) else { return };
        if let Some(Err(why)) = self.filter.as_ref().map(|filter| filter.set(&back.to)) {
            return tracing::error!(filter = back.to, why, "the events' filter cannot go back");
        }
        tracing::info!(filter = back.to, "the time of another filter is over");
    }
}

/// Refuses what would turn everything off by a slip: a word that is no level is taken for the name of a target.
///
/// # Errors
/// What a filter is made of.
pub fn check(filter: &str) -> Result<(), &'static str> {
    if filter.len() > FILTER_MAX {
        return Err("it has more than 1024 bytes");
    }
    if filter.is_empty() || !filter.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
        return Err("it is printable ASCII, such as info,synaxis_proxy=debug");
    }
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    let is_level = |word: &str| levels.iter().any(|level| word.eq_ignore_ascii_case(level));
    // inside brackets stand fields of spans, with commas of their own
    let mut depth = 0_usize;
    let outside = |c: char| {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && c == ','
    };
    let understood = filter.split(outside).all(|part| {
        let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
        is_level(level.trim())
    });
    if understood {
        Ok(())
    } else {
        Err("each part is LEVEL or TARGET=LEVEL, LEVEL being off, error, warn, info, debug or trace")
    }
}

/// For how long something is set.
///
/// # Errors
/// In words: no duration, or none from 1s to 24h.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let time = synaxis_config::duration(text)?;
    let allowed = Duration::from_secs(1)..=TIME_MAX;
    if allowed.contains(&time) { Ok(time) } else { Err("allowed are 1s to 24h".to_owned()) }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    struct Fake(Mutex<String>);

    impl LogFilter for Fake {
        fn current(&self) -> String {
            self.0.lock().unwrap().clone()
        }

        fn set(&self, filter: &str) -> Result<(), String> {
            *self.0.lock().unwrap() = filter.to_owned();
            Ok(())
        }
    }

    fn levels() -> (Arc<Fake>, Levels) {
        let fake = Arc::new(Fake(Mutex::new("info".to_owned())));
        (Arc::clone(&fake), Levels::new(Some(fake)))
    }

    fn wanted(filter: &str, time: Option<&str>) -> Wanted {
        Wanted { filter: filter.to_owned(), time: time.map(str::to_owned) }
    }

    #[test]
    fn a_filter_that_was_set_for_a_time_goes_back_to_the_one_before_all_of_them() {
        let (fake, levels) = levels();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        levels.change(&wanted("debug", Some("10m")), start).unwrap();
        levels.change(&wanted("trace", Some("5m")), after(60)).unwrap();
        levels.expire(after(359));
        assert_eq!(fake.current(), "trace");
        levels.expire(after(360));
        assert_eq!(fake.current(), "info");
        // without a time it stays, and nothing of the old one comes back
        levels.change(&wanted("debug", Some("1s")), start).unwrap();
        levels.change(&wanted("warn", None), start).unwrap();
        levels.expire(after(1_000));
        assert_eq!(fake.current(), "warn");
    }

    #[test]
    fn what_is_no_filter_changes_nothing() {
        let (fake, levels) = levels();
        let long = format!("info,{}=debug", "x".repeat(1_024));
        for bad in ["", "inof", "debgu,info", "synaxis_proxy=loud", "a\nb", "\u{1b}[2J", "info,,", long.as_str()] {
            assert!(
                matches!(levels.change(&wanted(bad, None), Instant::now()), Err(Refusal::BodyInvalid(_))),
                "{bad:?}"
            );
        }
        for bad in ["", "10", "0s", "25h", "-1s", "99999999999999999999h", "soon"] {
            let outcome = levels.change(&wanted("debug", Some(bad)), Instant::now());
            assert!(matches!(outcome, Err(Refusal::BodyInvalid(_))), "{bad:?}");
        }
        assert_eq!(fake.current(), "info");
        assert_eq!(Levels::new(None).show(Instant::now()).unwrap_err(), Refusal::LogLevelFixed);
    }
}
