//! A level of degradation set by hand, for the fleet or a stamp: `degrade`.

use synaxis_routing::{change::Whom, table::Millis};

use crate::{args, failure::Failure, names, session::Session};

pub(super) async fn degrade(session: &Session, said: &args::Degrade) -> Result<(), Failure> {
    let whom = match &said.stamp {
        Some(text) => Whom::Stamp(names::stamp(text, said.region.as_ref())?),
        None => Whom::Fleet,
    };
    let lasts = Millis::try_from(said.lasts.as_millis()).unwrap_or(Millis::MAX);
    let change = session.change(|fleet, now| match said.level {
        Some(level) => fleet.degrade(&whom, level, lasts, &said.reason, now),
        None => fleet.clear_degradation(&whom, now),
    });
    change.await?;
    Ok(())
}
