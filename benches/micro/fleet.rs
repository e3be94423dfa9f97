//! Tables and tenants to measure with.

use std::collections::BTreeMap;

use serde_json::Map;
use synaxis_routing::{
    id::{Region, StampId, TenantId},
    table::{ALGORITHM, FORMAT, Millis, PinMode, Previous, Ramp, Scope, Seed, Stamp, State, Table, Tenant, Tenants},
};

/// The instant at which everything happens.
pub(crate) const NOW: Millis = 1_768_000_000_000;

/// `stamps` Active stamps in one region; their weights are `weights` in turn.
pub(crate) fn table(stamps: u32, weights: &[u16]) -> Table {
    let region = Region::parse("weu").unwrap();
    Table {
        version: FORMAT,
        term: 1,
        epoch: 1,
        algorithm: ALGORITHM.to_owned(),
        seed: Seed(0x5eed_5eed_5eed_5eed),
        slots_log2: if stamps > 100 { 20 } else { 16 },
        scope: Scope::Region,
        previous: Previous::default(),
        forced: None,
        regions: vec![region.clone()],
        stamps: (1..=stamps)
            .zip(weights.iter().cycle())
            .map(|(number, weight)| stamp(&region, number, *weight))
            .collect(),
        retired: Vec::new(),
        degradation: None,
        tenants_hash: String::new(),
        ext: Map::new(),
    }
}

fn stamp(region: &Region, number: u32, weight: u16) -> Stamp {
    let id = StampId::parse(&format!("synaxis-weu-{number:04}")).unwrap();
    Stamp {
        region: region.clone(),
        placement_key: id.clone(),
        state: State::Active,
        since: NOW,
        weight,
        dedicated: false,
        endpoint: format!("https://weu-{number:04}.stamp.internal:8443"),
        ramp: None,
        deadlines: BTreeMap::new(),
        warnings: Vec::new(),
        labels: BTreeMap::new(),
        ext: Map::new(),
        id,
    }
}

/// The first stamp half-way out.
pub(crate) fn draining(mut table: Table) -> Table {
    if let Some(stamp) = table.stamps.first_mut() {
        stamp.state = State::Draining;
        stamp.ramp = Some(Ramp { from: 1_000, to: 0, started_at: NOW - 150_000, seconds: 300, held_at: None });
    }
    table
}

/// So many tenants pinned to stamps of the table in turn.
pub(crate) fn pinned(table: &Table, count: usize) -> Tenants {
    let pin =
        |stamp: &Stamp| Tenant { pin: Some(stamp.id.clone()), pin_mode: Some(PinMode::Preferred), ..Tenant::default() };
    (0..count).zip(table.stamps.iter().cycle()).map(|(number, stamp)| (tenant("pinned", number), pin(stamp))).collect()
}

/// A tenant id as customers have them: a word and a number.
pub(crate) fn tenant(word: &str, number: usize) -> TenantId {
    TenantId::parse(format!("{word}-{number:06}").as_bytes()).unwrap()
}
