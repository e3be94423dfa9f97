//! The one door: settings and table become a snapshot, published with one store.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use http::HeaderValue;
use synaxis_config::settings::{Settings, Upstream};
use synaxis_routing::{
    bundle::Bundle,
    id::StampId,
    placement::{Placement, RegionIndex, StampIndex},
    table::{Millis, State},
};

use crate::{
    cache::{class::Class, purge::ownership::Seen},
    dataplane::{
        App, DataPlane, Fleet, Peer, Snapshot,
        limits::{Buckets, Limits},
    },
    telemetry::{
        metrics::Metrics,
        upstream::{Kind, UpstreamMetrics},
    },
    upstream::{
        guard::{self, Guard, millis},
        health::{self, Health},
        target::{Target, Targets},
    },
};

/// What a snapshot is built with.
pub struct Means<'a> {
    /// Every target that is named or still in use.
    pub targets: &'a Targets,
    /// The server's metrics.
    pub metrics: &'a Metrics,
    /// What has been spent of limits.
    pub buckets: &'a Buckets,
    /// Milliseconds of the process's clock.
    pub now: Millis,
}

impl<'a> Means<'a> {
    fn of(plane: &'a DataPlane) -> Self {
        let now = plane.clock.uptime(Instant::now());
        Self { targets: &plane.targets, metrics: &plane.metrics, buckets: &plane.buckets, now }
    }

    /// The same instant in nanoseconds.
    fn nanos(&self) -> u64 {
        self.now * 1_000_000
    }
}

/// The first snapshot: settings only, no table yet.
#[must_use]
pub fn first(settings: Arc<Settings>, means: &Means<'_>) -> Snapshot {
    let apps = apps(&settings, means, None);
    let limits = limits(&settings, means, None);
    let classes = Class::all(&settings.cache, means.metrics);
    finish(settings, apps, (&limits, classes), None, means.nanos())
}

/// Publishes settings that [`synaxis_config::difference::reload`] made of those that run. Targets of what did not change
/// stay, and with them their connections; so do breakers, places, health, and the table.
pub fn settings(plane: &DataPlane, settings: Arc<Settings>) {
    let current = plane.snapshot.load();
    let means = Means::of(plane);
    let apps = apps(&settings, &means, Some(&current));
    let limits = limits(&settings, &means, Some(&current.limits));
    let classes = Class::all(&settings.cache, means.metrics);
    let next = finish(settings, apps, (&limits, classes), current.fleet.clone(), means.nanos());
    publish(plane, next);
}

fn limits(settings: &Settings, means: &Means<'_>, before: Option<&Limits>) -> Limits {
    Limits::new(settings, before, (means.buckets, means.metrics), means.nanos())
}

fn apps(settings: &Settings, means: &Means<'_>, current: Option<&Snapshot>) -> Vec<Arc<App>> {
    let before = |name: &str| {
        let current = current?;
        let at = current.settings.upstreams.iter().position(|upstream| upstream.name == name)?;
        current.apps.get(at)
    };
    let of = |upstream: &Upstream| Arc::new(app(upstream, settings, means, before(&upstream.name).map(Arc::as_ref)));
    settings.upstreams.iter().map(of).collect()
}

fn app(upstream: &Upstream, settings: &Settings, means: &Means<'_>, before: Option<&App>) -> App {
    let targets: Vec<Arc<Target>> =
        upstream.endpoints.iter().map(|endpoint| means.targets.app(&upstream.name, endpoint)).collect();
    let health_limits = health_limits(upstream);
    let health = match before {
        Some(before) if same(&before.targets, &targets) => Arc::clone(&before.health),
        _ => {
            let place = |target: &Arc<Target>| before?.targets.iter().position(|known| Arc::ptr_eq(known, target));
            let places: Vec<Option<usize>> = targets.iter().map(place).collect();
            let succeeding = before.and_then(|before| before.health.succeed_by(&places, means.now, &health_limits));
            // the settings allow no more endpoints than there can be
            Arc::new(succeeding.or_else(|| Health::new(targets.len())).unwrap_or_default())
        }
    };
    let guard = before.map_or_else(
        || Arc::new(Guard::new(UpstreamMetrics::new(means.metrics, Kind::App, &upstream.name), means.now)),
        |before| Arc::clone(&before.guard),
    );
    let limits = guard::Limits::new(&upstream.protection, &settings.retries);
    App { targets, health, health_limits, guard, limits }
}

/// Whether these are the same endpoints in the same order; each is one target for as long as it is named.
fn same(one: &[Arc<Target>], other: &[Arc<Target>]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| Arc::ptr_eq(one, other))
}

fn health_limits(upstream: &Upstream) -> health::Limits {
    let outliers = &upstream.outliers;
    let checks = upstream.health_check.as_ref().map_or_else(health::checks::Limits::default, |check| {
        health::checks::Limits { healthy: check.probing.healthy, unhealthy: check.probing.unhealthy }
    });
    health::Limits {
        checks,
        outliers: health::outlier::Limits {
            failures: u8::try_from(outliers.failures).unwrap_or(u8::MAX),
            window_ms: millis(outliers.window),
            base_ms: millis(outliers.ejection),
            max_ms: millis(outliers.ejection_max),
        },
        ..health::Limits::default()
    }
}

/// Publishes a table that [`synaxis_routing::sanity::admit`] let through.
pub fn table(plane: &DataPlane, bundle: &Bundle, placement: Placement) {
    let current = plane.snapshot.load();
    let settings = Arc::clone(&current.settings);
    let means = Means::of(plane);
    let fleet = seen_from_here(&settings, bundle.to_bytes(), placement, &means, current.fleet.as_deref());
    let fleet = Arc::new(fleet);
    if settings.routing.is_some() {
        look_at_owners(plane, current.fleet.as_deref(), &fleet);
    }
    let metrics = &plane.metrics;
    let version = fleet.placement.version();
    metrics.routing_epoch.set(version.epoch as f64);
    metrics.routing_term.set(version.term as f64);
    let states = [State::Active, State::Ready, State::Creating, State::Draining, State::Failed];
    for (gauge, state) in metrics.stamps.iter().zip(states) {
        gauge.set(fleet.placement.table().stamps.iter().filter(|stamp| stamp.state == state).count() as f64);
    }
    let kept = (&*current.limits, current.classes.clone());
    let next = finish(settings, current.apps.clone(), kept, Some(fleet), means.nanos());
    publish(plane, next);
}

/// Looks at which tenants belong to this stamp, by the table until now and by that from now on.
pub(super) fn look_at_owners(plane: &DataPlane, before: Option<&Fleet>, after: &Fleet) {
    fn seen(fleet: &Fleet) -> Seen<'_> {
        Seen { placement: &fleet.placement, me: fleet.me, entry: fleet.entry }
    }
    let version = after.placement.version();
    // of tables in between nobody knows whose tenants were whose
    let follows = |before: &&Fleet| [before.placement.version(), before.placement.version().next()].contains(&version);
    let before = before.filter(follows);
    let instant = Instant::now();
    let (now, host) = (plane.clock.at(instant), plane.clock.host(instant));
    plane.cache.purges.look_at_owners(before.map(seen), seen(after), now, host);
}

fn publish(plane: &DataPlane, next: Snapshot) {
    plane.snapshot.store(Arc::new(next));
    // those of former snapshots whose last connection has ended since
    plane.targets.sweep();
    plane.published.send_replace(());
}

fn finish(
    settings: Arc<Settings>,
    apps: Vec<Arc<App>>,
    (limits, classes): (&Limits, Vec<Arc<Class>>),
    fleet: Option<Arc<Fleet>>,
    now: u64,
) -> Snapshot {
    let peers = fleet.iter().flat_map(|fleet| fleet.peers.iter().flatten()).map(|peer| &peer.target);
    let mut live_pools = Vec::new();
    for target in apps.iter().flat_map(|app| &app.targets).chain(peers) {
        if live_pools.len() <= target.pool {
            live_pools.resize(target.pool + 1, false);
        }
        live_pools[target.pool] = true;
    }
    let peer_limits = guard::Limits::new(&settings.peers.protection, &settings.retries).of_a_stamp();
    let tenants = fleet.as_ref().map(|fleet| fleet.placement.tenants_shared());
    let limits = Arc::new(limits.with_tenants(&settings, tenants.as_ref(), now));
    Snapshot { settings, apps, peer_limits, classes, limits, fleet, live_pools }
}

fn seen_from_here(
    settings: &Settings,
    envelope: Bytes,
    placement: Placement,
    means: &Means<'_>,
    before: Option<&Fleet>,
) -> Fleet {
    let indices = (0..placement.table().stamps.len()).filter_map(|index| u16::try_from(index).ok()).map(StampIndex);
    let known = |id: &StampId| {
        let before = before?;
        let at = before.placement.find(id.as_str())?;
        before.peers.get(usize::from(at.0))?.as_ref().map(|peer| Arc::clone(&peer.guard))
    };
    let peers = indices
        .map(|index| {
            let id = &placement.stamp(index).id;
            let target = means.targets.peer(id, placement.endpoint(index)?);
            let guard = known(id).unwrap_or_else(|| {
                Arc::new(Guard::new(UpstreamMetrics::new(means.metrics, Kind::Peer, id.as_str()), means.now))
            });
            Some(Peer { target, guard })
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
