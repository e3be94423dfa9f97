//! `health_check` and `outliers`: who is asked, and whose answers are watched.

use std::time::Duration;

use super::{HOUR, MILLISECOND};
use crate::{
    section::Section,
    settings::{HealthCheck, Outliers, Probing, probe_path},
    value::{count, duration, text},
};

/// Most answers in a row that are asked for before a target is believed to be well or not.
const IN_A_ROW_MAX: u32 = 1000;
/// Most errors in a row that eject an endpoint.
const FAILURES_MAX: u32 = 100_000;

/// How often a probe is sent and how long it may take, unless written.
pub(super) struct Pace {
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
}

/// Of apps and peers.
pub(super) const HEALTH_CHECK: Pace = Pace { interval: Duration::from_secs(30), timeout: Duration::from_secs(10) };

/// `None`: the section is not written, or its path is faulty, which was noted.
pub(super) fn health_check(section: Section<'_>) -> Option<HealthCheck> {
    section.if_written()?.read(|s| {
        let path = s.required("path", "path = \"/health\"", text(probe_path));
        let probing = probing(s, &HEALTH_CHECK);
        Some(HealthCheck { path: path?.into_inner(), probing })
    })
}

/// The keys of a section that say how often something is asked.
pub(super) fn probing(s: &mut Section<'_>, default: &Pace) -> Probing {
    let interval = s.or("interval", default.interval, duration(MILLISECOND..=HOUR));
    let timeout = s.spanned_or("timeout", default.timeout.min(interval), duration(MILLISECOND..=HOUR));
    if *timeout.get_ref() > interval {
        s.clash(
            ["timeout", "interval"],
            &timeout.span(),
            "it cannot exceed `interval`, or probes would pile up; write less, or a longer `interval`",
        );
    }
    Probing {
        interval,
        timeout: timeout.into_inner(),
        healthy: s.or("healthy", 2, count(1..=IN_A_ROW_MAX)),
        unhealthy: s.or("unhealthy", 3, count(1..=IN_A_ROW_MAX)),
    }
}

pub(super) fn outliers(section: Section<'_>) -> Outliers {
    let seconds = Duration::from_secs;
    section.read(|s| {
        let ejection = s.or("ejection", seconds(30), duration(MILLISECOND..=HOUR));
        let longest = s.spanned_or("ejection_max", seconds(300).max(ejection), duration(MILLISECOND..=HOUR));
        if *longest.get_ref() < ejection {
            s.clash(["ejection_max", "ejection"], &longest.span(), "it cannot be less than `ejection`; write more");
        }
        Outliers {
            failures: s.or("failures", 5, count(1..=FAILURES_MAX)),
            window: s.or("window", seconds(10), duration(MILLISECOND..=HOUR)),
            ejection,
            ejection_max: longest.into_inner(),
        }
    })
}
