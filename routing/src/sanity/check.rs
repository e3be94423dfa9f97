//! What a table must be by itself, whatever is applied and whatever the policy says. Writers run it before they publish
//! ([`crate::bundle::Bundle::encode`]), readers before they build.

use std::collections::{HashMap, HashSet};

use super::{REGIONS_MAX, Refusal, SHARED_KEY_MAX};
use crate::{
    endpoint::Endpoint,
    id::{Region, StampId, TenantId},
    limits::LIMIT_QUOTAS_MAX,
    ramp,
    table::{ALGORITHM, FORMAT, PinMode, STAMPS_MAX, Stamp, State, TENANTS_MAX, Table, Tenant, Tenants},
};

/// Checks both documents.
///
/// # Errors
/// The first [`Refusal`] found.
pub fn check(table: &Table, tenants: &Tenants) -> Result<(), Refusal> {
    if table.version > FORMAT {
        return Err(Refusal::NeedsNewer { needs: table.version, reads: FORMAT });
    }
    if table.version == 0 {
        return Err(Refusal::Parse { document: "table", message: "version 0 was never a format".to_owned() });
    }
    if table.algorithm != ALGORITHM {
        return Err(Refusal::AlgorithmUnknown(table.algorithm.chars().take(64).collect()));
    }
    if !matches!(table.slots_log2, 16 | 20) {
        return Err(Refusal::SlotsUnknown(table.slots_log2));
    }
    at_most("regions", table.regions.len(), REGIONS_MAX)?;
    at_most("stamps", table.stamps.len(), STAMPS_MAX)?;
    at_most("tenants", tenants.len(), TENANTS_MAX)?;
    let regions = check_regions(table)?;
    let stamps = check_stamps(table, &regions)?;
    check_degradation(table, &stamps)?;
    tenants.iter().try_for_each(|(id, tenant)| check_tenant(*id, tenant, &regions, &stamps))?;
    check_limits(tenants)
}

fn at_most(what: &'static str, count: usize, max: usize) -> Result<(), Refusal> {
    if count > max { Err(Refusal::TooMany { what, count, max }) } else { Ok(()) }
}

fn check_regions(table: &Table) -> Result<HashSet<&Region>, Refusal> {
    let mut regions = HashSet::with_capacity(table.regions.len());
    for region in &table.regions {
        if !regions.insert(region) {
            return Err(Refusal::RegionDuplicate(region.clone()));
        }
    }
    Ok(regions)
}

fn check_stamps<'a>(table: &'a Table, regions: &HashSet<&Region>) -> Result<HashMap<&'a StampId, &'a Stamp>, Refusal> {
    let retired: HashSet<&StampId> = table.retired.iter().collect();
    let mut stamps = HashMap::with_capacity(table.stamps.len());
    let mut keys: HashMap<&StampId, usize> = HashMap::with_capacity(table.stamps.len());
    for stamp in &table.stamps {
        if stamps.insert(&stamp.id, stamp).is_some() {
            return Err(Refusal::StampIdDuplicate(stamp.id.clone()));
        }
        if retired.contains(&stamp.id) {
            return Err(Refusal::StampIdRetired(stamp.id.clone()));
        }
        check_stamp(stamp, regions)?;
        if stamp.state != State::Deleted {
            let count = keys.entry(&stamp.placement_key).or_default();
            *count += 1;
            if *count > SHARED_KEY_MAX {
                return Err(Refusal::PlacementKeyShared { key: stamp.placement_key.clone(), count: *count });
            }
        }
    }
    Ok(stamps)
}

fn check_stamp(stamp: &Stamp, regions: &HashSet<&Region>) -> Result<(), Refusal> {
    if !regions.contains(&stamp.region) {
        return Err(Refusal::RegionUnknown { whose: format!("stamp {}", stamp.id), region: stamp.region.clone() });
    }
    if stamp.weight > 1_000 {
        return Err(Refusal::WeightInvalid { stamp: stamp.id.clone(), weight: stamp.weight });
    }
    if let Some(ramp) = &stamp.ramp
        && (ramp.from > ramp::WHOLE || ramp.to > ramp::WHOLE || ramp.seconds > ramp::SECONDS_MAX)
    {
        return Err(Refusal::RampInvalid(stamp.id.clone()));
    }
    let unborn = stamp.state == State::Creating && stamp.endpoint.is_empty();
    if stamp.state != State::Deleted && !unborn {
        Endpoint::parse(&stamp.endpoint)
            .map_err(|error| Refusal::EndpointForbidden { stamp: stamp.id.clone(), error })?;
    }
    Ok(())
}

fn check_degradation(table: &Table, stamps: &HashMap<&StampId, &Stamp>) -> Result<(), Refusal> {
    let refused = |whose: &str, why| Err(Refusal::DegradationInvalid { whose: whose.to_owned(), why });
    let Some(degradation) = &table.degradation else { return Ok(()) };
    if table.version < table.needs() {
        return refused("the fleet", "readers of the format that the table names would pass over it");
    }
    for (whose, it) in degradation.all() {
        if let Err(why) = it.check() {
            return refused(whose, why);
        }
    }
    let gone = |id: &&StampId| stamps.get(id).is_none_or(|stamp| stamp.state == State::Deleted);
    match degradation.stamps.keys().find(gone) {
        Some(id) => refused(id.as_str(), "the stamp does not exist or is deleted"),
        None => Ok(()),
    }
}

fn check_limits(tenants: &Tenants) -> Result<(), Refusal> {
    let mut quotas = HashSet::new();
    for (id, tenant) in tenants {
        tenant.limits.check().map_err(|why| Refusal::TenantLimits { tenant: Box::new(*id), why })?;
        quotas.extend(tenant.limits.quotas());
        at_most("different quotas of tenants' own", quotas.len(), LIMIT_QUOTAS_MAX)?;
    }
    Ok(())
}

fn check_tenant(
    id: TenantId,
    tenant: &Tenant,
    known: &HashSet<&Region>,
    stamps: &HashMap<&StampId, &Stamp>,
) -> Result<(), Refusal> {
    let allowed = tenant.regions.as_deref();
    let names = allowed.unwrap_or_default().iter().chain(&tenant.home);
    if let Some(region) = names.clone().find(|region| !known.contains(region)) {
        return Err(Refusal::RegionUnknown { whose: format!("tenant {id}"), region: region.clone() });
    }
    if let Some(allowed) = allowed {
        let wrong = |why| Err(Refusal::TenantRegions { tenant: Box::new(id), why });
        if allowed.is_empty() {
            return wrong("the list is empty: no region could serve it");
        }
        // at most 64 are known, and a repeated one is refused here
        if allowed.len() > known.len() || (1..allowed.len()).any(|i| allowed[..i].contains(&allowed[i])) {
            return wrong("a region is listed twice");
        }
        if tenant.home.as_ref().is_some_and(|home| !allowed.contains(home)) {
            return wrong("its home is not among them");
        }
    }
    let Some(pin) = &tenant.pin else { return Ok(()) };
    let Some(stamp) = stamps.get(pin).filter(|stamp| stamp.state != State::Deleted) else {
        return Err(Refusal::PinUnknown { tenant: Box::new(id), stamp: pin.clone() });
    };
    let outside = allowed.is_some_and(|allowed| !allowed.contains(&stamp.region));
    if outside && tenant.pin_mode == Some(PinMode::Strict) {
        return Err(Refusal::PinOutsideRegions { tenant: Box::new(id), stamp: pin.clone() });
    }
    Ok(())
}
