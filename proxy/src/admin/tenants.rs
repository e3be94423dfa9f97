//! Which tenants make the most requests: `/tenants/top`.

use http::Response;
use serde::Serialize;
use synaxis_routing::id::TenantId;

use super::{
    View,
    answers::{self, Reply},
};
use crate::telemetry::top::Minute;

/// The last minute that is over.
#[derive(Serialize)]
struct Page {
    /// How long it was; 0 before the first one is over.
    seconds: f64,
    /// Requests of all tenants.
    total: u64,
    /// How many of them were refused.
    refused: u64,
    tenants: Vec<Row>,
    /// Most requests that a tenant can have made that is not listed.
    unlisted_max: u64,
}

#[derive(Serialize)]
struct Row {
    tenant: TenantId,
    /// At least.
    requests: u64,
    /// By how much that may be too low.
    error: u64,
    /// How many of them were refused, at least.
    refused: u64,
    per_second: f64,
    /// Share of all requests.
    percent: f64,
}

pub(super) fn top(view: &View) -> Response<Reply> {
    answers::document(&page(&view.plane.traffic.minute()))
}

fn page(minute: &Minute) -> Page {
    let Minute { window, total, refused, rows, unlisted_max } = minute;
    let seconds = window.as_secs_f64();
    let row = |row: &crate::telemetry::top::Row| Row {
        tenant: row.tenant,
        requests: row.requests,
        error: row.error,
        refused: row.refused,
        per_second: rounded(row.requests as f64 / seconds.max(f64::MIN_POSITIVE)),
        percent: rounded(row.requests as f64 * 100.0 / (*total).max(1) as f64),
    };
    let tenants = rows.iter().map(row).collect();
    // a minute that is ended early may be short
    let seconds = (seconds * 1e3).round() / 1e3;
    Page { seconds, total: *total, refused: *refused, tenants, unlisted_max: *unlisted_max }
}

/// With two decimals.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
