//! `[dependencies.NAME]` and `[degradation]`: what the apps lean on, and what follows when that fails.

use std::time::Duration;

use toml::Spanned;

use super::{
    HOUR, MILLISECOND,
    health::{Pace, probing},
    name, path_reader,
};
use crate::{
    section::Section,
    settings::{Degradation, DegradationLevel, ProbeUrl, Probing},
    value::{choice, duration, flag, text},
};

/// Most dependencies.
const DEPENDENCIES_MAX: usize = 64;

/// Of dependencies.
const PACE: Pace = Pace { interval: Duration::from_secs(5), timeout: Duration::from_secs(1) };

/// What a breaker has no use for.
const OF_A_PROBE: [&str; 5] = ["latency_max", "interval", "timeout", "healthy", "unhealthy"];

/// One of `[dependencies.NAME]` as written.
pub(crate) struct Dependency {
    pub(crate) name: Spanned<String>,
    pub(crate) probe: Option<Spanned<ProbeUrl>>,
    pub(crate) upstream: Option<Spanned<String>>,
    pub(crate) latency_max: Option<Duration>,
    pub(crate) probing: Probing,
    pub(crate) on_failure: Option<Spanned<DegradationLevel>>,
}

/// Empty as well when something else stands in their place, which was noted.
pub(super) fn dependencies(file: &mut Section<'_>) -> Vec<Dependency> {
    let sections = file.named("dependencies", DEPENDENCIES_MAX).unwrap_or_default();
    sections.into_iter().map(|(name, section)| dependency(name, section)).collect()
}

fn dependency(written: Spanned<String>, section: Section<'_>) -> Dependency {
    let levels = DegradationLevel::ALL.map(|level| (level.as_str(), level));
    section.read(|s| {
        if let Err(wrong) = name(written.get_ref()) {
            s.fault(&written.span(), format!("[dependencies.NAME]: {wrong}"));
        }
        s.one_of(&["probe", "probe_file", "upstream"], "probe = \"tcp://127.0.0.1:5432\"");
        let has_probe = s.has("probe") || s.has("probe_file");
        if s.has("upstream") && !has_probe {
            for key in OF_A_PROBE {
                s.refuse(key, "it belongs to a `probe`; the breaker of an upstream is judged by its requests");
            }
        }
        let probe = s.secret(["probe", "probe_file"], text(ProbeUrl::parse));
        let upstream = s.optional("upstream", text(|written| Ok::<_, String>(written.to_owned())));
        if let Some(upstream) = upstream.as_ref().filter(|_| has_probe) {
            s.clash(["upstream", "probe"], &upstream.span(), "it stands instead of a `probe`; write one of both");
        }
        let probing = probing(s, &PACE);
        let latency_max = s.optional("latency_max", duration(MILLISECOND..=HOUR));
        if let Some(latency) = latency_max.as_ref().filter(|latency| *latency.get_ref() > probing.timeout) {
            s.clash(
                ["latency_max", "timeout"],
                &latency.span(),
                "no answer is waited for longer than `timeout`; write less, or a longer `timeout`",
            );
        }
        Dependency {
            name: written,
            probe,
            upstream,
            latency_max: latency_max.map(Spanned::into_inner),
            probing,
            on_failure: s.required("on_failure", "on_failure = \"read-only\"", choice(&levels)),
        }
    })
}

pub(super) fn degradation(section: Section<'_>) -> Degradation {
    let seconds = Duration::from_secs;
    section.read(|s| Degradation {
        leave: s.or("leave", seconds(10), duration(Duration::ZERO..=HOUR)),
        retry_after: s.or("retry_after", seconds(30), duration(MILLISECOND..=HOUR)),
        header: s.or("header", false, flag()),
        page: s.optional("page", path_reader()).map(Spanned::into_inner),
    })
}
