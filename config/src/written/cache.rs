//! `[cache]` and `[cache.classes.NAME]`: which answers are kept.

use std::time::Duration;

use toml::Spanned;

use super::{HOUR, MILLISECOND, name, routing::key_prefix};
use crate::{
    fault::Span,
    section::Section,
    settings::{Cache, CacheAuthorization, CacheClass, CachePreset, CacheStore, StoreUrl},
    value::{choice, count, duration, flag, share_above_zero, size, text},
};

/// Most classes.
const CLASSES_MAX: usize = 16;
/// Most answers of one class.
const ENTRIES_MAX: usize = 100_000_000;
/// Most bytes of kept answers.
const MEMORY: std::ops::RangeInclusive<u64> = 1 << 20..=1 << 40;
/// Largest answer that is kept.
const BODY_BYTES_MAX: u64 = 64 << 20;
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// `[cache]` as written.
pub(crate) struct CacheRead {
    /// With its classes in the order of the file.
    pub(crate) cache: Cache,
    /// Where the name of each class stands, in the same order, and where it says that it is per user, if it does.
    pub(crate) places: Vec<(Span, Option<Span>)>,
}

pub(super) fn cache(section: Section<'_>) -> CacheRead {
    section.read(|s| {
        let classes: Vec<_> = s
            .named("classes", CLASSES_MAX)
            .unwrap_or_default()
            .into_iter()
            .map(|(written, section)| class(written, section))
            .collect();
        let places: Vec<(Span, Option<Span>)> = classes.iter().map(|(_, place)| place.clone()).collect();
        let store = store(s.section("store"));
        let memory = s.or("memory", 256 << 20, size(MEMORY));
        let cache = Cache {
            memory,
            tenant_share: s.or("tenant_share", 0.25, share_above_zero()),
            collapse_wait: s.or("collapse_wait", 5 * SECOND, duration(MILLISECOND..=HOUR)),
            uncacheable: s.or("uncacheable", 60 * SECOND, duration(SECOND..=HOUR)),
            status: s.or("status", true, flag()),
            default_no_store: s.or("default_no_store", false, flag()),
            classes: classes.into_iter().map(|(class, _)| class).collect(),
            store,
        };
        let most = memory / 4;
        for (class, (at, _)) in cache.classes.iter().zip(&places) {
            if class.body_bytes > most {
                s.fault(
                    at,
                    format!(
                        "`body_bytes` in [cache.classes.NAME]: one answer must not take more than a quarter of `memory` in \
                         [cache]; write at most {}",
                        crate::units::show_size(most)
                    ),
                );
            }
        }
        CacheRead { cache, places }
    })
}

/// `None`: the section is not written, or faulty, which was noted.
fn store(section: Section<'_>) -> Option<CacheStore> {
    section.if_written()?.read(|s| {
        let example = "url = \"redis://127.0.0.1:6379/3\"";
        let url = s.required_secret(["url", "url_file"], example, text(StoreUrl::parse_server));
        let key_prefix = s.or("key_prefix", "synaxis".to_owned(), text(key_prefix));
        Some(CacheStore { url: url?.into_inner(), key_prefix })
    })
}

/// Each key that is written overrides the preset.
fn class(written: Spanned<String>, section: Section<'_>) -> (CacheClass, (Span, Option<Span>)) {
    let presets = CachePreset::ALL.map(|preset| (preset.as_str(), preset));
    let choices = CacheAuthorization::ALL.map(|choice| (choice.as_str(), choice));
    section.read(|s| {
        if let Err(wrong) = name(written.get_ref()) {
            s.fault(&written.span(), format!("[cache.classes.NAME]: {wrong}"));
        }
        let at = written.span();
        let preset = s.or("preset", CachePreset::Default, choice(&presets)).class(written.into_inner());
        let is_default = preset.preset == CachePreset::Default;
        let ttl = s.or("ttl", preset.ttl, duration(SECOND..=DAY));
        let default_ttl = s.optional("default_ttl", duration(SECOND..=DAY));
        if let Some(longer) = default_ttl.as_ref().filter(|default| *default.get_ref() > ttl) {
            s.clash(["default_ttl", "ttl"], &longer.span(), "nothing is fresh for longer than `ttl`; write less");
        }
        let authorization = s.spanned_or("authorization", preset.authorization, choice(&choices));
        let per_user = (*authorization.get_ref() == CacheAuthorization::PerUser).then(|| authorization.span());
        let class = CacheClass {
            ttl,
            // a class of a preset is made for apps that do not say it
            default_ttl: default_ttl.map(Spanned::into_inner).or((!is_default).then_some(ttl)),
            heuristic: s.or("heuristic", preset.heuristic, flag()),
            stale_while_revalidate: s.or(
                "stale_while_revalidate",
                preset.stale_while_revalidate,
                duration(Duration::ZERO..=DAY),
            ),
            stale_if_error: s.or("stale_if_error", preset.stale_if_error, duration(Duration::ZERO..=DAY)),
            body_bytes: s.or("body_bytes", preset.body_bytes, size(0..=BODY_BYTES_MAX)),
            entries_max: s
                .optional("entries_max", count(1..=ENTRIES_MAX))
                .map(Spanned::into_inner)
                .or(preset.entries_max),
            authorization: authorization.into_inner(),
            request_directives: s.or("request_directives", preset.request_directives, flag()),
            ..preset
        };
        (class, (at, per_user))
    })
}
