//! The only metrics with a label that comes from requests: the busiest tenants, and all others as one.
//!
//! Invariant: one series a tenant that is shown and one for the others, made anew for each scrape: who leaves the top leaves
//! no series behind.

use std::fmt::Write as _;

use super::{Minute, Row};

/// Stands for all tenants without a series of their own; no tenant can be called so.
const OTHERS: &str = "(other)";

/// What the last minute says of the first `count` tenants and of all others, as Prometheus text. Nothing before the first
/// minute is over, or if `count` is 0.
#[must_use]
pub fn exposition(minute: &Minute, count: usize) -> String {
    let seconds = minute.window.as_secs_f64();
    let mut text = String::new();
    if count == 0 || seconds <= 0.0 {
        return text;
    }
    let (requests, refused) = minute.others(count);
    let shown = || minute.rows.iter().take(count);
    let (made, help) = (shown().map(|row| (row, row.requests)), "Requests of a tenant in the last minute");
    family(&mut text, ("tenant_requests_per_second", help), made, requests, seconds);
    let (met, help) = (shown().map(|row| (row, row.refused)), "Those of them that were refused");
    family(&mut text, ("tenant_refusals_per_second", help), met, refused, seconds);
    text
}

fn family<'a>(
    text: &mut String,
    (name, help): (&str, &str),
    rows: impl Iterator<Item = (&'a Row, u64)>,
    others: u64,
    seconds: f64,
) {
    // writing into text cannot fail
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
    let rows = rows.map(|(row, count)| (row.tenant.as_str(), count));
    for (tenant, count) in rows.chain([(OTHERS, others)]) {
        // an id is letters, digits and three marks, none of which is escaped
        let _ = writeln!(text, "{name}{{tenant=\"{tenant}\"}} {}", count as f64 / seconds);
    }
    text.push('\n');
}
