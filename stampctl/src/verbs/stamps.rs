//! Edits of one stamp without a ramp: `standby`, `delete`, `weight`.

use synaxis_routing::{
    change::{Overrides, utc},
    lifecycle::{DRAINED, check},
    ramp,
    table::{Millis, Stamp, State},
};

use crate::{
    args::{self, Below},
    failure::Failure,
    names,
    session::{Session, away},
    verbs::status::{Sums, sums},
};

impl From<Below> for Overrides {
    fn from(said: Below) -> Self {
        Self { below_minimum: said.below_minimum, last: said.last }
    }
}

/// A drained stamp becomes ready: when nothing is left on it, or its deadline passed, or by force. What was left is kept
/// as a warning.
pub(super) async fn standby(session: &Session, said: &args::Standby) -> Result<(), Failure> {
    let id = names::stamp(&said.stamp.id, said.stamp.region.as_ref())?;
    let seen = session.look().await?;
    let acks = session.store.acks().await.map_err(away)?;
    let left = sums(&acks, &id, seen.now);
    let stamp = seen.fleet().and_then(|fleet| fleet.table.stamp(id.as_str()));
    if let Some(stamp) = stamp.filter(|stamp| check(stamp.state, State::Ready).is_ok() && !said.force) {
        still_busy(stamp, &left, seen.now).map_or(Ok(()), |why| Err(Failure::Forbidden(why)))?;
    }
    let cut = left.words();
    session.change_from(seen, |fleet, now| fleet.standby(&id, cut.clone(), now)).await?;
    Ok(())
}

/// Why a draining stamp is not finished yet.
fn still_busy(stamp: &Stamp, left: &Sums, now: Millis) -> Option<String> {
    let deadline = stamp.deadlines.get(DRAINED).copied().unwrap_or(Millis::MAX);
    let share = ramp::share(stamp, now);
    let what = if !share.is_none() {
        format!("still holds {}‰ of its slots", share.per_mille())
    } else if left.is_busy() {
        format!("still has {} connections and {} requests in flight", left.connections, left.in_flight)
    } else {
        return None;
    };
    (deadline > now).then(|| {
        let until = utc(deadline);
        format!("{} {what}; wait (its deadline is {until}) or repeat with --force, which cuts what is open", stamp.id)
    })
}

/// A tombstone.
pub(super) async fn delete(session: &Session, said: &args::Delete) -> Result<(), Failure> {
    let id = names::stamp(&said.stamp.id, said.stamp.region.as_ref())?;
    session.change(|fleet, now| fleet.delete(&id, said.force, now)).await?;
    Ok(())
}

/// Another share of slots.
pub(super) async fn weight(session: &Session, said: &args::Weight) -> Result<(), Failure> {
    let id = names::stamp(&said.stamp.id, said.stamp.region.as_ref())?;
    let guards = session.guards;
    session.change(|fleet, now| fleet.weight(&id, said.weight, &guards, said.below.into(), now)).await?;
    Ok(())
}
