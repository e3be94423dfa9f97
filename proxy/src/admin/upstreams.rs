//! Where requests are sent from here: `/upstreams`.

use std::time::Instant;

use http::Response;
use serde::Serialize;
use synaxis_routing::{id::StampId, placement::StampIndex, table::State};

use super::{
    View,
    answers::{self, Reply},
};
use crate::{
    dataplane::{DataPlane, Fleet},
    upstream::{connect, health::Status, target::Target},
};

#[derive(Serialize)]
struct Upstreams {
    apps: Vec<App>,
    peers: Vec<Peer>,
}

/// An app of this stamp.
#[derive(Serialize)]
struct App {
    upstream: String,
    /// Idle connections that a worker keeps, at most.
    idle_max: usize,
    endpoints: Vec<Endpoint>,
}

/// One endpoint of an app.
#[derive(Serialize)]
struct Endpoint {
    #[serde(flatten)]
    dialled: Dialled,
    /// Whether it gets requests.
    serves: bool,
    /// What its health checks say; `null` before the first, or without any.
    passes_checks: Option<bool>,
    /// How long it is still left out for its answers; `null` when it is not.
    ejected_for_ms: Option<u64>,
    /// Gateway errors since its last good answer, counted up to what ejects it.
    failures: usize,
}

impl Endpoint {
    fn of(dialled: Dialled, status: Status) -> Self {
        let Status { serves, passes_checks, ejected_for_ms, failures } = status;
        Self { dialled, serves, passes_checks, ejected_for_ms, failures }
    }
}

/// A stamp that is not this one.
#[derive(Serialize)]
struct Peer {
    stamp: StampId,
    state: State,
    #[serde(flatten)]
    dialled: Dialled,
}

/// Where a connection goes, or why none can.
#[derive(Clone, Serialize)]
pub(super) struct Dialled {
    /// As the data plane dials it; `null` without a usable endpoint.
    pub(super) host: Option<String>,
    pub(super) port: Option<u16>,
    /// Whether TLS must be spoken there.
    pub(super) tls: bool,
    /// Why nothing is ever sent there, as things are.
    pub(super) refused: Option<String>,
}

impl Dialled {
    fn of(target: &Target, plane: &DataPlane) -> Self {
        let refused = connect::permit(target, &plane.policy).err().map(|error| error.to_string());
        Self { host: Some(target.host.clone()), port: Some(target.port), tls: target.tls, refused }
    }

    /// The peer listener of a stamp.
    pub(super) fn peer(plane: &DataPlane, fleet: &Fleet, stamp: StampIndex) -> Self {
        let target = fleet.peers.get(usize::from(stamp.0)).and_then(Option::as_ref).map(|peer| peer.target.as_ref());
        let unusable = || Self {
            host: None,
            port: None,
            tls: false,
            refused: Some("its endpoint in the table cannot be used".to_owned()),
        };
        target.map_or_else(unusable, |target| Self::of(target, plane))
    }
}

pub(super) fn upstreams(view: &View) -> Response<Reply> {
    let plane = &view.plane;
    let snapshot = plane.snapshot.load();
    let now = plane.clock.uptime(Instant::now());
    let apps = snapshot.settings.upstreams.iter().zip(&snapshot.apps).map(|(upstream, app)| App {
        upstream: upstream.name.clone(),
        idle_max: upstream.idle_max,
        endpoints: {
            let dialled = app.targets.iter().map(|target| Dialled::of(target, plane));
            let status = app.health.status(now, &app.health_limits);
            dialled.zip(status).map(|(dialled, status)| Endpoint::of(dialled, status)).collect()
        },
    });
    let peers = snapshot.fleet.iter().flat_map(|fleet| {
        let others = fleet.placement.stamps_by_id().filter(|stamp| Some(*stamp) != fleet.me);
        others.filter_map(|index| {
            let stamp = fleet.placement.stamp(index);
            let dialled = Dialled::peer(plane, fleet, index);
            (stamp.state != State::Deleted).then(|| Peer { stamp: stamp.id.clone(), state: stamp.state, dialled })
        })
    });
    answers::document(&Upstreams { apps: apps.collect(), peers: peers.collect() })
}
