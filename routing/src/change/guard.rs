//! What must remain when capacity leaves: enough Active stamps in the fleet and in the region.
//!
//! Invariant: the last Active stamp never goes without `--last`, whatever else is set; and every refusal names the flag
//! that overrides it, so that the operator of a fleet of two is never stuck.

use serde::{Deserialize, Serialize};

use super::Fleet;
use crate::{
    id::{Region, StampId},
    table::{Stamp, State},
};

/// How many Active stamps must remain. Dedicated stamps and those of weight 0 serve nobody else and do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Guards {
    /// In the fleet.
    pub active_min: usize,
    /// In the region that the stamp leaves.
    pub active_min_per_region: usize,
}

impl Default for Guards {
    fn default() -> Self {
        Self { active_min: 2, active_min_per_region: 1 }
    }
}

/// What the operator said by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Fewer than the minimum may remain, but not none.
    pub below_minimum: bool,
    /// None may remain; includes `below_minimum`.
    pub last: bool,
}

/// Too little would remain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("without {stamp} {}; activate another stamp first, or repeat with {flag}", .reasons.join(" and "))]
pub struct Guarded {
    /// The stamp that was to leave.
    pub stamp: StampId,
    /// Every guard that failed, in words.
    pub reasons: Vec<String>,
    /// The flag that overrides them.
    pub flag: &'static str,
}

/// Whether the stamp serves tenants that are pinned nowhere.
fn counts(stamp: &Stamp) -> bool {
    stamp.state == State::Active && stamp.takes_slots()
}

impl Guards {
    /// Whether `id` may stop being Active capacity between the two fleets; the reasons that were overridden.
    ///
    /// # Errors
    /// [`Guarded`], unless an override covers it.
    pub(super) fn check(
        &self,
        before: &Fleet,
        after: &Fleet,
        id: &StampId,
        overrides: Overrides,
    ) -> Result<Vec<String>, Guarded> {
        let counted = |fleet: &Fleet| fleet.table.stamp(id.as_str()).is_some_and(counts);
        if !counted(before) || counted(after) {
            return Ok(vec![]);
        }
        let refuse = |reasons, flag| Err(Guarded { stamp: id.clone(), reasons, flag });
        let left = active(after, None);
        if left == 0 && !overrides.last {
            return refuse(vec!["no active stamp would remain in the whole fleet".to_owned()], "--last");
        }
        let mut reasons = Vec::new();
        if left < self.active_min {
            reasons.push(format!("{left} active would remain in the fleet (minimum {})", self.active_min));
        }
        if let Some(region) = after.table.stamp(id.as_str()).map(|stamp| &stamp.region) {
            let left = active(after, Some(region));
            if left < self.active_min_per_region {
                let minimum = self.active_min_per_region;
                reasons.push(format!("{left} active would remain in {region} (minimum {minimum}){}", stranded(after)));
            }
        }
        if reasons.is_empty() || overrides.below_minimum || overrides.last {
            return Ok(reasons);
        }
        refuse(reasons, "--below-minimum")
    }
}

/// How many Active stamps count, in one region or everywhere.
fn active(fleet: &Fleet, region: Option<&Region>) -> usize {
    let here = |stamp: &&Stamp| counts(stamp) && region.is_none_or(|region| stamp.region == *region);
    fleet.table.stamps.iter().filter(here).count()
}

/// Says how many listed tenants would have no Active stamp in any region that may serve them.
fn stranded(fleet: &Fleet) -> String {
    let live = |region: &Region| active(fleet, Some(region)) > 0;
    let serving: Vec<&Region> = fleet.table.regions.iter().filter(|region| live(region)).collect();
    let bound = fleet.tenants.values().filter(|tenant| {
        tenant.regions.as_ref().is_some_and(|allowed| !allowed.iter().any(|region| serving.contains(&region)))
    });
    match bound.count() {
        0 => String::new(),
        n => format!(", and {n} listed tenants may be served in no other region"),
    }
}
