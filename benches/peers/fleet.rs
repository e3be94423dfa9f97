//! Routing tables for the measurements that need more than one stamp, published to a folder.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context as _;
use synaxis_routing::{
    bundle::Bundle,
    change::{Fleet, Register},
    id::{Region, StampId, TenantId},
    placement::{Placement, RegionIndex},
    store::{LogEntry, Mode, Store},
    table::{Scope, Seed},
};

/// Tenants of one stamp that the load consists of.
const OWNED: usize = 1_000;
/// The same fleet in every run: its tables, and with them the costs, can be compared.
const SEED: Seed = Seed(0x5eed_5eed_5eed_5eed);
/// Fleets of more stamps have more slots.
const STAMPS_FEW: u32 = 100;
/// Before every start, so that nothing moves any more.
const NOW: u64 = 1;

/// A table of two stamps of which only the first serves; requests are to enter at the second.
pub(crate) fn publish_pair(store: &Path, peers: [u16; 2]) -> anyhow::Result<[StampId; 2]> {
    let stamps = [stamp(1)?, stamp(2)?];
    let mut fleet = blank(2)?;
    for (stamp, port) in stamps.iter().zip(peers) {
        fleet = fleet.register(at(stamp, port), NOW)?.fleet;
    }
    // the other one stays as it was registered, so that it owns no slot
    fleet = fleet.activate(&stamps[0], 0, NOW)?.fleet;
    publish(store, &fleet)?;
    Ok(stamps)
}

/// A table of so many equal stamps, all Active. Returns the first one, whose peer listener has the port, and some of its
/// tenants.
pub(crate) fn publish_many(store: &Path, peer: u16, stamps: u32) -> anyhow::Result<(StampId, Vec<String>)> {
    let me = stamp(1)?;
    let mut fleet = blank(stamps)?;
    for number in 1..=stamps {
        // nobody dials the others: the load consists of tenants of the first
        let port = if number == 1 { peer } else { 1 };
        fleet = fleet.register(at(&stamp(number)?, port), NOW)?.fleet;
        fleet = fleet.activate(&stamp(number)?, 0, NOW)?.fleet;
    }
    publish(store, &fleet)?;
    let tenants = owned(fleet, &me)?;
    Ok((me, tenants))
}

fn blank(stamps: u32) -> anyhow::Result<Fleet> {
    let slots_log2 = if stamps > STAMPS_FEW { 20 } else { 16 };
    Ok(Fleet::blank(vec![Region::parse("weu")?], Scope::Region, SEED, slots_log2)?)
}

fn stamp(number: u32) -> anyhow::Result<StampId> {
    Ok(StampId::parse(&format!("synaxis-weu-{number:04}"))?)
}

fn at(stamp: &StampId, port: u16) -> Register {
    let endpoint = format!("http://127.0.0.1:{port}");
    Register { id: stamp.clone(), endpoint, weight: 100, dedicated: false, labels: BTreeMap::new() }
}

fn publish(store: &Path, fleet: &Fleet) -> anyhow::Result<()> {
    let bundle = Bundle::encode(&fleet.table, &fleet.tenants, "peers")?;
    let (who, what, why) = ("peers".into(), "a table to measure with".into(), String::new());
    let entry = LogEntry { at: NOW, who, what, why, version: fleet.version() };
    let store = Store::open(&format!("file:{}", store.display()), "synaxis")?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(store.publish(None, &bundle, &entry, Mode::Init))?;
    Ok(())
}

/// The first tenants by number that a stamp owns.
fn owned(fleet: Fleet, stamp: &StampId) -> anyhow::Result<Vec<String>> {
    let stamps = fleet.table.stamps.len();
    let placement = Placement::build(fleet.table, fleet.tenants)?;
    let me = placement.find(stamp.as_str()).context("the stamp is not in the table")?;
    let mut tenants = Vec::with_capacity(OWNED);
    // each stamp owns its share of them; many times as many are enough to find them all
    for number in 0..10 * OWNED * stamps {
        let name = format!("tenant-{number:07}");
        if placement.owner(&TenantId::parse(name.as_bytes())?, RegionIndex(0), NOW) == Some(me) {
            tenants.push(name);
        }
        if tenants.len() == OWNED {
            return Ok(tenants);
        }
    }
    anyhow::bail!("{stamp} owns too few tenants")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(store: &Path) -> Placement {
        let store = Store::open(&format!("file:{}", store.display()), "synaxis").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let bytes = store.glance().await.unwrap().head.unwrap();
            let head = synaxis_routing::bundle::Head::parse(&bytes).unwrap();
            let decoded = store.fetch(&head, &bytes, None).await.unwrap().decode().unwrap();
            Placement::build(decoded.table, decoded.tenants).unwrap()
        })
    }

    #[test]
    fn the_entry_of_a_pair_owns_no_tenant() {
        let folder = tempfile::tempdir().unwrap();
        let stamps = publish_pair(folder.path(), [4_001, 4_002]).unwrap();
        let placement = published(folder.path());
        for number in 0..1_000 {
            let tenant = TenantId::parse(format!("tenant-{number}").as_bytes()).unwrap();
            let owner = placement.owner(&tenant, RegionIndex(0), NOW).unwrap();
            assert_eq!(placement.stamp(owner).id, stamps[0]);
        }
    }

    #[test]
    fn the_tenants_of_one_stamp_are_its_own_among_many() {
        let folder = tempfile::tempdir().unwrap();
        let (stamp, tenants) = publish_many(folder.path(), 4_001, 10).unwrap();
        let placement = published(folder.path());
        assert_eq!(placement.table().stamps.len(), 10);
        assert_eq!(tenants.len(), OWNED);
        for tenant in &tenants {
            let owner = placement.owner(&TenantId::parse(tenant.as_bytes()).unwrap(), RegionIndex(0), NOW).unwrap();
            assert_eq!(placement.stamp(owner).id, stamp);
        }
    }
}
