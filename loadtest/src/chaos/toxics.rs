//! What can be wrong with one direction of a connection.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::quantity;

/// What is wrong with one direction; the default is nothing. All of it holds for each connection on its own.
///
/// As text, durations are written as `"250ms"`. A delay above a day is a day.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Toxics {
    /// Everything arrives so much later, its end too. As much as fits into 1 MiB is under way at a time.
    #[serde(serialize_with = "quantity::serialize", deserialize_with = "quantity::duration")]
    pub latency: Duration,
    /// And up to so much later still, evenly and by chance, never out of order.
    #[serde(serialize_with = "quantity::serialize", deserialize_with = "quantity::duration")]
    pub jitter: Duration,
    /// Bytes a second; at 0 no byte passes.
    pub bandwidth: Option<u64>,
    /// A FIN passes so long after the bytes before it.
    #[serde(serialize_with = "quantity::serialize", deserialize_with = "quantity::duration")]
    pub slow_close: Duration,
    /// Bytes pass in small writes.
    pub slice: Option<Slice>,
    /// After so many bytes in this direction the whole connection is closed, with a FIN to both sides.
    pub limit: Option<u64>,
    /// So long after the connection began, or after the toxics were set if that was later, the whole connection is reset.
    #[serde(serialize_with = "quantity::serialize_optional", deserialize_with = "quantity::optional")]
    pub reset_after: Option<Duration>,
    /// Nothing passes, neither bytes nor their end, and the connection stays open.
    pub hang: bool,
}

/// How bytes are sliced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slice {
    /// Bytes of a write; 0 counts as 1.
    pub bytes: usize,
    /// Time between two writes.
    #[serde(default, serialize_with = "quantity::serialize", deserialize_with = "quantity::duration")]
    pub pause: Duration,
}

/// Toxics with the time at which they were set.
#[derive(Clone, Debug)]
pub(super) struct Regime {
    pub(super) toxics: Toxics,
    pub(super) since: Instant,
}

impl Regime {
    pub(super) fn now(toxics: Toxics) -> Self {
        Self { toxics, since: Instant::now() }
    }
}

impl Default for Regime {
    fn default() -> Self {
        Self::now(Toxics::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toxics_are_read_from_text_and_what_is_left_out_does_nothing() {
        let text = "latency = '1s 500ms'\nreset_after = '2m'\nbandwidth = 1000\nslice = { bytes = 10, pause = '5ms' }";
        let toxics = Toxics {
            latency: Duration::from_millis(1_500),
            reset_after: Some(Duration::from_secs(120)),
            bandwidth: Some(1_000),
            slice: Some(Slice { bytes: 10, pause: Duration::from_millis(5) }),
            ..Toxics::default()
        };
        assert_eq!(toml::from_str::<Toxics>(text).unwrap(), toxics);
        assert_eq!(toml::from_str::<Toxics>("").unwrap(), Toxics::default());
    }

    #[test]
    fn unknown_keys_and_bare_numbers_are_faults() {
        for text in
            ["lag = '1s'", "latency = 100", "reset_after = '5'", "slice = { bytes = 1, gap = '1s' }", "hang = 1"]
        {
            assert!(toml::from_str::<Toxics>(text).is_err(), "{text}");
        }
    }
}
