//! The quotas of a limit: one, or one for each tier.
//!
//! Invariant: a burst is judged with its quota, and a fault of it stands where it is written.

use serde_json::json;
use synaxis_ratelimit::quota::{InvalidQuota, Quota, REQUESTS_MAX};
use toml::Spanned;

use super::TIERS_MAX;
use crate::{
    fault::Span,
    section::{Entry, OneOrNamed, Section},
    units::{QUOTA, UNLIMITED},
    value::{Reader, count, text_shown},
};

/// As written.
pub(crate) enum Quotas {
    /// The same for everybody.
    Same(Quota),
    /// One each for tiers of these names, and where the table stands. The inner `None` is any number; a quota with a fault of
    /// its own is left out.
    PerTier(Span, Vec<(Spanned<String>, Option<Option<Quota>>)>),
}

/// `None`: not written, or noted.
pub(super) fn quotas(s: &mut Section<'_>, [key, burst_key]: [&'static str; 2]) -> Option<Quotas> {
    let inner = json!({
        "type": "object",
        "properties": { "quota": one().schema(), "burst": burst().schema() },
        "required": ["quota"],
        "additionalProperties": false,
    });
    match s.one_or_named(key, TIERS_MAX, &one(), &quota_or_unlimited(), &inner) {
        Some(OneOrNamed::Named(span, entries)) => {
            s.refuse(
                burst_key,
                "where each tier has its quota, its burst stands beside that: starter = { quota = \"100/min\", burst = 10 }",
            );
            let entry = |(name, entry)| match entry {
                Entry::Value(quota) => (name, Some(quota)),
                Entry::Section(section) => (name, section.read(of_tier).map(Some)),
                Entry::Faulty => (name, None),
            };
            Some(Quotas::PerTier(span, entries.into_iter().map(entry).collect()))
        }
        quota => {
            let burst = s.optional(burst_key, burst());
            let Some(OneOrNamed::One(quota)) = quota else { return None };
            with_burst(s, [burst_key, key], quota.into_inner(), burst).map(Quotas::Same)
        }
    }
}

/// `{ quota = "100/min", burst = 10 }`.
fn of_tier(s: &mut Section<'_>) -> Option<Quota> {
    let quota = s.required("quota", "quota = \"100/min\"", one());
    let burst = s.optional("burst", burst());
    with_burst(s, ["burst", "quota"], quota?.into_inner(), burst)
}

/// A quota with the burst that is written beside it.
pub(super) fn with_burst(s: &Section<'_>, keys: [&str; 2], quota: Quota, burst: Option<Spanned<u32>>) -> Option<Quota> {
    let Some(burst) = burst else { return Some(quota) };
    match Quota::new(quota.requests(), quota.window(), Some(*burst.get_ref())) {
        Ok(quota) => Some(quota),
        Err(impossible) => {
            s.clash(keys, &burst.span(), &impossible.to_string());
            None
        }
    }
}

fn one() -> Reader<Quota> {
    text_shown(Quota::parse_plain, Quota::plain).like(QUOTA)
}

pub(super) fn quota_or_unlimited() -> Reader<Option<Quota>> {
    let read = |written: &str| match written {
        UNLIMITED => Ok(None),
        _ => Quota::parse_plain(written).map(Some).map_err(|wrong| match wrong {
            InvalidQuota::Form => format!("{wrong}; or \"{UNLIMITED}\""),
            other => other.to_string(),
        }),
    };
    let show = |quota: &Option<Quota>| quota.as_ref().map_or_else(|| UNLIMITED.to_owned(), Quota::plain);
    text_shown(read, show).like(&format!("{QUOTA}|^{UNLIMITED}$"))
}

pub(super) fn burst() -> Reader<u32> {
    count(1..=REQUESTS_MAX)
}
