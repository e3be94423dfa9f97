//! Durations as scenarios write them: `"1m 30s"`, `"250ms"`. A bare number is a fault, never guessed at.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error as _};

/// Longer than anything in a run lasts.
pub const DAY: Duration = Duration::from_secs(24 * 3_600);

/// For `#[serde(deserialize_with)]`.
///
/// # Errors
/// The text is no duration.
pub fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(|error| D::Error::custom(format!("{text:?} is no duration: {error}")))
}

/// The same for a value that may be left out.
///
/// # Errors
/// The text is no duration.
pub fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

/// Milliseconds with their fraction.
#[must_use]
pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Microseconds, as far as a `u64` reaches.
#[must_use]
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// For `#[serde(serialize_with)]`: as [`duration`] reads it.
///
/// # Errors
/// The serializer's.
pub fn serialize<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_duration(*duration))
}

/// The same for a value that may be left out.
///
/// # Errors
/// The serializer's.
pub fn serialize_optional<S: serde::Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => serialize(duration, serializer),
        None => serializer.serialize_none(),
    }
}
