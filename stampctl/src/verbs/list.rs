//! All stamps: `list`.

use serde::Serialize;
use synaxis_routing::{
    degradation::Override,
    id::{Region, StampId},
    lifecycle::{self, Overdue},
    ramp,
    table::{Millis, State},
};

use crate::{
    args, duration,
    failure::Failure,
    output::{self, columns},
    session::{Session, away},
    verbs::status::{Sums, sums},
};

#[derive(Debug, Serialize)]
struct List {
    /// `TERM.EPOCH` of the table.
    version: String,
    /// The level set by hand for the whole fleet that holds now; `null` ordinarily.
    degraded: Option<Override>,
    stamps: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    id: StampId,
    region: Region,
    state: State,
    /// Milliseconds since the Unix epoch.
    since: Millis,
    age_ms: Millis,
    weight: u16,
    dedicated: bool,
    /// Share of its slots that it holds now, per mille.
    share: u16,
    endpoint: String,
    overdue: Option<Overdue>,
    /// The level set by hand that holds for it now, for itself or for the fleet.
    degraded: Option<Override>,
    warnings: Vec<String>,
    live: Sums,
}

pub(super) async fn list(session: &Session, said: &args::List) -> Result<(), Failure> {
    let (readable, now) = session.table().await?;
    let table = readable.fleet.table;
    if let Some(region) = said.region.as_ref().filter(|region| !table.regions.contains(region)) {
        let known = table.regions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        return Err(Failure::NotFound(format!("there is no region {region} in the table; it has {known}")));
    }
    let acks = session.store.acks().await.map_err(away)?;
    let version = table.version().to_string();
    let degradation = table.degradation.unwrap_or_default();
    let stamps = table
        .stamps
        .into_iter()
        .filter(|stamp| said.state.is_none_or(|state| stamp.state == state))
        .filter(|stamp| said.region.as_ref().is_none_or(|region| stamp.region == *region))
        .map(|stamp| Row {
            share: ramp::share(&stamp, now).per_mille(),
            overdue: lifecycle::overdue_stamp(&stamp, now),
            degraded: degradation.of(&stamp.id, now).cloned(),
            live: sums(&acks, &stamp.id, now),
            age_ms: now.saturating_sub(stamp.since),
            id: stamp.id,
            region: stamp.region,
            state: stamp.state,
            since: stamp.since,
            weight: stamp.weight,
            dedicated: stamp.dedicated,
            endpoint: stamp.endpoint,
            warnings: stamp.warnings,
        })
        .collect();
    session.format().print(&List { version, degraded: degradation.of_fleet(now).cloned(), stamps }, words)
}

fn words(list: &List) -> String {
    let titles =
        ["ID", "STATE", "FOR", "WEIGHT", "SHARE", "PROXIES", "CONNECTIONS", "IN FLIGHT", "REQ/S", "ENDPOINT", "NOTE"];
    let row = |row: &Row| {
        let overdue = row.overdue.as_ref().map(|overdue| format!("OVERDUE: {overdue}"));
        let degraded = row.degraded.as_ref().filter(|it| Some(*it) != list.degraded.as_ref());
        let degraded = degraded.map(|it| format!("DEGRADED: {it}"));
        let note: Vec<String> = overdue.into_iter().chain(degraded).chain(row.warnings.iter().cloned()).collect();
        vec![
            row.id.to_string(),
            row.state.to_string(),
            duration::words(row.age_ms),
            format!("{}{}", row.weight, if row.dedicated { " dedicated" } else { "" }),
            format!("{}.{} %", row.share / 10, row.share % 10),
            row.live.proxies.to_string(),
            row.live.connections.to_string(),
            row.live.in_flight.to_string(),
            format!("{:.1}", row.live.requests_per_second),
            row.endpoint.clone(),
            note.join("; "),
        ]
    };
    let mut text = columns(&titles, &list.stamps.iter().map(row).collect::<Vec<_>>());
    text.push_str(&format!("{} stamps at {}\n", list.stamps.len(), list.version));
    if let Some(it) = &list.degraded {
        text.push_str(&output::clean(&format!("DEGRADED: the whole fleet, {it}\n")));
    }
    text
}
