//! What a table consists of: `init`, `register`, `rollback`.

use synaxis_routing::{
    change::{self, Fleet, Overrides},
    id::Region,
    store::Mode,
    table::{Scope, Seed},
};

use crate::{
    args::{self, Fresh},
    failure::Failure,
    names, output,
    session::{self, Session, away},
};

/// An empty table in an empty store.
pub(super) async fn init(session: &Session, said: &args::Init) -> Result<(), Failure> {
    if said.fresh.regions.is_empty() {
        return Err(Failure::Usage("say which regions the fleet has, in order: --regions weu,eus,sea".to_owned()));
    }
    let blank = blank(&said.fresh, said.fresh.regions.clone())?;
    let seen = session.look().await?;
    if seen.head.is_some() {
        let version = seen.fleet().map_or_else(|| "that cannot be read".to_owned(), |f| f.version().to_string());
        return Err(Failure::failed(format!("the store holds a table already, {version}; nothing was created")));
    }
    session.publish(seen, Mode::Init, |seen| Ok(blank.init(seen.now)?)).await?;
    Ok(())
}

/// A stamp's entry alone; with `--init` also the table.
pub(super) async fn register(session: &Session, said: args::Register) -> Result<(), Failure> {
    let id = names::stamp(&said.stamp.id, said.stamp.region.as_ref())?;
    let new = change::Register {
        endpoint: said.endpoint,
        weight: said.weight,
        dedicated: said.dedicated,
        labels: said.labels.into_iter().collect(),
        id,
    };
    let add = |fleet: &Fleet, now| {
        if said.new_region { fleet.register_in_new_region(new.clone(), now) } else { fleet.register(new.clone(), now) }
    };
    let seen = session.look().await?;
    if !said.init {
        session.change_from(seen, add).await?;
        return Ok(());
    }
    if seen.head.is_some() {
        output::note("the store holds a table already: --init has nothing to create");
        session.change_from(seen, add).await?;
        return Ok(());
    }
    let mut regions = said.fresh.regions.clone();
    if regions.is_empty() {
        regions.push(names::region(new.id.region()).map_err(Failure::Usage)?);
    }
    let blank = blank(&said.fresh, regions)?;
    session.publish(seen, Mode::Init, |seen| Ok(blank.register(new.clone(), seen.now)?)).await?;
    Ok(())
}

/// Old content as a new epoch.
pub(super) async fn rollback(session: &Session, said: &args::Rollback) -> Result<(), Failure> {
    let gone = || {
        Failure::NotFound(format!(
            "the store does not keep epoch {}: it keeps the last 32, `stampctl history` shows them",
            said.epoch
        ))
    };
    let old = session.store.at_epoch(said.epoch).await.map_err(away)?.ok_or_else(gone)?.decode()?;
    let old = Fleet { table: old.table, tenants: old.tenants };
    let overrides = Overrides { below_minimum: true, last: said.last };
    session.change(|fleet, now| fleet.rollback(&old, overrides, now)).await?;
    Ok(())
}

fn blank(fresh: &Fresh, regions: Vec<Region>) -> Result<Fleet, Failure> {
    let scope = match fresh.scope {
        args::Scope::Region => Scope::Region,
        args::Scope::Fleet => Scope::Fleet,
    };
    let seed = Seed(session::random()?);
    Fleet::blank(regions, scope, seed, fresh.slots_log2).map_err(|refused| Failure::Usage(refused.to_string()))
}
