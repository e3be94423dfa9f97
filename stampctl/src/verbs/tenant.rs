//! Tenants: `tenant pin`, `tenant unpin`, `tenant set`, `tenant list`; the others are in `busy`.

use serde::Serialize;
use synaxis_routing::{
    change::Terms,
    id::TenantId,
    limits::Quota,
    table::{PinMode, Tenant},
};

use super::busy;
use crate::{
    args::{self, Pin, Set},
    failure::Failure,
    names,
    output::columns,
    plan::Intent,
    session::Session,
};

pub(super) async fn run(session: &Session, said: args::Tenant) -> Result<(), Failure> {
    match said {
        args::Tenant::Pin(said) => pin(session, &said).await,
        args::Tenant::Unpin(said) => session.change(|fleet, now| fleet.unpin(&said.tenants, now)).await.map(|_| ()),
        args::Tenant::Set(said) => set(session, &said).await,
        args::Tenant::Assign(said) => busy::assign(session, &said).await,
        args::Tenant::Hot(_) if !matches!(session.intent, Intent::Publish) => {
            Err(Failure::Usage("`tenant hot` changes nothing, so there is nothing to plan".to_owned()))
        }
        args::Tenant::Hot(said) => busy::hot(session, &said).await,
        args::Tenant::List(_) if !matches!(session.intent, Intent::Publish) => {
            Err(Failure::Usage("`tenant list` changes nothing, so there is nothing to plan".to_owned()))
        }
        args::Tenant::List(said) => list(session, &said).await,
    }
}

async fn pin(session: &Session, said: &Pin) -> Result<(), Failure> {
    let id = names::stamp(&said.stamp.id, said.stamp.region.as_ref())?;
    // --strict says what holds anyway
    let mode = if said.preferred && !said.strict { PinMode::Preferred } else { PinMode::Strict };
    session.change(|fleet, now| fleet.pin(said.tenant, &id, mode, now)).await?;
    Ok(())
}

async fn set(session: &Session, said: &Set) -> Result<(), Failure> {
    let mut limits: Vec<(&str, Option<Quota>)> = Vec::new();
    let given = said.limits.iter().map(|(limit, quota)| (limit.as_str(), Some(*quota)));
    for (limit, quota) in given.chain(said.no_limits.iter().map(|limit| (limit.as_str(), None))) {
        if limits.iter().any(|(above, _)| *above == limit) {
            return Err(Failure::Usage(format!(
                "the limit {limit} is named twice: one --limit or one --no-limit for each"
            )));
        }
        limits.push((limit, quota));
    }
    let tier = (said.tier.is_some() || said.no_tier).then_some(said.tier.as_deref());
    let terms = Terms { tier, limits };
    session.change(|fleet, now| fleet.set_terms(&said.tenants, &terms, now)).await?;
    Ok(())
}

#[derive(Serialize)]
struct Listed {
    version: String,
    tenants: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    id: TenantId,
    #[serde(flatten)]
    entry: Tenant,
}

async fn list(session: &Session, said: &args::TenantList) -> Result<(), Failure> {
    let stamp = said.stamp.as_ref().map(|text| names::stamp(text, None)).transpose()?;
    let (readable, _) = session.table().await?;
    let fleet = readable.fleet;
    if let Some(id) = stamp.as_ref().filter(|id| fleet.table.stamp(id.as_str()).is_none()) {
        return Err(synaxis_routing::change::Refused::UnknownStamp(id.clone()).into());
    }
    let version = fleet.version().to_string();
    let named = |entry: &Tenant| stamp.is_none() || entry.pin == stamp;
    let tenants = fleet.tenants.into_iter().filter(|(_, entry)| named(entry)).map(|(id, entry)| Row { id, entry });
    session.format().print(&Listed { version, tenants: tenants.collect() }, words)
}

fn words(listed: &Listed) -> String {
    let row = |row: &Row| {
        let mode = match row.entry.mode() {
            Some(PinMode::Strict) => " (strict)",
            Some(PinMode::Preferred) => " (preferred)",
            None => "",
        };
        let regions = row.entry.regions.iter().flatten().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let limits: Vec<String> = row.entry.limits.quotas().map(|(limit, quota)| format!("{limit}={quota}")).collect();
        vec![
            row.id.to_string(),
            row.entry.pin.as_ref().map(|pin| format!("{pin}{mode}")).unwrap_or_default(),
            row.entry.home.as_ref().map(ToString::to_string).unwrap_or_default(),
            regions,
            row.entry.tier.clone().unwrap_or_default(),
            limits.join(" "),
        ]
    };
    let rows: Vec<Vec<String>> = listed.tenants.iter().map(row).collect();
    let mut text = columns(&["TENANT", "PIN", "HOME", "REGIONS", "TIER", "LIMITS"], &rows);
    text.push_str(&format!("{} listed tenants at {}; all others follow the hash\n", rows.len(), listed.version));
    text
}
