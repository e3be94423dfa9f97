//! Degradation by hand: a level that an operator sets for the whole fleet or for one stamp, and when it ends.
//!
//! Invariant: an override always ends. Whatever a table says, none is in force for longer than [`LASTS_MAX`] and the
//! moment by which clocks differ; it needs no further publication to end. What a level changes is for the proxies to say.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, Visitor},
};

use crate::{
    change::utc,
    id::StampId,
    placement::EDGE,
    table::{Millis, STAMPS_MAX},
};

/// Longest that an override may last: 24 hours, in milliseconds.
pub const LASTS_MAX: Millis = 24 * 3_600_000;

/// Longest reason, in bytes.
pub const REASON_BYTES_MAX: usize = 200;

/// How much a stamp still does. Higher levels do less; a document writes them as numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Level {
    /// 0: everything.
    #[default]
    Full,
    /// 1: nothing of class `ai`.
    AiDegraded,
    /// 2: without the shared cache and limits, and nothing of class `ai`.
    CacheDegraded,
    /// 3: safe methods only.
    ReadOnly,
    /// 4: nothing.
    Maintenance,
}

/// Every level, by number.
pub const LEVELS: [Level; 5] =
    [Level::Full, Level::AiDegraded, Level::CacheDegraded, Level::ReadOnly, Level::Maintenance];

impl Level {
    /// The name that operators use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::AiDegraded => "ai-degraded",
            Self::CacheDegraded => "cache-degraded",
            Self::ReadOnly => "read-only",
            Self::Maintenance => "maintenance",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A number or a text that is no level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a level is 0 to 4: full, ai-degraded, cache-degraded, read-only, maintenance")]
pub struct InvalidLevel;

impl From<Level> for u8 {
    fn from(level: Level) -> Self {
        level as Self
    }
}

impl TryFrom<u8> for Level {
    type Error = InvalidLevel;

    fn try_from(number: u8) -> Result<Self, InvalidLevel> {
        LEVELS.get(usize::from(number)).copied().ok_or(InvalidLevel)
    }
}

impl FromStr for Level {
    type Err = InvalidLevel;

    /// By number or by name.
    fn from_str(text: &str) -> Result<Self, InvalidLevel> {
        let named = |level: &Level| level.as_str().eq_ignore_ascii_case(text);
        match text.as_bytes() {
            [digit @ b'0'..=b'4'] => Self::try_from(digit - b'0'),
            _ => LEVELS.into_iter().find(named).ok_or(InvalidLevel),
        }
    }
}

/// A level set by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// The level. [`Level::Full`] asks for nothing.
    pub level: Level,
    /// When it was published, in milliseconds since the Unix epoch on the store's clock.
    pub since: Millis,
    /// When it ends, in milliseconds since the Unix epoch on the store's clock; at most [`LASTS_MAX`] after `since`.
    pub until: Millis,
    /// Why, in at most [`REASON_BYTES_MAX`] bytes; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl Override {
    /// Whether it holds at this instant. One from the future does not: otherwise a wrong `since` could make it last for
    /// good. The clocks of writer and reader may differ by [`EDGE`].
    #[must_use]
    pub const fn is_in_force(&self, now: Millis) -> bool {
        now < self.until && self.since <= now.saturating_add(EDGE)
    }

    /// Why no table may carry it.
    ///
    /// # Errors
    /// In words: it does not end within a day, or the reason is too long or has control characters.
    pub fn check(&self) -> Result<(), &'static str> {
        match self.until.checked_sub(self.since) {
            Some(1..=LASTS_MAX) => {}
            _ => return Err("it must end after it begins, and within 24 hours"),
        }
        check_reason(&self.reason)
    }
}

/// Why a text is no reason.
pub(crate) fn check_reason(reason: &str) -> Result<(), &'static str> {
    if reason.len() > REASON_BYTES_MAX || reason.chars().any(char::is_control) {
        return Err("its reason has more than 200 bytes, or control characters");
    }
    Ok(())
}

impl fmt::Display for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} until {}", self.level, utc(self.until))?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, " ({})", self.reason) }
    }
}

/// All overrides of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Degradation {
    /// For every stamp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<Override>,
    /// For single ones.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "unique")]
    pub stamps: BTreeMap<StampId, Override>,
}

impl Degradation {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fleet.is_none() && self.stamps.is_empty()
    }

    /// What holds for the whole fleet now.
    #[must_use]
    pub fn of_fleet(&self, now: Millis) -> Option<&Override> {
        self.fleet.as_ref().filter(|it| it.is_in_force(now))
    }

    /// What holds for a stamp now: the higher level of its own and the fleet's; the fleet's when both are equal.
    #[must_use]
    pub fn of(&self, stamp: &StampId, now: Millis) -> Option<&Override> {
        let own = self.stamps.get(stamp).filter(|it| it.is_in_force(now));
        own.into_iter().chain(self.of_fleet(now)).max_by_key(|it| it.level)
    }

    /// All of them with what they are for: `fleet` or a stamp's id.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Override)> {
        let fleet = self.fleet.iter().map(|it| ("fleet", it));
        fleet.chain(self.stamps.iter().map(|(id, it)| (id.as_str(), it)))
    }
}

impl fmt::Display for Degradation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (whose, it)) in self.all().enumerate() {
            write!(f, "{}{whose} {it}", if i == 0 { "" } else { ", " })?;
        }
        if self.is_empty() { f.write_str("none") } else { Ok(()) }
    }
}

/// No stamp twice: which of the two would count is nobody's guess.
fn unique<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<StampId, Override>, D::Error> {
    struct Unique;

    impl<'de> Visitor<'de> for Unique {
        type Value = BTreeMap<StampId, Override>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of stamps")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut stamps = BTreeMap::new();
            while let Some((id, it)) = map.next_entry::<StampId, Override>()? {
                if stamps.len() == STAMPS_MAX {
                    return Err(de::Error::custom(format_args!("more than {STAMPS_MAX} overrides")));
                }
                if let Some(twice) = stamps.insert(id, it) {
                    return Err(de::Error::custom(format_args!("a stamp has two overrides, one is {}", twice.level)));
                }
            }
            Ok(stamps)
        }
    }

    deserializer.deserialize_map(Unique)
}

#[cfg(test)]
mod tests;
