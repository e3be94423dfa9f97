//! `breaker`, below an upstream and below `[peers]`.

use std::ops::RangeInclusive;

use http::StatusCode;

use super::{HOUR, MILLISECOND};
use crate::{
    section::Section,
    settings::{Breaker, BreakerPreset, open_max},
    value::{choice, count, duration, share},
};

/// Most failures that open a breaker.
const FAILURES_MAX: u32 = 100_000;
/// Most trial requests at a time.
const TRIALS_MAX: u32 = 1000;
/// Statuses of answers that may be failures: those of the server's own.
const STATUSES: RangeInclusive<u16> = 500..=599;

/// Each key that is written overrides the preset.
pub(super) fn breaker(section: Section<'_>) -> Breaker {
    let presets = BreakerPreset::ALL.map(|preset| (preset.as_str(), preset));
    section.read(|s| {
        let from = if s.has("open") { "open" } else { "preset" };
        let preset = s.or("preset", BreakerPreset::Default, choice(&presets)).breaker();
        let open = s.or("open", preset.open, duration(MILLISECOND..=HOUR));
        let longest = s.spanned_or("open_max", open_max(open), duration(MILLISECOND..=HOUR));
        if *longest.get_ref() < open {
            s.clash(
                ["open_max", from],
                &longest.span(),
                "it cannot be less than `open`; leave it out for ten times that",
            );
        }
        Breaker {
            preset: preset.preset,
            failures: s.or("failures", preset.failures, count(1..=FAILURES_MAX)),
            window: s.or("window", preset.window, duration(MILLISECOND..=HOUR)),
            open,
            open_max: longest.into_inner(),
            trials: s.or("trials", preset.trials, count(1..=TRIALS_MAX)),
            ratio: s.or("ratio", preset.ratio, share()),
            statuses: statuses(s, &preset.statuses),
        }
    })
}

/// In rising order, each once.
fn statuses(s: &mut Section<'_>, default: &[StatusCode]) -> Vec<StatusCode> {
    let default = default.iter().map(StatusCode::as_u16).collect();
    let mut statuses = s.list_or("statuses", 0..=STATUSES.count(), default, count(STATUSES));
    statuses.sort_unstable();
    statuses.dedup();
    statuses.into_iter().filter_map(|status| StatusCode::from_u16(status).ok()).collect()
}
