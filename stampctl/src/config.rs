//! stampctl's own TOML (`--config`, `SYNAXIS_STAMPCTL_CONFIG`): what an operator does not want to repeat.
//!
//! ```toml
//! store = "rediss://routing.internal:6380"
//! limits_store = "rediss://limits.weu.internal:6380"
//! cache_store = "rediss://cache.weu-001.internal:6380/3"
//! key_prefix = "synaxis"
//!
//! [guards]
//! active_min = 2
//! active_min_per_region = 1
//! ```
//!
//! The command line and the environment win over it. Unknown keys are refused.

use std::path::Path;

use serde::Deserialize;
use synaxis_routing::change::Guards;

use crate::failure::Failure;

/// Largest file that is read, in bytes.
const BYTES_MAX: u64 = 1 << 20;

/// The file as written.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// URL of the store.
    pub(crate) store: Option<String>,
    /// URL of the store in which proxies count requests by tenant.
    pub(crate) limits_store: Option<String>,
    /// Prefix of its keys.
    pub(crate) limits_key_prefix: Option<String>,
    /// URL of the store in which the processes of a stamp tell each other what was purged.
    pub(crate) cache_store: Option<String>,
    /// Prefix of its keys.
    pub(crate) cache_key_prefix: Option<String>,
    /// Prefix of the routing table's keys.
    pub(crate) key_prefix: Option<String>,
    /// How many Active stamps must remain.
    pub(crate) guards: Guards,
}

impl Config {
    /// Reads the file; without a path, the defaults.
    pub(crate) fn read(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else { return Ok(Self::default()) };
        let wrong = |error: String| Failure::Usage(format!("config file {}: {error}", path.display()));
        let size = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
        if size > BYTES_MAX {
            return Err(wrong(format!("{size} bytes; at most {BYTES_MAX} are read")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        toml::from_str(&text).map_err(|error| wrong(error.message().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_keeps_its_default_and_unknown_keys_are_refused() {
        let config: Config = toml::from_str("[guards]\nactive_min = 5").unwrap();
        assert_eq!(config.guards, Guards { active_min: 5, active_min_per_region: 1 });
        assert_eq!(config.store, None);
        for bad in ["stores = 'x'", "[guards]\nactive_max = 1", "[guards]\nactive_min = -1", "store = 3"] {
            assert!(toml::from_str::<Config>(bad).is_err(), "{bad}");
        }
    }
}
