//! What operators do to a fleet: pure edits of the two documents, each with a summary in words and the differences.
//!
//! Invariant: an edit returns a complete new fleet of the next version, or refuses and changes nothing. It never moves
//! a stamp along a step that [`crate::lifecycle`] does not list, and never takes the last capacity away unless told so
//! by name. Nothing here reads a clock, a store or chance.
//!
//! Edits of one stamp are in `stamp`, pins in `tenant`, the choice of a stamp for a tenant in `assign`, tiers and quotas of
//! tenants in `terms`, levels of degradation in `degrade`, whole tables (rollback, restore) in `whole`; what an edit moves is
//! in `moves`, in requests in `requests`, how it is named before it is published in `plan`.

mod assign;
mod degrade;
mod diff;
mod guard;
mod moves;
mod plan;
mod requests;
mod stamp;
mod tenant;
mod terms;
pub mod tier;
mod whole;

pub use assign::{Assign, Size};
pub use degrade::Whom;
pub use diff::{DIFFERENCES_MAX, Difference, utc};
pub use guard::{Guarded, Guards, Overrides};
pub use moves::{Moves, RegionMoves, WAYS_MAX, Way, moves};
pub use plan::{InvalidPlan, PlanId};
pub use requests::{RequestWay, Requests, requests};
pub use stamp::{Drain, GRACE_MAX, LABEL_NAME_BYTES_MAX, LABELS_MAX, RAMP_SECONDS_DEFAULT, Register, WARNINGS_MAX};
pub use terms::Terms;

use crate::{
    id::{Region, StampId, TenantId},
    lifecycle::{self, Blocked, Illegal},
    limits::LIMIT_NAME_MAX,
    placement::EDGE,
    ramp,
    table::{ALGORITHM, FORMAT, Millis, Previous, STAMPS_MAX, Scope, Seed, Stamp, State, TENANTS_MAX, Table, Tenants},
    version::Version,
};

/// Most ids of forgotten stamps that a table remembers; the oldest go first.
pub const RETIRED_MAX: usize = 4_096;
/// Longest free text (a reason, a warning, a label's value) in a table, in bytes.
pub const TEXT_BYTES_MAX: usize = 256;

/// Both documents together: what every edit takes and gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Fleet {
    /// The stamps.
    pub table: Table,
    /// The listed tenants.
    pub tenants: Tenants,
}

/// The outcome of an edit.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The fleet of the next version.
    pub fleet: Fleet,
    /// What was done, in one sentence without an end: `drain synaxis-weu-003 over 300 s`.
    pub summary: String,
    /// What differs, at most [`DIFFERENCES_MAX`] entries.
    pub differences: Vec<Difference>,
    /// How many further differences there are.
    pub more: usize,
    /// What the operator should know before this is published.
    pub warnings: Vec<String>,
}

impl Changed {
    /// Writes down why the rule against losing too many stamps at once is not to bind this table.
    ///
    /// # Errors
    /// [`Refused::Invalid`] for an empty reason, one of more than [`TEXT_BYTES_MAX`] bytes or with control characters.
    pub fn forced(mut self, reason: &str) -> Result<Self, Refused> {
        check_text("the reason", reason)?;
        self.differences.push(Difference::of("table", "forced", None, Some(reason.into())));
        self.fleet.table.forced = Some(reason.to_owned());
        Ok(self)
    }
}

/// Why an edit was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No such stamp.
    #[error("there is no stamp {0} in the table; `stampctl list` shows all of them")]
    UnknownStamp(StampId),
    /// No such region.
    #[error("there is no region {region} in the table; it has {known}")]
    UnknownRegion {
        /// What was asked for.
        region: String,
        /// All regions of the table.
        known: String,
    },
    /// The tenant has no pin.
    #[error("tenant {0} has no pin; `stampctl tenant list` shows the listed tenants")]
    NotPinned(Box<TenantId>), // boxed: a tenant id is 132 bytes
    /// No name of a tier.
    #[error("{0:?} is no name of a tier: 1 to 32 of a-z 0-9 -")]
    InvalidTier(String),
    /// No name of a limit.
    #[error("{0:?} is no name of a limit: 1 to {LIMIT_NAME_MAX} of a-z 0-9 - _, the first a letter or digit")]
    InvalidLimit(String),
    /// The id is taken.
    #[error("stamp {stamp} is registered already, it is {state}")]
    Exists {
        /// The id.
        stamp: StampId,
        /// Its state.
        state: State,
    },
    /// The id was used before.
    #[error("the id {0} belonged to a deleted stamp, and ids are never used again; register it under the next number")]
    Retired(StampId),
    /// The state machine has no such step.
    #[error("{stamp}: {illegal}")]
    Illegal {
        /// The stamp.
        stamp: StampId,
        /// The step.
        illegal: Illegal,
    },
    /// The state forbids the operation.
    #[error("{stamp}: {blocked}")]
    Blocked {
        /// The stamp.
        stamp: StampId,
        /// The operation.
        blocked: Blocked,
    },
    /// Deleting a draining stamp cuts what it still has.
    #[error(
        "{0} is draining; finish with `stampctl standby {0}` and delete it then, or cut what it still serves with \
         `stampctl delete {0} --force`"
    )]
    StillDraining(StampId),
    /// Tenants that may be served by this stamp only.
    #[error(
        "{stamp} is the strict pin of {}; move them first: `stampctl tenant unpin TENANT…` or `stampctl tenant pin TENANT OTHER`",
        some_of(.tenants)
    )]
    StrictlyPinned {
        /// The stamp.
        stamp: StampId,
        /// All tenants pinned to it, in order.
        tenants: Vec<TenantId>,
    },
    /// Too little would remain.
    #[error(transparent)]
    Guarded(#[from] Guarded),
    /// No proxy applies a table in which no stamp takes slots any more.
    #[error(
        "{0} is the last stamp that takes slots, and no proxy applies a table without one: bring another one in first \
         (a drain may stay as it is until then)"
    )]
    LastTaker(StampId),
    /// The tenant's regions exclude the stamp.
    #[error("tenant {tenant} may only be served in {allowed}, but {stamp} is in {region}")]
    Residency {
        /// The tenant.
        tenant: Box<TenantId>,
        /// The stamp.
        stamp: StampId,
        /// Its region.
        region: Region,
        /// The tenant's regions.
        allowed: String,
    },
    /// No stamp has room for a tenant.
    #[error("{0}")]
    NoRoom(String),
    /// A value out of range.
    #[error("{0}")]
    Invalid(String),
    /// There is no room.
    #[error("the table is full: at most {0}")]
    Full(String),
    /// Everything is as asked already.
    #[error("nothing to change: {0}")]
    Nothing(String),
}

impl Fleet {
    /// A fleet without stamps and tenants, before its first publication: version 1.0, so that the first edit makes 1.1.
    ///
    /// `slots_log2` is 16, or 20 for fleets of more than 100 stamps; it and the seed stay for the life of the fleet.
    ///
    /// # Errors
    /// [`Refused::Invalid`] for no regions, a region named twice, or another `slots_log2`.
    pub fn blank(regions: Vec<Region>, scope: Scope, seed: Seed, slots_log2: u8) -> Result<Self, Refused> {
        if regions.is_empty() {
            return Err(Refused::Invalid("a table needs at least one region".into()));
        }
        if let Some(twice) = regions.iter().enumerate().find(|(i, region)| regions[..*i].contains(region)) {
            return Err(Refused::Invalid(format!("region {} is named twice", twice.1)));
        }
        if !matches!(slots_log2, 16 | 20) {
            return Err(Refused::Invalid("slots_log2 is 16, or 20 for fleets of more than 100 stamps".into()));
        }
        let table = Table {
            version: FORMAT,
            term: 1,
            epoch: 0,
            algorithm: ALGORITHM.to_owned(),
            seed,
            slots_log2,
            scope,
            previous: Previous::default(),
            forced: None,
            regions,
            stamps: Vec::new(),
            retired: Vec::new(),
            degradation: None,
            tenants_hash: String::new(),
            ext: serde_json::Map::new(),
        };
        Ok(Self { table, tenants: Tenants::new() })
    }

    /// Publishes a [`blank`](Self::blank) fleet as it is: an empty new table.
    ///
    /// # Errors
    /// [`Refused::Nothing`] if this fleet has been published before.
    pub fn init(&self, now: Millis) -> Result<Changed, Refused> {
        if self.table.epoch != 0 {
            return Err(Refused::Nothing(format!("there is a table already, {}", self.table.version())));
        }
        let regions = join(self.table.regions.iter());
        self.finish(self.clone(), format!("create a table for the regions {regions}"), vec![], now)
    }

    /// `(term, epoch)`.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.table.version()
    }

    /// Completes an edit: next version, yardstick of the shrink rule, expired tombstones, differences.
    fn finish(&self, mut after: Self, summary: String, warnings: Vec<String>, now: Millis) -> Result<Changed, Refused> {
        let version = self.version();
        if version.next() == version {
            return Err(Refused::Invalid("the epoch counter is exhausted".into()));
        }
        after.table.term = version.term;
        after.table.epoch = version.next().epoch;
        after.table.previous = self.yardstick();
        after.seal(Some(self), summary, warnings, now)
    }

    /// What the next table says stood before it.
    fn yardstick(&self) -> Previous {
        let takers = u32::try_from(self.table.takers().count()).unwrap_or(u32::MAX);
        Previous { epoch: self.table.epoch, takers }
    }

    /// What every new table goes through, whatever its version.
    fn seal(
        mut self,
        before: Option<&Self>,
        summary: String,
        warnings: Vec<String>,
        now: Millis,
    ) -> Result<Changed, Refused> {
        self.table.forced = None;
        self.forget_tombstones(now);
        self.forget_ramps(now);
        self.forget_degradation(now);
        self.table.version = self.table.needs();
        self.table.stamps.sort_by(|a, b| a.id.cmp(&b.id));
        if self.table.stamps.len() > STAMPS_MAX {
            return Err(Refused::Full(format!("{STAMPS_MAX} stamps, deleted ones of the last 30 days included")));
        }
        if self.tenants.len() > TENANTS_MAX {
            return Err(Refused::Full(format!("{TENANTS_MAX} listed tenants")));
        }
        let (differences, more) = diff::between(before.filter(|before| before.table.epoch != 0), &self);
        Ok(Changed { fleet: self, summary, differences, more, warnings })
    }

    /// Drops ramps of Active stamps that have ended long enough ago for everybody's clock: they mean what no ramp means,
    /// and without them a lookup need not ask for the time. A stamp that took its slots back keeps its ramp while it
    /// shares its key, because the ramp decides who of the two comes first.
    fn forget_ramps(&mut self, now: Millis) {
        let keys: Vec<StampId> = self.table.stamps.iter().map(|stamp| stamp.placement_key.clone()).collect();
        for stamp in &mut self.table.stamps {
            let Some(ramp) = stamp.ramp else { continue };
            let over = ramp.held_at.is_none() && ramp.to == ramp::WHOLE;
            let long_ago = now > ramp.started_at.saturating_add(u64::from(ramp.seconds) * 1_000 + 2 * EDGE);
            let decides =
                ramp::is_coming_back(stamp) && keys.iter().filter(|key| **key == stamp.placement_key).count() > 1;
            if stamp.state == State::Active && over && long_ago && !decides {
                stamp.ramp = None;
            }
        }
    }

    /// Moves tombstones whose time is over to the retired list.
    fn forget_tombstones(&mut self, now: Millis) {
        let over = |stamp: &Stamp| stamp.state == State::Deleted && lifecycle::overdue_stamp(stamp, now).is_some();
        let (gone, kept): (Vec<_>, Vec<_>) = self.table.stamps.drain(..).partition(over);
        self.table.stamps = kept;
        self.table.retired.extend(gone.into_iter().map(|stamp| stamp.id));
        let excess = self.table.retired.len().saturating_sub(RETIRED_MAX);
        self.table.retired.drain(..excess);
    }

    /// Tenants whose strict pin names the stamp.
    #[must_use]
    pub fn strictly_pinned(&self, id: &StampId) -> Vec<TenantId> {
        self.pinned(id, crate::table::PinMode::Strict)
    }
}

/// Free text that goes into the table.
fn check_text(what: &str, text: &str) -> Result<(), Refused> {
    if text.is_empty() || text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(Refused::Invalid(format!("{what} is 1 to {TEXT_BYTES_MAX} bytes without control characters")));
    }
    Ok(())
}

fn join(items: impl Iterator<Item = impl std::fmt::Display>) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

/// The first of many names, and how many more there are.
fn some_of(tenants: &[TenantId]) -> String {
    const SHOWN: usize = 20;
    let names = join(tenants.iter().take(SHOWN));
    let more = tenants.len().saturating_sub(SHOWN);
    if more > 0 { format!("{names} and {more} more") } else { names }
}

#[cfg(test)]
mod tests;
