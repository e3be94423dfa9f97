//! The version of a routing table: `(term, epoch)`, compared in that order.
//!
//! The epoch counts publications. The term rises only when the store lost its memory and a table was put back with
//! `recover` or `import`, so that the restored table is newer than everything that was ever applied.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Terms and epochs are below this: what Lua's numbers, with which the Redis store counts, hold exactly.
pub const COUNTER_MAX: u64 = 1 << 53;

/// `(term, epoch)` of a table. The default, `0.0`, is older than every published table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// Rises only with `recover` and `import`.
    pub term: u64,
    /// Rises with every publication.
    pub epoch: u64,
}

impl Version {
    /// A version from its two counters.
    #[must_use]
    pub const fn new(term: u64, epoch: u64) -> Self {
        Self { term, epoch }
    }

    /// Whether both counters are below [`COUNTER_MAX`].
    #[must_use]
    pub const fn is_countable(self) -> bool {
        self.term < COUNTER_MAX && self.epoch < COUNTER_MAX
    }

    /// The version of the next ordinary publication: same term, epoch + 1 (saturating).
    #[must_use]
    pub const fn next(self) -> Self {
        Self { term: self.term, epoch: self.epoch.saturating_add(1) }
    }

    /// The version with which a recovered table supersedes everything up to `self`: term + 1, epoch + 1 (saturating).
    #[must_use]
    pub const fn next_term(self) -> Self {
        Self { term: self.term.saturating_add(1), epoch: self.epoch.saturating_add(1) }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.term, self.epoch)
    }
}

/// A version that is not `TERM.EPOCH` in decimal digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a table version is TERM.EPOCH in decimal digits, such as 3.4711")]
pub struct InvalidVersion;

impl FromStr for Version {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        let number = |part: &str| -> Result<u64, InvalidVersion> {
            if part.is_empty() || part.len() > 20 || !part.bytes().all(|b| b.is_ascii_digit()) {
                return Err(InvalidVersion);
            }
            part.parse().map_err(|_| InvalidVersion)
        };
        let (term, epoch) = text.split_once('.').ok_or(InvalidVersion)?;
        Ok(Self { term: number(term)?, epoch: number(epoch)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_term_outranks_the_epoch() {
        assert!(Version::new(2, 1) > Version::new(1, 99));
        assert!(Version::new(1, 2) > Version::new(1, 1));
        assert_eq!(Version::new(1, 7).next_term(), Version::new(2, 8));
    }

    #[test]
    fn text_goes_there_and_back_and_nothing_else_is_accepted() {
        assert_eq!("3.4711".parse(), Ok(Version::new(3, 4711)));
        assert_eq!(Version::new(3, 4711).to_string(), "3.4711");
        for bad in ["", "3", "3.", ".1", "+3.1", "3.-1", "3.1.2", "3. 1", "99999999999999999999999.1", "a.b"] {
            assert_eq!(bad.parse::<Version>(), Err(InvalidVersion), "{bad:?}");
        }
    }
}
