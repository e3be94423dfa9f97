//! The routing table as written: two JSON documents, the stamps (small, change often) and the listed tenants (only
//! those that differ from the default).
//!
//! These are plain data. What a table *means* is [`crate::placement`]; whether it may be applied is
//! [`crate::sanity`]; the exact bytes and their hashes are [`crate::bundle`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    degradation::{Degradation, Override},
    id::{Region, StampId, TenantId},
    limits::TenantLimits,
    version::Version,
};

/// Milliseconds since the Unix epoch, on the store's clock.
pub type Millis = u64;

/// Newest document format that this code reads. What a table [needs](Table::needs) may be less, so that readers of before go
/// on reading it.
///
/// 1: everything but what follows. 2: `degradation`, which format 1 reserves and its readers pass over.
pub const FORMAT: u32 = 2;

/// Name of the only placement algorithm so far; part of the table, so that two builds can never disagree silently.
pub const ALGORITHM: &str = "hrw-xxh3-v1";

/// Most stamps that take part (Deleted ones included) in one table.
pub const STAMPS_MAX: usize = 1_000;

/// Most listed tenants.
pub const TENANTS_MAX: usize = 100_000;

/// The listed tenants, by id.
pub type Tenants = BTreeMap<TenantId, Tenant>;

/// The first document: the fleet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Document format, at least what it [needs](Self::needs), at most [`FORMAT`].
    pub version: u32,
    /// Term; see [`Version`].
    pub term: u64,
    /// Epoch; see [`Version`].
    pub epoch: u64,
    /// Placement algorithm, [`ALGORITHM`].
    pub algorithm: String,
    /// Seed of the slot hash, 16 hexadecimal digits. Secret: keeps tenants from aiming at a slot.
    pub seed: Seed,
    /// log2 of the number of slots: 16, or 20 for fleets of more than 100 stamps; fixed for the life of a fleet.
    pub slots_log2: u8,
    /// Whether a tenant has one stamp in each region or one in the fleet.
    pub scope: Scope,
    /// What stood before this table; the yardstick of the shrink rule.
    pub previous: Previous,
    /// Why the shrink rule does not bind this table; `None` ordinarily.
    pub forced: Option<String>,
    /// All regions, in the order in which they stand in for each other.
    pub regions: Vec<Region>,
    /// All stamps, sorted by id.
    pub stamps: Vec<Stamp>,
    /// Ids of deleted stamps whose tombstone has left; never to be used again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retired: Vec<StampId>,
    /// Levels of degradation set by hand; `None` ordinarily.
    pub degradation: Option<Degradation>,
    /// SHA-256 of the tenants document, 64 hexadecimal digits.
    pub tenants_hash: String,
    /// Room for extensions; never read.
    #[serde(default)]
    pub ext: Map<String, Value>,
}

impl Table {
    /// `(term, epoch)`.
    #[must_use]
    pub const fn version(&self) -> Version {
        Version::new(self.term, self.epoch)
    }

    /// Lowest format that a reader must understand. A reader that passed over an override would serve what an operator
    /// stopped.
    #[must_use]
    pub const fn needs(&self) -> u32 {
        if self.degradation.is_some() { 2 } else { 1 }
    }

    /// The override that holds for a stamp at `now`: the higher level of its own and the fleet's.
    #[must_use]
    pub fn degradation_of(&self, stamp: &StampId, now: Millis) -> Option<&Override> {
        self.degradation.as_ref()?.of(stamp, now)
    }

    /// The override that holds for every stamp at `now`.
    #[must_use]
    pub fn degradation_of_fleet(&self, now: Millis) -> Option<&Override> {
        self.degradation.as_ref()?.of_fleet(now)
    }

    /// The stamp with this id.
    #[must_use]
    pub fn stamp(&self, id: &str) -> Option<&Stamp> {
        self.stamps.iter().find(|stamp| stamp.id.as_str() == id)
    }

    /// Stamps that take slots: Active or Draining, not dedicated.
    pub fn takers(&self) -> impl Iterator<Item = &Stamp> {
        self.stamps.iter().filter(|stamp| stamp.takes_slots())
    }
}

/// The secret seed of the slot hash: a u64 as 16 hexadecimal digits. `Debug` does not show it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub u64);

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(redacted)")
    }
}

impl Serialize for Seed {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:016x}", self.0))
    }
}

impl<'de> Deserialize<'de> for Seed {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // the value is secret: no message may repeat it, not even serde's own about a number in its place
        let refused = || serde::de::Error::custom("the seed is 16 hexadecimal digits");
        let text = String::deserialize(deserializer).map_err(|_| refused())?;
        if text.len() != 16 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(refused());
        }
        u64::from_str_radix(&text, 16).map(Self).map_err(|_| refused())
    }
}

/// Where a tenant has a home when its entry says nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// One stamp in every region in which it is used.
    Region,
    /// One stamp worldwide.
    Fleet,
}

/// The table that this one replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Previous {
    /// Its epoch.
    pub epoch: u64,
    /// How many stamps took slots in it.
    pub takers: u32,
}

/// One stamp.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stamp {
    /// Its id; never reused.
    pub id: StampId,
    /// Its region; one of the table's.
    pub region: Region,
    /// What ranks are computed from: the id, unless the stamp replaces another and shares its key.
    pub placement_key: StampId,
    /// Where it stands in its life.
    pub state: State,
    /// Since when it is in this state, in milliseconds since the Unix epoch.
    pub since: Millis,
    /// Share of slots relative to the others, 0–1000; 0 takes none.
    pub weight: u16,
    /// Serves only tenants pinned to it.
    pub dedicated: bool,
    /// Its peer listener, `https://HOST:PORT` (or `http://` on loopback).
    pub endpoint: String,
    /// Coming in or going out gradually; `None`: at once.
    pub ramp: Option<Ramp>,
    /// When timed transitions are due, by name, in milliseconds since the Unix epoch.
    #[serde(default)]
    pub deadlines: BTreeMap<String, Millis>,
    /// What an operator should know about it.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Free labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Room for extensions; never read.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub ext: Map<String, Value>,
}

impl Stamp {
    /// Active or Draining, not dedicated, weight above 0.
    #[must_use]
    pub fn takes_slots(&self) -> bool {
        matches!(self.state, State::Active | State::Draining) && !self.dedicated && self.weight > 0
    }
}

/// The states of a stamp's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Being provisioned; takes nothing.
    Creating,
    /// Serves.
    Active,
    /// Gives its slots away; finishes what it has.
    Draining,
    /// Warm standby; takes nothing.
    Ready,
    /// Broken; refuses.
    Failed,
    /// Gone; a tombstone.
    Deleted,
}

/// A share of slots that changes linearly in time. See [`crate::ramp`] for the one formula.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ramp {
    /// Share held at `started_at`, per mille.
    pub from: u16,
    /// Share held `seconds` later, per mille.
    pub to: u16,
    /// Start, in milliseconds since the Unix epoch on the store's clock.
    pub started_at: Millis,
    /// Length in seconds; 0 switches at once.
    pub seconds: u32,
    /// Frozen at this instant, in milliseconds since the Unix epoch; `None` while it moves.
    pub held_at: Option<Millis>,
}

/// What differs from the default for one tenant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// Tier, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// The stamp that serves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<StampId>,
    /// How binding the pin is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin_mode: Option<PinMode>,
    /// The region that serves it first; must be one of `regions`, when those are given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<Region>,
    /// The only regions that may serve it, in order; `None`: all of the table's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regions: Option<Vec<Region>>,
    /// Quotas of its own, in place of those of its tier or of the limit.
    #[serde(default, skip_serializing_if = "TenantLimits::is_empty")]
    pub limits: TenantLimits,
    /// Room for tenant moves; not read.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "move")]
    pub moving: Option<Value>,
    /// Room for extensions; never read.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub ext: Map<String, Value>,
}

/// How binding a pin is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PinMode {
    /// That stamp or nobody.
    Strict,
    /// That stamp first, the ranks after it.
    Preferred,
}
