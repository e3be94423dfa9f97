//! Without `[routing]` the table lives in memory and holds this stamp alone, Active.

use synaxis_routing::{
    bundle::Bundle,
    endpoint::{EndpointPolicy, Scheme},
    id::Region,
    sanity::{self, Refusal},
    table::{ALGORITHM, FORMAT, Previous, Scope, Seed, Stamp, State, Table, Tenants},
};

use super::{
    apply,
    status::{Source, Status},
};
use crate::dataplane::DataPlane;

/// Builds and publishes the table of this stamp alone.
///
/// # Errors
/// [`Refusal`]: the table is made here, so this is a fault of ours.
pub fn publish(plane: &DataPlane, status: &Status) -> Result<(), Box<Refusal>> {
    let settings = std::sync::Arc::clone(&plane.snapshot.load().settings);
    let table = table(&settings.stamp.id, &settings.stamp.region);
    let bundle = Bundle::encode(&table, &Tenants::new(), "alone").map_err(Box::new)?;
    // nobody dials this endpoint; it only has to be well-formed
    let policy = EndpointPolicy { schemes: vec![Scheme::Https], ..EndpointPolicy::default() };
    let placement = sanity::admit(&bundle, None, &policy).map_err(Box::new)?;
    apply::table(plane, &bundle, placement);
    status.note(|routing| {
        routing.source = Some(Source::Memory);
        routing.applied_at = Some(std::time::Instant::now());
    });
    Ok(())
}

fn table(id: &synaxis_routing::id::StampId, region: &Region) -> Table {
    let stamp = Stamp {
        id: id.clone(),
        region: region.clone(),
        placement_key: id.clone(),
        state: State::Active,
        since: 0,
        weight: 100,
        dedicated: false,
        endpoint: format!("https://{id}.stamp.internal:8443"),
        ramp: None,
        deadlines: std::collections::BTreeMap::default(),
        warnings: Vec::new(),
        labels: std::collections::BTreeMap::default(),
        ext: serde_json::Map::new(),
    };
    Table {
        version: FORMAT,
        term: 1,
        epoch: 1,
        algorithm: ALGORITHM.into(),
        seed: Seed(0),
        slots_log2: 16,
        scope: Scope::Region,
        previous: Previous::default(),
        forced: None,
        regions: vec![region.clone()],
        stamps: vec![stamp],
        retired: Vec::new(),
        degradation: None,
        tenants_hash: String::new(),
        ext: serde_json::Map::new(),
    }
}
