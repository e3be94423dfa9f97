//! What the admin listener shows besides probes and explanations. The table's seed never appears.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use http_body_util::Full;
use serde::Serialize;
use serde_json::json;
use synaxis_routing::{ramp, table::FORMAT};

use super::{View, access::Refusal, breakers};
use crate::{dataplane::Fleet, telemetry::top::exposition};

/// An answer's body.
pub(super) type Reply = Full<Bytes>;

fn reply(status: StatusCode, kind: &'static str, bytes: impl Into<Bytes>) -> Response<Reply> {
    let mut response = Response::new(Full::new(bytes.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(super) fn text(status: StatusCode, words: String) -> Response<Reply> {
    reply(status, "text/plain; charset=utf-8", words)
}

pub(super) fn document(value: &impl Serialize) -> Response<Reply> {
    let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
    bytes.push(b'\n');
    reply(StatusCode::OK, "application/json", bytes)
}

pub(super) fn problem(status: StatusCode, reason: &str, detail: &str) -> Response<Reply> {
    let problem = json!({
        "type": "about:blank", "title": status.canonical_reason(), "status": status.as_u16(), "reason": reason, "detail": detail,
    });
    reply(status, "application/problem+json", problem.to_string())
}

pub(super) fn index() -> Response<Reply> {
    let words = "/livez\n/readyz[?verbose]\n/healthz\n/metrics\n/version\n/breakers\n/cache\n/cache/purge (POST)\n/config\n/degradation (GET, PUT, DELETE)\n/limits/TENANT[?user=U][&route=R][&client_ip=A]\n/loglevel (GET, PUT)\n/drain (POST)\n/routing\n/routing/explain?tenant=T[&entry=REGION][&path=/P[&host=H][&method=M]][&format=json]\n/routing/table\n/stamps\n/tenants/top\n/upstreams\n";
    text(StatusCode::OK, words.into())
}

pub(super) fn metrics(view: &View) -> Response<Reply> {
    let metrics = &view.plane.metrics;
    metrics.in_flight.set(view.plane.in_flight() as f64);
    metrics.shutdown_phase.set(f64::from(view.plane.shutdown.phase() as u8));
    metrics.connections.set(view.plane.connections() as f64);
    let room = view.plane.capacity.room(&view.plane.snapshot.load().settings);
    metrics.connections_max.set(room.edge as f64);
    metrics.peer_connections_max.set(room.peers as f64);
    breakers::show(view);
    // never confirmed: as old as this process, at least
    let confirmed = view.status.routing().confirmed_at.unwrap_or(view.started);
    let settings = Arc::clone(&view.plane.snapshot.load().settings);
    metrics.routing_table_age.set(settings.routing.as_ref().map_or(0.0, |_| confirmed.elapsed().as_secs_f64()));
    let mut text = metrics.render();
    text.push_str(&exposition(&view.plane.traffic.minute(), settings.rate_limiting.top_tenants));
    reply(StatusCode::OK, "text/plain; version=0.0.4", text)
}

/// The settings as run, without secrets.
pub(super) fn config(view: &View) -> Response<Reply> {
    let settings = synaxis_config::print::effective(&view.plane.snapshot.load().settings);
    reply(StatusCode::OK, "application/toml", settings)
}

pub(super) fn version() -> Response<Reply> {
    document(&json!({ "name": "synaxis-proxy", "version": env!("CARGO_PKG_VERSION"), "table_format": FORMAT }))
}

pub(super) fn routing(view: &View) -> Result<Response<Reply>, Refusal> {
    let snapshot = view.plane.snapshot.load();
    let fleet = snapshot.fleet.as_ref().ok_or(Refusal::NoTable)?;
    let table = fleet.placement.table();
    let routing = view.status.routing();
    Ok(document(&json!({
        "version": fleet.placement.version().to_string(),
        "digest": fleet.placement.digest().to_string(),
        "algorithm": table.algorithm,
        "slots_log2": table.slots_log2,
        "scope": table.scope,
        "regions": table.regions,
        "listed_tenants": fleet.placement.tenants().len(),
        "full_rankings": fleet.placement.full_rankings(),
        "source": routing.source,
        "refused": routing.refused,
        "store_error": routing.store_error,
        "stamps": stamp_list(view, fleet),
    })))
}

pub(super) fn stamps(view: &View) -> Result<Response<Reply>, Refusal> {
    let snapshot = view.plane.snapshot.load();
    snapshot.fleet.as_ref().map(|fleet| document(&stamp_list(view, fleet))).ok_or(Refusal::NoTable)
}

fn stamp_list(view: &View, fleet: &Fleet) -> Vec<serde_json::Value> {
    let now = view.plane.clock.at(Instant::now());
    let me = fleet.me.map(|me| &fleet.placement.stamp(me).id);
    let one = |stamp: &synaxis_routing::table::Stamp| {
        json!({
            "id": stamp.id, "region": stamp.region, "state": stamp.state, "weight": stamp.weight, "dedicated": stamp.dedicated,
            "share_per_mille": ramp::share(stamp, now).per_mille(), "endpoint": stamp.endpoint, "me": Some(&stamp.id) == me,
        })
    };
    fleet.placement.table().stamps.iter().map(one).collect()
}

/// The exact bytes of the applied table, for `stampctl recover`.
pub(super) fn table(view: &View) -> Result<Response<Reply>, Refusal> {
    let snapshot = view.plane.snapshot.load();
    let fleet = snapshot.fleet.as_ref().ok_or(Refusal::NoTable)?;
    Ok(reply(StatusCode::OK, "application/octet-stream", fleet.envelope.clone()))
}
