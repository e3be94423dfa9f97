//! **The way of one request; read this first.**
//!
//! normalize → tenant → route → *either* forward to the owning stamp's peer listener *or* serve from this stamp's app →
//! respond → record. One stage a line; a stage takes what earlier stages returned.

pub mod admit;
pub mod cache;
pub mod candidates;
pub mod degrade;
pub mod denies;
pub mod edits;
pub mod health;
pub mod hops;
pub mod local_reply;
pub mod normalize;
pub mod peer;
pub mod rate_limit;
pub mod respond;
pub mod route;
pub mod tenant;
pub mod tries;
pub mod visit;
pub mod websocket;

use std::{cell::Cell, convert::Infallible, net::IpAddr, rc::Rc, sync::Arc, time::Instant};

use http::{HeaderValue, Method, Request, Response, StatusCode, header::CACHE_CONTROL};
use synaxis_config::settings::{Listener, ListenerKind};

use crate::{
    body::{Body, Download, Upload},
    dataplane::{Snapshot, worker::Worker},
    shutdown::Place,
    telemetry::record::{Line, Record},
    upstream::head::Head,
};
use candidates::Errand;
use hops::Reach;
use local_reply::LocalReply;
use route::Asked;
use websocket::{Switch, Switched};

/// What stands on an answer that does not say who may keep it, by option.
const PRIVATE_NO_STORE: HeaderValue = HeaderValue::from_static("private, no-store");

/// A worker with what this layer adds to it.
pub struct Service {
    /// The worker's own state.
    pub worker: Worker,
    /// Counters of the proxy's own answers.
    pub replies: local_reply::Counters,
}

/// What is known of the connection that a request came in by.
pub struct Downstream {
    /// The listener.
    pub listener: Listener,
    /// Whether it is beyond the cap: it gets one answer, and only a probe its own.
    pub in_reserve: bool,
    /// When it is told to close while the process leaves.
    pub place: Place,
    /// The client's address.
    pub client: IpAddr,
    /// The same as a field value, made once a connection.
    pub client_value: HeaderValue,
    /// What becomes of the connection when one of its requests asks for a WebSocket.
    pub switch: Switch,
    /// When the whole of the current answer must be out, if its route says so; whoever watches the connection reads it.
    pub ends: Rc<Cell<Option<Instant>>>,
}

/// An answer, before it is dressed for the way down.
pub enum Answer {
    /// From an app or another stamp.
    Upstream(Response<Download>),
    /// A 101 to a request that asked for a WebSocket.
    Switched(Box<Switched>),
    /// The proxy's own word on this stamp's health.
    Health(health::Health),
    /// What may be done here: an OPTIONS request that was to go no further. The methods, unless all are taken.
    Options(Option<HeaderValue>),
    /// The routing table's exact bytes, for a peer that starts without a store.
    Table(bytes::Bytes),
}

/// Answers one request.
///
/// # Errors
/// Never: every failure is an answer.
pub async fn serve(
    service: &Rc<Service>,
    downstream: &Rc<Downstream>,
    request: Request<Upload>,
) -> Result<Response<Body>, Infallible> {
    let started = Instant::now();
    let worker = &service.worker;
    let snapshot = worker.snapshot();
    let mut record = open_record(worker, &snapshot, downstream, &request, started);
    let head_only = request.method() == Method::HEAD;
    let upload = request.body().clone();
    let outcome = answer(service, &snapshot, downstream, request, started, &mut record).await;
    let level = degrade::told(&snapshot.settings.degradation, &outcome, &record);
    let default_no_store = snapshot.settings.cache.default_no_store;
    drop(snapshot);
    let leaving = worker.plane.shutdown.tells(downstream.place);
    let closing = leaving || downstream.in_reserve || downstream.switch.is_asked();
    // what is left of an upload that nobody upstream has will not be read, so nothing can come after it
    let closing = closing || (!matches!(outcome, Ok(Answer::Upstream(_))) && upload.is_coming());
    let mut response = match outcome {
        Ok(answer) => respond::answer(answer, record, head_only, closing, &downstream.switch),
        Err(reply) => respond::local(&service.replies, &reply, record, head_only, closing),
    };
    if default_no_store && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        // or a cache in front keeps for days what nobody has said it may
        response.headers_mut().entry(CACHE_CONTROL).or_insert(PRIVATE_NO_STORE);
    }
    if let Some(level) = level {
        response.headers_mut().insert(peer::DEGRADATION, level);
    }
    Ok(response)
}

async fn answer(
    service: &Rc<Service>,
    snapshot: &Arc<Snapshot>,
    downstream: &Rc<Downstream>,
    request: Request<Upload>,
    started: Instant,
    record: &mut Record,
) -> Result<Answer, LocalReply> {
    let (errand, mut head, upload) = match decide(service, snapshot, downstream, request, started, record)? {
        Decision::Own(answer) => return Ok(answer),
        Decision::Send(errand, head, upload) => (errand, head, upload),
    };
    let answer = match downstream.listener.kind {
        ListenerKind::Edge => errand.as_entry(&mut head, &upload, record).await?,
        ListenerKind::Peer => errand.as_receiver(&mut head, &upload, record).await?,
    };
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        let around = websocket::around(&service.worker, &snapshot.settings);
        return Ok(Answer::Switched(Box::new(Switched { answer, around })));
    }
    Ok(Answer::Upstream(answer))
}

/// What is to be done with a request.
#[expect(clippy::large_enum_variant, reason = "taken apart where it is made")]
enum Decision<'a> {
    /// The proxy answers it.
    Own(Answer),
    /// Somebody serves it.
    Send(Errand<'a>, Head, Upload),
}

/// The stages that wait for nobody. Apart from what waits, because what they use on their way need not be kept with every
/// request in flight.
fn decide<'a>(
    service: &'a Rc<Service>,
    snapshot: &'a Arc<Snapshot>,
    downstream: &'a Rc<Downstream>,
    request: Request<Upload>,
    started: Instant,
    record: &mut Record,
) -> Result<Decision<'a>, LocalReply> {
    let (worker, settings) = (&service.worker, &snapshot.settings);
    let now = worker.plane.clock.at(started);
    let (mut parts, upload) = request.into_parts();

    let survey = normalize::check(&mut parts, &settings.limits, &settings.tenant.header)?;
    // a request that asks is its connection's last, whatever the answer
    let asks = survey.upgrade && websocket::is_asked(&parts, &upload)?;
    if asks {
        downstream.switch.ask();
    }
    if let Some(own) = health::own_answer(worker, snapshot, downstream, &parts, &survey, now) {
        return Ok(Decision::Own(own));
    }
    if downstream.in_reserve || worker.plane.capacity.is_overloaded() {
        return Err(LocalReply::Overload);
    }
    if survey.via && downstream.listener.kind == ListenerKind::Edge {
        hops::check_loop(&parts.headers)?;
    }
    let hop = peer::arrival(&downstream.listener, snapshot, &survey, &mut parts.headers)?;
    let tenant = tenant::identify(&survey.tenant, hop.as_ref())?;
    let asked = Asked { host: survey.host(), path: parts.uri.path(), method: &parts.method, headers: &parts.headers };
    let route = route::choose(&settings.routes, &asked)?;
    note(record, &tenant, &route.name, snapshot, hop.is_some());
    degrade::check_fleet(&worker.plane, &settings.degradation, &parts.headers, record)?;
    if parts.method == Method::OPTIONS && hops::step(&mut parts.headers)? == Reach::Here {
        let asked =
            Asked { host: survey.host(), path: parts.uri.path(), method: &parts.method, headers: &parts.headers };
        return Ok(Decision::Own(Answer::Options(route::methods(&settings.routes, &asked))));
    }
    if !upload.limit(route.body_bytes) {
        return Err(LocalReply::BodyTooLarge(route.body_bytes));
    }
    upload.keep(settings.retries.replay_bytes);
    downstream.ends.set(route.total.map(|total| started + total));

    let deadline = worker.timer.deadline(started, peer::time_left(route.timeout, hop.as_ref()));
    let client = peer::client(downstream, hop.as_ref());
    normalize::dress(&mut parts, &survey, &upload, (&settings.tenant.header, &tenant), client)?;
    let websocket = asks && route.websocket && websocket::ask_on(&mut parts);
    let head = Head { method: parts.method, uri: parts.uri, headers: parts.headers, announced: false, websocket };
    let hop = hop.map(Box::new);
    let key = worker.plane.key(&tenant);
    let errand = Errand { worker, service, snapshot, downstream, tenant, key, route, hop, now, deadline };
    Ok(Decision::Send(errand, head, upload))
}

fn open_record(
    worker: &Worker,
    snapshot: &Snapshot,
    downstream: &Downstream,
    request: &Request<Upload>,
    started: Instant,
) -> Record {
    let mut record = Record::open(&worker.sink, started);
    let logged = worker.sink.access_log.is_some() && worker.chance() < snapshot.settings.access_log.sample;
    if logged {
        record.line = Some(Box::new(line(downstream, request)));
    }
    record
}

/// The part of the log line that the request itself tells. Text is cut to what a line may hold.
fn line(downstream: &Downstream, request: &Request<Upload>) -> Line {
    let text = |value: Option<&HeaderValue>| {
        value.map(|value| String::from_utf8_lossy(value.as_bytes()).chars().take(256).collect())
    };
    let headers = request.headers();
    let trace =
        headers.get("traceparent").and_then(|value| value.to_str().ok()).and_then(|value| value.split('-').nth(1));
    Line {
        trace_id: trace.filter(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())).map(str::to_owned),
        method: request.method().as_str().chars().take(32).collect(),
        host: text(headers.get(http::header::HOST)),
        path: request.uri().path().chars().take(1_024).collect(),
        client: downstream.client.to_string(),
        listener: match downstream.listener.kind {
            ListenerKind::Edge => "edge",
            ListenerKind::Peer => "peer",
        },
        ..Line::default()
    }
}

fn note(
    record: &mut Record,
    tenant: &synaxis_routing::id::TenantId,
    route: &str,
    snapshot: &Snapshot,
    forwarded: bool,
) {
    let Some(line) = &mut record.line else { return };
    line.tenant = Some(*tenant);
    line.route = Some(route.to_owned());
    line.hop = u8::from(forwarded);
    if let Some(fleet) = &snapshot.fleet {
        line.decided_at(fleet.placement.version());
    }
}
