//! `[dependencies.NAME]` and `[degradation]` of the effective settings.

use serde_json::json;

use super::{Page, targets::probing};
use crate::{
    settings::{Degradation, Dependency, Probe, Upstream, Watched},
    units::show_duration,
};

pub(super) fn dependency(page: &mut Page<'_>, one: &Dependency, upstreams: &[Upstream]) {
    let Dependency { name, watched, on_failure } = one;
    page.section(&format!("[dependencies.{name}]"), &format!("dependencies.{name}"));
    match watched {
        Watched::Probe(Probe { url, latency_max, probing: how }) => {
            page.secret("probe", "probe_file", &url.to_string());
            page.maybe("latency_max", latency_max.map(|latency| json!(show_duration(latency))));
            probing(page, how);
        }
        Watched::Breaker(position) => {
            page.key("upstream", json!(upstreams.get(*position).map_or("", |upstream| upstream.name.as_str())));
        }
    }
    page.key("on_failure", json!(on_failure.as_str()));
}

pub(super) fn degradation(page: &mut Page<'_>, one: &Degradation) {
    let Degradation { leave, retry_after, header, page: file } = one;
    page.section("[degradation]", "degradation");
    page.duration("leave", *leave);
    page.duration("retry_after", *retry_after);
    page.key("header", json!(header));
    page.maybe("page", file.as_ref().map(|path| json!(path.to_string_lossy())));
}
