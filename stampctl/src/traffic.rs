//! What the limits store knows of the last hours: how many requests each stamp served, and of whom.
//!
//! Invariant: it is read only, and a change never waits for it or fails because of it.

use std::collections::BTreeMap;

use synaxis_routing::{
    change::Fleet,
    id::StampId,
    table::{Millis, State},
    traffic::{Hours, KEPT_HOURS, Traffic, hour_of},
};

use crate::{failure::Failure, output, session::Session};

/// The hours that are over, of every stamp that is not deleted.
pub(crate) async fn hours(traffic: &Traffic, fleet: &Fleet, now: Millis) -> Result<BTreeMap<StampId, Hours>, Failure> {
    let last = hour_of(now).saturating_sub(1);
    let asked = last.saturating_sub(KEPT_HOURS - 1)..=last;
    let mut all = BTreeMap::new();
    for stamp in fleet.table.stamps.iter().filter(|stamp| stamp.state != State::Deleted) {
        let hours =
            traffic.hours(&stamp.id, asked.clone()).await.map_err(|error| Failure::failed(error.to_string()))?;
        all.insert(stamp.id.clone(), hours);
    }
    Ok(all)
}

/// The same for a plan, which does without them if it must.
pub(crate) async fn if_known(
    session: &Session,
    fleet: Option<&Fleet>,
    now: Millis,
) -> Option<BTreeMap<StampId, Hours>> {
    let (traffic, fleet) = (session.traffic.as_ref()?, fleet?);
    match hours(traffic, fleet, now).await {
        Ok(hours) => Some(hours),
        Err(failure) => {
            output::note(&format!("warning: {failure}; how many requests move is not known"));
            None
        }
    }
}
