//! `[cache]` and `[cache.classes.NAME]`: which answers are kept.

use std::time::Duration;

use toml::Spanned;

use super::{HOUR, MILLISECOND, name, routing::key_prefix};
use crate::{
    fault::Span,
    section::Section,
    settings::{Cache, CacheAuthorization, CacheClass, CachePreset, CacheStore, Secret, StoreUrl},
    value::{choice, count, duration, flag, share_above_zero, size, text, text_shown},
};

/// Most classes.
const CLASSES_MAX: usize = 16;
/// Most answers of one class.
const ENTRIES_MAX: usize = 100_000_000;
/// Most bytes of kept answers.
const MEMORY: std::ops::RangeInclusive<u64> = 1 << 20..=1 << 40;
/// Largest answer that is written to the store.
const VALUE_BYTES: std::ops::RangeInclusive<u64> = 1 << 10..=16 << 20;
/// Most answers that wait to be written to it, and bytes of them.
const QUEUE_MAX: std::ops::RangeInclusive<usize> = 1..=1_000_000;
const QUEUE_BYTES: std::ops::RangeInclusive<u64> = 1 << 20..=1 << 30;
/// Largest answer that is kept.
const BODY_BYTES_MAX: u64 = 64 << 20;
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// `[cache]` as written.
pub(crate) struct CacheRead {
    /// With its classes in the order of the file.
    pub(crate) cache: Cache,
    /// In the same order.
    pub(crate) places: Vec<Places>,
    /// Where the store is named.
    pub(crate) store_url: Option<Span>,
}

/// Where a class says what is judged beside other sections.
pub(crate) struct Places {
    /// Its name.
    pub(crate) name: Span,
    /// That it is per user, if that is written.
    pub(crate) per_user: Option<Span>,
    /// How long it is fresh in the store, if that is written.
    pub(crate) store_ttl: Option<Span>,
}

pub(super) fn cache(section: Section<'_>) -> CacheRead {
    section.read(|s| {
        let store = s.section("store");
        let has_store = store.is_written();
        let (store, store_url) = self::store(store).unzip();
        let classes: Vec<_> = s
            .named("classes", CLASSES_MAX)
            .unwrap_or_default()
            .into_iter()
            .map(|(written, section)| class(written, section, has_store))
            .collect();
        let (classes, places): (Vec<_>, Vec<_>) = classes.into_iter().unzip();
        let memory = s.or("memory", 256 << 20, size(MEMORY));
        let cache = Cache {
            memory,
            tenant_share: s.or("tenant_share", 0.25, share_above_zero()),
            collapse_wait: s.or("collapse_wait", 5 * SECOND, duration(MILLISECOND..=HOUR)),
            uncacheable: s.or("uncacheable", 60 * SECOND, duration(SECOND..=HOUR)),
            status: s.or("status", true, flag()),
            default_no_store: s.or("default_no_store", false, flag()),
            classes,
            store,
        };
        let most = memory / 4;
        for (class, places) in cache.classes.iter().zip(&places) {
            if class.body_bytes > most {
                s.fault(
                    &places.name,
                    format!(
                        "`body_bytes` in [cache.classes.NAME]: one answer must not take more than a quarter of `memory` in \
                         [cache]; write at most {}",
                        crate::units::show_size(most)
                    ),
                );
            }
        }
        CacheRead { cache, places, store_url }
    })
}

/// `None`: the section is not written, or faulty, which was noted.
fn store(section: Section<'_>) -> Option<(CacheStore, Span)> {
    section.if_written()?.read(|s| {
        let example = "url = \"redis://127.0.0.1:6379/3\"";
        let url = s.required_secret(["url", "url_file"], example, text(StoreUrl::parse_server));
        let key_prefix = s.or("key_prefix", "synaxis".to_owned(), text(key_prefix));
        let key = s.secret(["key", "key_file"], text_shown(Secret::key, |_| String::new()));
        let deadline = s.or("deadline", 5 * MILLISECOND, duration(MILLISECOND..=SECOND));
        let value_bytes = s.or("value_bytes", 1 << 20, size(VALUE_BYTES));
        let queue_max = s.or("queue_max", 4_096, count(QUEUE_MAX));
        let queue_bytes = s.or("queue_bytes", 32 << 20, size(QUEUE_BYTES));
        let (url, key) = (url?, key.map(Spanned::into_inner));
        let at = url.span();
        let url = url.into_inner();
        Some((CacheStore { url, key_prefix, key, deadline, value_bytes, queue_max, queue_bytes }, at))
    })
}

/// Each key that is written overrides the preset.
fn class(written: Spanned<String>, section: Section<'_>, has_store: bool) -> (CacheClass, Places) {
    let presets = CachePreset::ALL.map(|preset| (preset.as_str(), preset));
    let choices = CacheAuthorization::ALL.map(|choice| (choice.as_str(), choice));
    section.read(|s| {
        if let Err(wrong) = name(written.get_ref()) {
            s.fault(&written.span(), format!("[cache.classes.NAME]: {wrong}"));
        }
        let name_at = written.span();
        let preset = s.or("preset", CachePreset::Default, choice(&presets)).class(written.into_inner());
        let is_default = preset.preset == CachePreset::Default;
        let is_written = s.has("ttl");
        let ttl = s.or("ttl", preset.ttl, duration(SECOND..=DAY));
        // who writes one of both means it of the other as well
        let unless_written = if is_written { ttl } else { preset.store_ttl };
        let store_ttl = s.optional("store_ttl", duration(Duration::ZERO..=DAY));
        if let Some(shorter) = store_ttl.as_ref().filter(|store| !store.get_ref().is_zero() && *store.get_ref() < ttl) {
            let cure = "nothing is stale in the store before it is in a process; write at least `ttl`, or 0s to put nothing there";
            s.clash(["store_ttl", "ttl"], &shorter.span(), cure);
        }
        let store_ttl_at = store_ttl.as_ref().map(Spanned::span);
        let store_ttl = store_ttl.map_or(unless_written, Spanned::into_inner);
        let longest = if has_store { ttl.max(store_ttl) } else { ttl };
        let default_ttl = s.optional("default_ttl", duration(SECOND..=DAY));
        if let Some(longer) = default_ttl.as_ref().filter(|default| *default.get_ref() > longest) {
            s.clash(["default_ttl", "ttl"], &longer.span(), "nothing is fresh for longer than `ttl`; write less");
        }
        let authorization = s.spanned_or("authorization", preset.authorization, choice(&choices));
        let per_user = (*authorization.get_ref() == CacheAuthorization::PerUser).then(|| authorization.span());
        let class = CacheClass {
            ttl,
            store_ttl,
            // a class of a preset is made for apps that do not say it
            default_ttl: default_ttl.map(Spanned::into_inner).or((!is_default).then_some(longest)),
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
        (class, Places { name: name_at, per_user, store_ttl: store_ttl_at })
    })
}
