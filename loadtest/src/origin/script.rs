//! What an origin does beside answering as it should.
//!
//! Shares are of its requests, 0 to 1, drawn for each one. The lies among them are planted to see whether the oracle
//! finds them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::quantity;

/// The behaviour of an origin. The default answers at once and honestly.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// Time from the request's last byte to the answer's first.
    #[serde(serialize_with = "quantity::serialize", deserialize_with = "quantity::duration")]
    pub latency: Duration,
    /// More than that by chance, evenly from nothing to this.
    #[serde(serialize_with = "quantity::serialize", deserialize_with = "quantity::duration")]
    pub jitter: Duration,
    /// Answers that are errors.
    pub errors: Option<Error>,
    /// `max-age` of answers in seconds; without it they say `no-store`, and those with a shared resource nothing.
    pub cacheable: Option<u32>,
    /// Bodies that come in pieces.
    pub trickle: Option<Trickle>,
    /// Share of answers that end in the middle of their body.
    pub cut: f64,
    /// Share of requests that are recorded and answered with a reset.
    pub reset: f64,
    /// Share of requests that are recorded and never answered.
    pub hang: f64,
    /// Connections are reset as soon as they are accepted.
    pub refuse: bool,
    /// Lie: share of requests that are answered, but not recorded.
    pub forget: f64,
    /// Lie: share of requests that are executed twice.
    pub execute_twice: f64,
    /// Lie: share of requests that are recorded with another upload than came.
    pub misread: f64,
    /// Lie: share of answers that are sent twice in one piece.
    pub answer_twice: f64,
    /// Lie: share of requests whose answer goes to the next request, and the other way round.
    pub swap: f64,
    /// Lie: share of requests beside which one is recorded that nobody sent.
    pub invent: f64,
    /// Lie: share of requests that, if they are for a shared resource, get that of another tenant.
    pub cross: f64,
    /// Lie: share of requests that, if they are for a shared resource, get the bytes of another one in its name.
    pub mislay: f64,
}

/// Answers that are errors.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Error {
    /// Their status.
    pub status: u16,
    /// Share of requests.
    pub share: f64,
    /// Index of the tenant whose requests they are; default: of all.
    pub tenant: Option<u32>,
}

/// Bodies that come in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trickle {
    /// Bytes of a piece.
    pub bytes: u32,
    /// Time between two.
    #[serde(serialize_with = "quantity::serialize", deserialize_with = "quantity::duration")]
    pub pause: Duration,
}

impl Script {
    /// What is wrong with it, if anything is.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let shares = [
            ("cut", self.cut),
            ("reset", self.reset),
            ("hang", self.hang),
            ("forget", self.forget),
            ("execute_twice", self.execute_twice),
            ("misread", self.misread),
            ("answer_twice", self.answer_twice),
            ("swap", self.swap),
            ("invent", self.invent),
            ("cross", self.cross),
            ("mislay", self.mislay),
            ("errors.share", self.errors.map_or(0.0, |errors| errors.share)),
        ];
        let outside = shares.iter().filter(|(_, share)| !(0.0..=1.0).contains(share));
        let mut faults: Vec<String> = outside.map(|(name, _)| format!("{name} is a share, 0 to 1")).collect();
        if self.errors.is_some_and(|errors| !(200..=599).contains(&errors.status)) {
            faults.push("errors.status is 200 to 599".into());
        }
        if self.trickle.is_some_and(|trickle| trickle.bytes == 0) {
            faults.push("trickle.bytes is at least 1".into());
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_survives_the_way_to_its_process() {
        let script = Script {
            latency: Duration::from_millis(1_500),
            errors: Some(Error { status: 503, share: 0.25, tenant: Some(7) }),
            trickle: Some(Trickle { bytes: 10, pause: Duration::from_micros(70) }),
            refuse: true,
            swap: 0.0001,
            ..Script::default()
        };
        let line = serde_json::to_string(&script).unwrap();
        assert_eq!(serde_json::from_str::<Script>(&line).unwrap(), script);
        assert!(!line.contains('\n'));
        assert!(script.check().is_empty());
    }

    #[test]
    fn an_unsound_script_is_named() {
        let script = Script {
            cut: -0.1,
            hang: f64::NAN,
            errors: Some(Error { status: 99, share: 2.0, tenant: None }),
            ..Script::default()
        };
        assert_eq!(script.check().len(), 4, "{:?}", script.check());
        assert!(serde_json::from_str::<Script>("{\"latencie\":\"1s\"}").is_err());
        assert!(serde_json::from_str::<Script>("{\"latency\":1}").is_err());
    }
}
