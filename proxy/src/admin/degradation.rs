//! `/degradation`: at which level this process is, why, and an operator's own level for it.
//!
//! Invariant: what an operator sets here ends by itself, and is of this process alone. For a stamp or the fleet there is the
//! routing table.

use std::time::Duration;

use http::Response;
use serde::Deserialize;
use synaxis_routing::degradation::Level;

use super::{
    View,
    access::Refusal,
    answers::{self, Reply},
    loglevel,
};

/// What is asked for: `{"level": "read-only", "for": "30m"}`, or `{"level": "auto"}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    level: String,
    #[serde(rename = "for")]
    time: Option<String>,
}

impl Wanted {
    /// The level and for how long; `None` to leave it to what is watched.
    fn read(&self) -> Result<Option<(Level, Duration)>, String> {
        if self.level == "auto" {
            return if self.time.is_none() { Ok(None) } else { Err("for: auto has no end".to_owned()) };
        }
        let level = self.level.parse::<Level>().map_err(|error| format!("level: {error}, or auto"))?;
        let time = self.time.as_deref().ok_or("for: say how long, 1s to 24h")?;
        Ok(Some((level, loglevel::time(time).map_err(|why| format!("for: {why}"))?)))
    }
}

pub(super) fn show(view: &View) -> Response<Reply> {
    answers::document(&view.status.degradation.shown(&view.plane))
}

pub(super) fn change(view: &View, wanted: &Wanted) -> Result<Response<Reply>, Refusal> {
    match wanted.read().map_err(Refusal::BodyInvalid)? {
        Some((level, time)) => {
            tracing::info!(%level, ?time, "an operator set the level of degradation of this process");
            view.status.degradation.tell(&view.plane, Some((level, time)));
            Ok(show(view))
        }
        None => Ok(clear(view)),
    }
}

pub(super) fn clear(view: &View) -> Response<Reply> {
    tracing::info!("an operator left the level of degradation of this process to what is watched");
    view.status.degradation.tell(&view.plane, None);
    show(view)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Option<(Level, Duration)>, String> {
        let wanted: Wanted = serde_json::from_str(body).map_err(|error| error.to_string())?;
        wanted.read()
    }

    #[test]
    fn a_level_is_set_for_a_time_of_at_most_a_day() {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        for (body, expected) in [
            (r#"{"level":"read-only","for":"30m"}"#, Some((Level::ReadOnly, minutes(30)))),
            (r#"{"level":"4","for":"24h"}"#, Some((Level::Maintenance, minutes(24 * 60)))),
            (r#"{"level":"full","for":"1s"}"#, Some((Level::Full, Duration::from_secs(1)))),
            (r#"{"level":"auto"}"#, None),
        ] {
            assert_eq!(read(body), Ok(expected), "{body}");
        }
        for bad in [
            "{}",
            "[]",
            "null",
            r#"{"level":"read-only"}"#,
            r#"{"level":"auto","for":"1h"}"#,
            r#"{"level":3,"for":"1h"}"#,
            r#"{"level":"5","for":"1h"}"#,
            r#"{"level":"","for":"1h"}"#,
            r#"{"level":"read_only","for":"1h"}"#,
            r#"{"level":"read-only","for":""}"#,
            r#"{"level":"read-only","for":"0s"}"#,
            r#"{"level":"read-only","for":"25h"}"#,
            r#"{"level":"read-only","for":"-1h"}"#,
            r#"{"level":"read-only","for":"99999999999999999999h"}"#,
            r#"{"level":"read-only","for":60}"#,
            r#"{"level":"read-only","for":"1h","stamp":"all"}"#,
            r#"{"level":"read-only","level":"full","for":"1h"}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
