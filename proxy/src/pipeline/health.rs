//! What the proxy answers from memory: whether this *stamp* may take edge traffic, and the table for peers.
//!
//! `/health` never fails because one process is stopping: a rolling restart must not evict the stamp.

use http::{Method, StatusCode, request::Parts};
use synaxis_config::settings::ListenerKind;
use synaxis_routing::{
    degradation::Level,
    table::{Millis, State},
};

use super::{Answer, Downstream, normalize::Survey};
use crate::dataplane::{Snapshot, worker::Worker};

/// Where a peer listener serves the table's exact bytes.
pub const TABLE_PATH: &str = "/synaxis/table";

/// The answer to a health probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// 200 or 503.
    pub status: StatusCode,
    /// The stamp's state, or `unknown`.
    pub state: &'static str,
    /// How its app is: [`OK`], [`BAD`] or [`UNKNOWN`].
    pub app: &'static str,
}

/// An endpoint of an app with a health check passes.
pub const OK: &str = "ok";
/// There are such apps, and no endpoint passes.
pub const BAD: &str = "bad";
/// Nobody asks, or not everybody has answered yet.
pub const UNKNOWN: &str = "unknown";

/// The proxy's own answer, if the request asks for one: probes need no tenant. What a stamp forwards is always the
/// client's request for the app, whatever its path: the table holds secrets.
#[must_use]
pub fn own_answer(
    worker: &Worker,
    snapshot: &Snapshot,
    downstream: &Downstream,
    parts: &Parts,
    survey: &Survey,
    now: Millis,
) -> Option<Answer> {
    let forwarded = downstream.listener.kind == ListenerKind::Peer && survey.internal;
    if forwarded || !matches!(parts.method, Method::GET | Method::HEAD) {
        return None;
    }
    let path = parts.uri.path();
    match downstream.listener.kind {
        ListenerKind::Edge if path == downstream.listener.health_path => {
            Some(Answer::Health(in_maintenance(worker, of_stamp(snapshot, now))))
        }
        ListenerKind::Peer if path == "/health" => Some(Answer::Health(of_process(of_stamp(snapshot, now)))),
        ListenerKind::Peer if path == TABLE_PATH => {
            snapshot.fleet.as_ref().map(|fleet| Answer::Table(fleet.envelope.clone()))
        }
        _ => None,
    }
}

/// No edge traffic for a stamp that answers nothing but 503.
fn in_maintenance(worker: &Worker, stamp: Health) -> Health {
    if worker.plane.degradation.now().level < Level::Maintenance {
        return stamp;
    }
    Health { status: StatusCode::SERVICE_UNAVAILABLE, ..stamp }
}

/// For other stamps: 200 while this process serves and its app is not bad, whatever the stamp's state.
fn of_process(stamp: Health) -> Health {
    let status = if stamp.app == BAD { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    Health { status, ..stamp }
}

/// 200 while Active, and while Draining until the ramp has ended.
#[must_use]
pub fn of_stamp(snapshot: &Snapshot, now: Millis) -> Health {
    let app = of_apps(snapshot);
    let Some((fleet, me)) = snapshot.fleet.as_ref().and_then(|fleet| Some((fleet, fleet.me?))) else {
        return Health { status: StatusCode::SERVICE_UNAVAILABLE, state: "unknown", app };
    };
    let state = fleet.placement.stamp(me).state;
    let takes = match state {
        State::Active => true,
        State::Draining => !fleet.placement.share(me, now).is_none(),
        _ => false,
    };
    Health { status: if takes { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, state: state.as_str(), app }
}

/// What the probes of all apps say together: one endpoint that passes is enough.
fn of_apps(snapshot: &Snapshot) -> &'static str {
    let checked = snapshot.settings.upstreams.iter().zip(&snapshot.apps);
    let verdicts = checked.filter(|(upstream, _)| upstream.health_check.is_some()).map(|(_, app)| app.health.verdict());
    let mut word = None;
    for verdict in verdicts {
        match verdict {
            Some(true) => return OK,
            Some(false) => word = word.or(Some(BAD)),
            None => word = Some(UNKNOWN),
        }
    }
    word.unwrap_or(UNKNOWN)
}
