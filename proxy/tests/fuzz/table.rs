//! A routing table from somebody who may write the store: the hashes and the digest are right, the content is anything.
//!
//! An input is a stamps document, a tenants document and, if there is a third line, a head; or one envelope.

use std::collections::BTreeSet;

use bytes::Bytes;
use synaxis_routing::{
    bundle::{Bundle, Head, sha256_hex},
    degradation::{Degradation, LASTS_MAX},
    digest::Digest,
    endpoint::{EndpointPolicy, Scheme},
    id::TenantId,
    placement::{Acceptance, HAND_MAX, Placement, RegionIndex},
    sanity::{Current, Refusal, admit, takers_min},
    table::{FORMAT, State, Table, Tenants},
    version::Version,
};

/// The instant at which the table is asked.
const NOW: u64 = 1_768_000_000_000;

/// Offers the bytes as an envelope and as documents.
pub fn body(bytes: &[u8]) {
    let current = Current { version: Version::new(1, 1), digest: Digest(1), had_taker: true };
    if let Ok(bundle) = Bundle::from_bytes(bytes) {
        assert_eq!(bundle.to_bytes(), bytes, "an envelope has one spelling");
        offer(&bundle, &current);
    }
    let mut lines = bytes.split(|byte| *byte == b'\n').map(Bytes::copy_from_slice);
    let (table, tenants) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let head = lines.next().unwrap_or_default();
    refused_in_words(Head::parse(&head).err());
    let raw = Bundle { head, table: table.clone(), tenants: tenants.clone() };
    offer(&raw, &current);
    if let Some(forged) = forge(&table, tenants) {
        assert_eq!(Bundle::from_bytes(&forged.to_bytes()).as_ref(), Ok(&forged));
        offer(&forged, &current);
    }
}

/// The documents under a head that says whatever makes them believed.
fn forge(table: &[u8], tenants: Bytes) -> Option<Bundle> {
    let mut table: Table = serde_json::from_slice(table).ok()?;
    table.tenants_hash = sha256_hex(&tenants);
    let parsed: Option<Tenants> = serde_json::from_slice(&tenants).ok();
    let built = parsed.and_then(|tenants| Placement::build(table.clone(), tenants).ok());
    let table_bytes = serde_json::to_vec(&table).ok()?;
    let head = Head {
        needs: FORMAT,
        term: table.term,
        epoch: table.epoch,
        table_hash: sha256_hex(&table_bytes),
        tenants_hash: table.tenants_hash,
        digest: built.map_or_else(String::new, |placement| placement.digest().to_string()),
        write_id: "forged".to_owned(),
        ext: serde_json::Map::new(),
    };
    Some(Bundle { head: serde_json::to_vec(&head).ok()?.into(), table: table_bytes.into(), tenants })
}

fn offer(bundle: &Bundle, current: &Current) {
    match admit(bundle, Some(current), &EndpointPolicy::default()) {
        Ok(placement) => keeps_its_promises(&placement, current),
        Err(refusal) => refused_in_words(Some(refusal)),
    }
}

fn refused_in_words(refusal: Option<Refusal>) {
    let Some(refusal) = refusal else { return };
    let said = refusal.to_string();
    assert!(!refusal.reason().is_empty() && said.len() < 2_000 && !said.contains(['\r', '\n']), "{said:?}");
}

/// What [`admit`] says of a table that it lets through, asked again without its code.
fn keeps_its_promises(placement: &Placement, current: &Current) {
    let (table, tenants) = (placement.table(), placement.tenants());
    assert!(placement.version() > current.version, "older than what is applied");
    let living = || table.stamps.iter().filter(|stamp| stamp.state != State::Deleted);
    let ids: BTreeSet<&str> = table.stamps.iter().map(|stamp| stamp.id.as_str()).collect();
    assert_eq!(ids.len(), table.stamps.len(), "an id twice");
    assert!(table.retired.iter().all(|id| !ids.contains(id.as_str())), "a retired id");
    assert!(table.stamps.iter().all(|stamp| stamp.weight <= 1_000 && table.regions.contains(&stamp.region)));
    let takers = u32::try_from(table.takers().count()).unwrap();
    assert!(takers > 0 || table.term > current.version.term, "nobody is left");
    assert!(takers >= takers_min(table.previous.takers) || table.forced.is_some(), "too many went at once");
    for (index, stamp) in (0..).zip(&table.stamps) {
        let unborn = stamp.state == State::Creating && stamp.endpoint.is_empty();
        if stamp.state == State::Deleted || unborn {
            continue;
        }
        let endpoint = placement.endpoint(synaxis_routing::placement::StampIndex(index)).unwrap();
        assert_eq!((endpoint.scheme, endpoint.port), (Scheme::Https, 8443), "{}", stamp.endpoint);
        assert!(endpoint.host.ends_with(".stamp.internal"), "{}", stamp.endpoint);
    }
    for (whose, it) in table.degradation.iter().flat_map(Degradation::all) {
        assert!(table.version >= 2, "readers of format 1 would pass over it");
        assert!(it.since < it.until && it.until - it.since <= LASTS_MAX && it.reason.len() <= 200, "{whose}: {it}");
        assert!(whose == "fleet" || living().any(|stamp| stamp.id.as_str() == whose), "{whose} is not here");
    }
    for tenant in tenants.values() {
        let pin = tenant.pin.as_ref();
        assert!(pin.is_none_or(|pin| living().any(|stamp| stamp.id == *pin)), "pinned to nobody");
        assert!(tenant.regions.as_ref().is_none_or(|regions| !regions.is_empty()));
        assert!(tenant.limits.len() <= 16 && tenant.limits.quotas().count() == tenant.limits.len(), "a quota is none");
    }
    let others = ["acme", "globex", "initech"].map(|name| TenantId::parse(name.as_bytes()).unwrap());
    for tenant in tenants.keys().take(8).chain(&others) {
        deals_fairly(placement, tenant);
    }
}

fn deals_fairly(placement: &Placement, tenant: &TenantId) {
    let regions = u8::try_from(placement.table().regions.len()).unwrap();
    for entry in (0..regions).map(RegionIndex) {
        let Ok(hand) = placement.hand(tenant, entry, NOW) else { continue };
        assert!((1..=HAND_MAX).contains(&hand.len()));
        assert_eq!(hand.first().map(|first| first.stamp), placement.owner(tenant, entry, NOW));
        for candidate in hand.iter() {
            let stamp = placement.stamp(candidate.stamp);
            assert!(matches!(stamp.state, State::Active | State::Draining), "{} is a candidate", stamp.id);
            let verdict = placement.accepts(tenant, entry, candidate.stamp, NOW);
            let turned_away = matches!(verdict, Acceptance::NotCandidate | Acceptance::Excluded(_));
            assert!(!turned_away, "{} would be turned away", stamp.id);
        }
    }
}
