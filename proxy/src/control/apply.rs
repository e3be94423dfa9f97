//! The one door: settings and table become a snapshot, published with one store.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use synaxis_config::settings::{Settings, Upstream};
use synaxis_routing::{
    bundle::Bundle,
    placement::{Placement, RegionIndex, StampIndex},
    table::State,
};

use crate::{
    dataplane::{DataPlane, Fleet, Snapshot},
    upstream::target::{Target, Targets},
};

/// The first snapshot: settings only, no table yet.
#[must_use]
pub fn first(settings: Arc<Settings>, targets: &Targets) -> Snapshot {
    let apps = apps(&settings, targets);
    finish(settings, apps, None)
}

/// Publishes settings that [`synaxis_config::difference::reload`] made of those that run. Targets of what did not change
/// stay, and with them their connections; so does the table.
pub fn settings(plane: &DataPlane, settings: Arc<Settings>) {
    let apps = apps(&settings, &plane.targets);
    let next = finish(settings, apps, plane.snapshot.load().fleet.clone());
    publish(plane, next);
}

fn apps(settings: &Settings, targets: &Targets) -> Vec<Vec<Arc<Target>>> {
    let of =
        |upstream: &Upstream| upstream.endpoints.iter().map(|endpoint| targets.app(&upstream.name, endpoint)).collect();
    settings.upstreams.iter().map(of).collect()
}

/// Publishes a table that [`synaxis_routing::sanity::admit`] let through.
pub fn table(plane: &DataPlane, bundle: &Bundle, placement: Placement) {
    let current = plane.snapshot.load();
    let settings = Arc::clone(&current.settings);
    let fleet = Arc::new(seen_from_here(&settings, bundle.to_bytes(), placement, &plane.targets));
    let metrics = &plane.metrics;
    let version = fleet.placement.version();
    metrics.routing_epoch.set(version.epoch as f64);
    metrics.routing_term.set(version.term as f64);
    let states = [State::Active, State::Ready, State::Creating, State::Draining, State::Failed];
    for (gauge, state) in metrics.stamps.iter().zip(states) {
        gauge.set(fleet.placement.table().stamps.iter().filter(|stamp| stamp.state == state).count() as f64);
    }
    let next = finish(settings, current.apps.clone(), Some(fleet));
    publish(plane, next);
}

fn publish(plane: &DataPlane, next: Snapshot) {
    plane.snapshot.store(Arc::new(next));
    // those of former snapshots whose last connection has ended since
    plane.targets.sweep();
}

fn finish(settings: Arc<Settings>, apps: Vec<Vec<Arc<Target>>>, fleet: Option<Arc<Fleet>>) -> Snapshot {
    let peers = fleet.iter().flat_map(|fleet| fleet.peers.iter().flatten());
    let mut live_pools = Vec::new();
    for target in apps.iter().flatten().chain(peers) {
        if live_pools.len() <= target.pool {
            live_pools.resize(target.pool + 1, false);
        }
        live_pools[target.pool] = true;
    }
    Snapshot { settings, apps, fleet, live_pools }
}

fn seen_from_here(settings: &Settings, envelope: Bytes, placement: Placement, targets: &Targets) -> Fleet {
    let table = placement.table();
    let indices = (0..table.stamps.len()).filter_map(|index| u16::try_from(index).ok()).map(StampIndex);
    let peers = indices
        .map(|index| {
            let stamp = placement.stamp(index);
            placement.endpoint(index).map(|endpoint| targets.peer(&stamp.id, endpoint))
        })
        .collect();
    let version = HeaderValue::from_str(&placement.version().to_string()).unwrap_or(HeaderValue::from_static("0.0"));
    Fleet {
        me: placement.find(settings.stamp.id.as_str()),
        entry: placement.region(&settings.stamp.region).unwrap_or(RegionIndex(0)),
        peers,
        envelope,
        version,
        placement,
    }
}
