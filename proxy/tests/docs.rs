//! The documentation names what the code says, all of it and nothing else.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use synaxis_proxy::{
    admin,
    pipeline::local_reply::REASONS,
    telemetry::{
        cache::CacheResult,
        metrics::Metrics,
        top::{self, Minute},
        upstream::{Kind, UpstreamMetrics},
    },
};

fn read(inside: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(inside)).unwrap()
}

/// The names in backticks in the first column of every table below a heading, up to the next one.
fn named(document: &str, heading: &str) -> BTreeSet<String> {
    let section = document.split_once(heading).unwrap_or_else(|| panic!("no {heading:?}")).1;
    let rows = section.lines().skip(1).take_while(|line| !line.starts_with('#')).filter(|line| line.starts_with('|'));
    let first_cells = rows.filter_map(|row| row.split('|').nth(1));
    first_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// Every string that follows `before` in a source file.
fn quoted(source: &str, before: &str) -> BTreeSet<String> {
    source
        .split(before)
        .skip(1)
        .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_reason_token_is_explained() {
    let document = read("docs/reasons.md");
    assert_eq!(named(&document, "## Answers to requests"), REASONS.map(str::to_owned).into());
    let sanity = read("routing/src/sanity.rs");
    let refusals = sanity.split_once("fn reason(").unwrap().1.split_once("\n    }\n").unwrap().0;
    let mut tokens = quoted(refusals, "=> ");
    assert!(tokens.len() > 20, "{tokens:?}");
    tokens.extend(quoted(&read("proxy/src/control/routing_table.rs"), "self.refuse("));
    assert_eq!(named(&document, "## Refused routing tables"), tokens);
}

#[test]
fn every_refusal_of_the_admin_listener_is_explained() {
    assert_eq!(named(&read("docs/admin.md"), "## Refusals"), admin::REASONS.map(str::to_owned).into());
}

#[test]
fn every_status_is_the_one_that_is_sent() {
    let document = read("docs/reasons.md");
    let source = read("proxy/src/pipeline/local_reply.rs");
    let shapes = source.split_once("pub fn shape(").unwrap().1.split_once("\n    }\n").unwrap().0;
    for reason in REASONS {
        let before = shapes.split_once(&format!("\"{reason}\"")).unwrap_or_else(|| panic!("{reason} has no shape")).0;
        let name = before.rsplit_once("StatusCode::").map(|(_, name)| name.trim_end_matches([',', ' ']));
        let arm = before.rsplit_once("            Self::").unwrap().1;
        let status = match arm.split_once("=>").unwrap().1.trim() {
            words if words.ends_with("unavailable(") || words.contains("match denied") => 503,
            _ => match name.unwrap() {
                "BAD_REQUEST" => 400,
                "NOT_FOUND" => 404,
                "METHOD_NOT_ALLOWED" => 405,
                "TOO_MANY_REQUESTS" => 429,
                "PAYLOAD_TOO_LARGE" => 413,
                "URI_TOO_LONG" => 414,
                "REQUEST_TIMEOUT" => 408,
                "EXPECTATION_FAILED" => 417,
                "MISDIRECTED_REQUEST" => 421,
                "REQUEST_HEADER_FIELDS_TOO_LARGE" => 431,
                "NOT_IMPLEMENTED" => 501,
                "BAD_GATEWAY" => 502,
                "GATEWAY_TIMEOUT" => 504,
                "LOOP_DETECTED" => 508,
                other => panic!("{other}: {reason}"),
            },
        };
        let row = document.lines().find(|line| line.starts_with(&format!("| `{reason}` "))).unwrap();
        assert_eq!(row.split('|').nth(2).unwrap().trim(), status.to_string(), "{reason}");
    }
}

#[test]
fn every_metric_is_listed() {
    let metrics = Metrics::new().unwrap();
    metrics.local_reply("no_stamp").increment(1);
    let _ = UpstreamMetrics::new(&metrics, Kind::App, "app");
    let _ = metrics.limit_counter("tenant", "allowed");
    let _ = metrics.cache_counter("pages", CacheResult::Hit);
    metrics.limit_overshoot("tenant").set(0.0);
    metrics.ratelimit.wait.record(0.001);
    metrics.table_refused("stale");
    metrics.admin_refused("unknown");
    metrics.server_duration.record(0.1);
    metrics.client_duration.record(0.1);
    let minute = Minute { window: Duration::from_secs(60), ..Minute::default() };
    let exposition = metrics.render() + &top::exposition(&minute, 1);
    let types = exposition.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let exposed: BTreeSet<String> = types.map(str::to_owned).collect();
    assert_eq!(named(&read("docs/metrics.md"), "# Metrics"), exposed);
}
