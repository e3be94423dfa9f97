//! Why a tenant is served where it is: the data plane's own functions, in words or as JSON.

use std::time::Instant;

use http::{HeaderMap, Response, StatusCode, header::ACCEPT};
use synaxis_routing::{explain, id::TenantId};

use super::{
    View,
    answers::{self, Reply, problem, text},
};

pub(super) fn explain(view: &View, query: &str, headers: &HeaderMap) -> Response<Reply> {
    let value = |name: &str| query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    // tenant ids need no percent-encoding, so an encoded one is no tenant id
    let Ok(tenant) = TenantId::parse(value("tenant").unwrap_or_default().as_bytes()) else {
        return problem(
            StatusCode::BAD_REQUEST,
            "tenant_invalid",
            "?tenant=T with 1 to 128 bytes of A-Z a-z 0-9 . _ -",
        );
    };
    let snapshot = view.plane.snapshot.load();
    let Some(fleet) = &snapshot.fleet else { return answers::no_table() };
    let entry = match value("entry") {
        None => fleet.entry,
        Some(name) => match fleet.placement.region(name) {
            Some(entry) => entry,
            None => return problem(StatusCode::BAD_REQUEST, "region_unknown", "the table knows no such region"),
        },
    };
    let explanation = explain::explain(&fleet.placement, &tenant, entry, view.plane.clock.at(Instant::now()));
    let accepts_json = headers.get(ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(b"application/json"));
    if accepts_json || value("format") == Some("json") {
        answers::document(&explanation)
    } else {
        text(StatusCode::OK, format!("{explanation}\n"))
    }
}
