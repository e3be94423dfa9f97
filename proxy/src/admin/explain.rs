//! Why a tenant is served where it is, and which route a request would take: the data plane's own functions, in words or
//! as JSON.

use std::{fmt::Write as _, time::Instant};

use http::{HeaderMap, Method, Response, StatusCode, header::ACCEPT, uri::Authority};
use serde::Serialize;
use synaxis_config::settings::Cache;
use synaxis_routing::{
    explain::{self, Explanation},
    id::{Region, StampId, TenantId},
};

use super::{
    View,
    access::Refusal,
    answers::{self, Reply, text},
    query::Query,
    upstreams::Dialled,
};
use crate::{
    dataplane::{Fleet, Snapshot},
    pipeline::{
        local_reply::LocalReply,
        normalize,
        route::{self, Asked},
    },
};

/// What may be asked for.
const KNOWN: [&str; 6] = ["tenant", "entry", "format", "host", "path", "method"];

#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    explanation: Explanation,
    /// This proxy's own view.
    here: Here,
    /// What becomes of a request with this host, path and method; `null` when no path was asked for.
    route: Option<Taken>,
}

#[derive(Serialize)]
struct Here {
    stamp: StampId,
    region: Region,
    /// Whether the table knows this stamp.
    known: bool,
    /// The candidates in order of choice.
    candidates: Vec<Seen>,
}

#[derive(Serialize)]
struct Seen {
    stamp: StampId,
    /// Served by this stamp's own app.
    me: bool,
    /// Where another stamp's peer listener is dialled, or why not; `null` for this one.
    dialled: Option<Dialled>,
}

/// A route and its upstream, or the answer that stands for them.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Taken {
    Chosen { name: String, upstream: String, endpoints: Vec<String>, timeout_ms: u128, cache: Option<Kept> },
    Refused { status: u16, reason: &'static str, detail: String },
}

/// By which class answers are kept.
#[derive(Serialize)]
struct Kept {
    class: String,
    /// Whether this stamp keeps those of the tenant: it is the owner.
    here: bool,
    /// Longest in the memory of a process, and in what the processes of the stamp share; `null`: they share nothing.
    ttl_ms: u128,
    store_ttl_ms: Option<u128>,
}

pub(super) fn explain(view: &View, query: &str, headers: &HeaderMap) -> Result<Response<Reply>, Refusal> {
    let query = Query::parse(query, &KNOWN)?;
    let tenant = tenant(&query)?;
    let snapshot = view.plane.snapshot.load();
    let fleet = snapshot.fleet.as_ref().ok_or(Refusal::NoTable)?;
    let entry = match query.value("entry") {
        None => fleet.entry,
        Some(name) => fleet.placement.region(name).ok_or_else(|| {
            let known: Vec<&str> = fleet.placement.table().regions.iter().map(|region| &**region).collect();
            Refusal::RegionUnknown(known.join(", "))
        })?,
    };
    let now = view.plane.clock.at(Instant::now());
    let is_owner = fleet.me.is_some() && fleet.placement.owner(&tenant, entry, now) == fleet.me;
    let route = query.value("path").map(|path| taken(&snapshot, &query, path, is_owner)).transpose()?;
    let explanation = explain::explain(&fleet.placement, &tenant, entry, now);
    let here = here(view, &snapshot, fleet, &explanation);
    let answer = Answer { explanation, here, route };
    let accepts_json = headers.get(ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(b"application/json"));
    match query.value("format") {
        Some("json") => Ok(answers::document(&answer)),
        None if accepts_json => Ok(answers::document(&answer)),
        None | Some("text") => Ok(text(StatusCode::OK, words(&answer))),
        Some(_) => Err(Refusal::QueryInvalid("format is text or json")),
    }
}

fn tenant(query: &Query<'_>) -> Result<TenantId, Refusal> {
    let written = query.value("tenant").ok_or(Refusal::TenantInvalid("ask with ?tenant=T"))?;
    TenantId::parse(written.as_bytes()).map_err(|_| {
        Refusal::TenantInvalid(match written {
            "" => "the tenant is empty",
            encoded if encoded.contains('%') => "a tenant id needs no percent-encoding, so an encoded one is none",
            _ => "a tenant id is 1 to 128 bytes of A-Z a-z 0-9 . _ -",
        })
    })
}

/// This proxy's view of the candidates.
fn here(view: &View, snapshot: &Snapshot, fleet: &Fleet, explanation: &Explanation) -> Here {
    let seen = |stamp: &StampId| {
        let index = fleet.placement.find(stamp.as_str());
        let me = index.is_some() && index == fleet.me;
        let dialled = index.filter(|_| !me).map(|index| Dialled::peer(&view.plane, fleet, index));
        Seen { stamp: stamp.clone(), me, dialled }
    };
    let own = &snapshot.settings.stamp;
    Here {
        stamp: own.id.clone(),
        region: own.region.clone(),
        known: fleet.me.is_some(),
        candidates: explanation.hand.iter().map(|candidate| seen(&candidate.stamp)).collect(),
    }
}

/// The route as the pipeline chooses it, for a request without fields of its own.
fn taken(snapshot: &Snapshot, query: &Query<'_>, path: &str, is_owner: bool) -> Result<Taken, Refusal> {
    if !path.starts_with('/') || path.contains('?') {
        return Err(Refusal::QueryInvalid(
            "path is written as it is received, with a slash in front and without a query",
        ));
    }
    let method = Method::from_bytes(query.value("method").unwrap_or("GET").as_bytes())
        .map_err(|_| Refusal::QueryInvalid("method is no method"))?;
    let host = match query.value("host") {
        None => String::new(),
        Some(host) => {
            let authority: Result<Authority, _> = host.parse();
            let valid = authority.ok().filter(|authority| !authority.as_str().contains('@'));
            valid.ok_or(Refusal::QueryInvalid("host is no valid Host"))?.host().to_ascii_lowercase()
        }
    };
    let settings = &snapshot.settings;
    let asked = Asked { host: &host, path, method: &method, headers: &HeaderMap::new() };
    let chosen = match normalize::is_served(asked.method) {
        true => route::choose(&settings.routes, &asked),
        false => Err(LocalReply::MethodNotAllowed),
    };
    Ok(match chosen {
        Ok(route) => {
            let upstream = &settings.upstreams[route.upstream];
            Taken::Chosen {
                name: route.name.clone(),
                upstream: upstream.name.clone(),
                endpoints: upstream.endpoints.iter().map(ToString::to_string).collect(),
                timeout_ms: route.timeout.as_millis(),
                cache: route.cache.and_then(|class| kept(&settings.cache, class, is_owner)),
            }
        }
        Err(reply) => {
            let shape = reply.shape();
            Taken::Refused { status: shape.status.as_u16(), reason: shape.reason, detail: reply.to_string() }
        }
    })
}

fn kept(settings: &Cache, class: usize, here: bool) -> Option<Kept> {
    let class = settings.classes.get(class)?;
    let shared = settings.store.is_some() && !class.store_ttl.is_zero();
    let store_ttl_ms = shared.then_some(class.store_ttl.as_millis());
    Some(Kept { class: class.name.clone(), here, ttl_ms: class.ttl.as_millis(), store_ttl_ms })
}

fn words(answer: &Answer) -> String {
    let Answer { explanation, here, route } = answer;
    let mut text = explanation.to_string();
    let unknown = if here.known { "" } else { ", which the table does not know" };
    let _ = writeln!(text, "seen from {}{unknown}", here.stamp);
    for seen in &here.candidates {
        let words = match &seen.dialled {
            _ if seen.me => "this stamp: served by its own app".to_owned(),
            Some(Dialled { refused: Some(why), .. }) => format!("cannot be sent anything: {why}"),
            Some(Dialled { host: Some(host), port: Some(port), .. }) => format!("dialled at {host}:{port}"),
            _ => "cannot be dialled".to_owned(),
        };
        let _ = writeln!(text, "  {}  {words}", seen.stamp);
    }
    match route {
        None => {}
        Some(Taken::Chosen { name, upstream, endpoints, timeout_ms, cache }) => {
            let endpoints = endpoints.join(", ");
            let _ =
                writeln!(text, "route {name}: upstream {upstream} ({endpoints}), {timeout_ms} ms to the answer's head");
            if let Some(Kept { class, here, ttl_ms, store_ttl_ms }) = cache {
                let place = if *here { "" } else { ", not at this stamp: another one is the owner" };
                let store = store_ttl_ms.map(|ttl| format!(", {ttl} ms in the store")).unwrap_or_default();
                let _ = writeln!(text, "  answers are kept by class {class}: up to {ttl_ms} ms{store}{place}");
            }
        }
        Some(Taken::Refused { status, reason, detail }) => {
            let _ = writeln!(text, "no route: {status} {reason}, {detail}");
        }
    }
    text
}
