//! Dependencies against upstreams: each watches something that is there.

use toml::Spanned;

use super::{routes::unknown_upstream, title};
use crate::{
    fault::Findings,
    settings::{DegradationLevel, Dependency, Probe, Watched},
    written::{self, Upstream},
};

/// `None` only when something was noted. Without upstreams, which was noted too, none of them is judged.
pub(super) fn settle(
    dependencies: Vec<written::Dependency>,
    upstreams: Option<&[Upstream]>,
    findings: &Findings,
) -> Option<Vec<Dependency>> {
    let upstreams = upstreams?;
    // every one is judged before the first faulty one ends it
    let settled: Vec<_> = dependencies.into_iter().map(|one| dependency(one, upstreams, findings)).collect();
    settled.into_iter().collect()
}

fn dependency(written: written::Dependency, upstreams: &[Upstream], findings: &Findings) -> Option<Dependency> {
    let section = title("dependencies", &written.name);
    let breaker = written.upstream.and_then(|name| {
        let position = upstreams.iter().position(|upstream| upstream.name.get_ref() == name.get_ref());
        if position.is_none() {
            findings.fault(&name.span(), unknown_upstream(&section, name.get_ref(), upstreams));
        }
        position
    });
    warn_of_maintenance(written.on_failure.as_ref(), written.probe.is_some(), &section, findings);
    let (latency_max, probing) = (written.latency_max, written.probing);
    let watched = match (written.probe, breaker) {
        (Some(url), None) => Watched::Probe(Probe { url: url.into_inner(), latency_max, probing }),
        (None, Some(position)) => Watched::Breaker(position),
        _ => return None,
    };
    Some(Dependency { name: written.name.into_inner(), watched, on_failure: written.on_failure?.into_inner() })
}

fn warn_of_maintenance(level: Option<&Spanned<DegradationLevel>>, is_probe: bool, section: &str, findings: &Findings) {
    let Some(level) = level.filter(|level| *level.get_ref() == DegradationLevel::Maintenance) else { return };
    let failing = if is_probe { "one probe that fails" } else { "one breaker that opens" };
    let message = format!(
        "`on_failure` in {section}: {failing} makes this stamp refuse every request; write \"read-only\" if anything can be \
         served without it, and leave maintenance to operators"
    );
    findings.warn(&level.span(), message);
}
