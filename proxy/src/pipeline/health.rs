//! What the proxy answers from memory: whether this *stamp* may take edge traffic, and the table for peers.
//!
//! `/health` never fails because one process is stopping: a rolling restart must not evict the stamp.

use http::{Method, StatusCode, request::Parts};
use synaxis_config::settings::ListenerKind;
use synaxis_routing::table::{Millis, State};

use super::{Answer, Downstream, normalize::Survey};
use crate::dataplane::Snapshot;

/// Where a peer listener serves the table's exact bytes.
pub const TABLE_PATH: &str = "/synaxis/table";

/// The answer to a health probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// 200 or 503.
    pub status: StatusCode,
    /// The stamp's state, or `unknown`.
    pub state: &'static str,
}

/// The proxy's own answer, if the request asks for one: probes need no tenant. What a stamp forwards is always the
/// client's request for the app, whatever its path: the table holds secrets.
#[must_use]
pub fn own_answer(
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
        ListenerKind::Edge if path == downstream.listener.health_path => Some(Answer::Health(of_stamp(snapshot, now))),
        ListenerKind::Peer if path == "/health" => {
            Some(Answer::Health(Health { status: StatusCode::OK, ..of_stamp(snapshot, now) }))
        }
        ListenerKind::Peer if path == TABLE_PATH => {
            snapshot.fleet.as_ref().map(|fleet| Answer::Table(fleet.envelope.clone()))
        }
        _ => None,
    }
}

/// 200 while Active, and while Draining until the ramp has ended.
#[must_use]
pub fn of_stamp(snapshot: &Snapshot, now: Millis) -> Health {
    let Some((fleet, me)) = snapshot.fleet.as_ref().and_then(|fleet| Some((fleet, fleet.me?))) else {
        return Health { status: StatusCode::SERVICE_UNAVAILABLE, state: "unknown" };
    };
    let state = fleet.placement.stamp(me).state;
    let takes = match state {
        State::Active => true,
        State::Draining => !fleet.placement.share(me, now).is_none(),
        _ => false,
    };
    Health { status: if takes { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, state: state.as_str() }
}
