//! `[tiers.NAME]`, `[[rate_limits]]`, `[rate_limiting]` and `[limits_store]`: how many requests somebody may make.

use std::time::Duration;

use synaxis_ratelimit::quota::Quota;
use toml::Spanned;

use self::quotas::{burst, quota_or_unlimited, quotas, with_burst};
use super::{MILLISECOND, NAME, headers, name, routing::key_prefix};
use crate::{
    fault::Span,
    section::Section,
    settings::{
        LimitFields, LimitKey, LimitMode, OnStoreFailure, RateLimiting, StoreUrl, TENANT_LIMIT, TOP_TENANTS_MAX,
    },
    suggest,
    value::{Wrong, choice, count, duration, flag, text},
};

mod quotas;

pub(crate) use quotas::Quotas;

/// Most tiers.
const TIERS_MAX: usize = 16;
/// Most limits.
const LIMITS_MAX: usize = 32;
/// Most parts of the key of one limit.
const KEYS_MAX: usize = 4;
/// Most buckets in memory, of some 100 bytes each.
const BUCKETS_MAX: usize = 20_000_000;
/// Fewer than this, and hardly anybody would have one of his own.
const BUCKETS_LEAST: usize = 1024;
/// Most processes that share one store: each gets its part of a quota when the store is away.
const PROCESSES_MAX: u32 = 64;
/// Most refusals that are remembered.
const DENIES_MAX: usize = 1_000_000;

/// One of `[tiers.NAME]` as written.
pub(crate) struct Tier {
    pub(crate) name: Spanned<String>,
    /// `Some(None)`: any number.
    pub(crate) requests: Option<Option<Quota>>,
}

/// One of `[[rate_limits]]` as written.
pub(crate) struct RateLimit {
    pub(crate) name: Option<Spanned<String>>,
    pub(crate) key: Option<Vec<Spanned<LimitKey>>>,
    pub(crate) quota: Option<Quotas>,
    pub(crate) candidate: Option<Quotas>,
    pub(crate) mode: LimitMode,
    pub(crate) scope: ScopeRead,
    /// `None`: not written, or noted.
    pub(crate) on_store_failure: Option<Spanned<OnStoreFailure>>,
}

/// Who counts: a faulty word must not count as none.
pub(crate) enum ScopeRead {
    /// It follows from the store and the key.
    Open,
    Local,
    /// And where that is written.
    Fleet(Span),
    Faulty,
}

/// `[limits_store]` as written.
pub(crate) struct LimitsStore {
    pub(crate) span: Span,
    pub(crate) url: Option<Spanned<StoreUrl>>,
    pub(crate) key_prefix: String,
    pub(crate) processes_max: u32,
    pub(crate) deadline: Duration,
    pub(crate) denies_max: usize,
}

/// `None`: something else stands in their place, which was noted.
pub(super) fn tiers(file: &mut Section<'_>) -> Option<Vec<Tier>> {
    let is_written = file.has("tiers");
    let sections = file.named("tiers", TIERS_MAX);
    match sections {
        None => (!is_written).then(Vec::new),
        Some(sections) => Some(sections.into_iter().map(|(name, section)| tier(name, section)).collect()),
    }
}

fn tier(written: Spanned<String>, section: Section<'_>) -> Tier {
    section.read(|s| {
        if let Err(wrong) = name(written.get_ref()) {
            s.fault(&written.span(), format!("[tiers.NAME]: {wrong}"));
        }
        let requests = s.required("requests", "requests = \"500/min\"", quota_or_unlimited());
        let burst = s.optional("burst", burst());
        let requests = match (requests.map(Spanned::into_inner), burst) {
            (Some(Some(quota)), burst) => with_burst(s, ["burst", "requests"], quota, burst).map(Some),
            (Some(None), Some(burst)) => {
                s.clash(["burst", "requests"], &burst.span(), "nothing is limited here; leave it out");
                None
            }
            (other, _) => other,
        };
        Tier { name: written, requests }
    })
}

/// `None`: something else stands in their place, which was noted.
pub(super) fn rate_limits(file: &mut Section<'_>) -> Option<Vec<RateLimit>> {
    let is_written = file.has("rate_limits");
    match file.sections("rate_limits", LIMITS_MAX) {
        None => (!is_written).then(Vec::new),
        Some(sections) => Some(sections.into_iter().map(rate_limit).collect()),
    }
}

fn rate_limit(section: Section<'_>) -> RateLimit {
    let modes = LimitMode::ALL.map(|mode| (mode.as_str(), mode));
    let failures = OnStoreFailure::ALL.map(|choice| (choice.as_str(), choice));
    section.read(|s| RateLimit {
        name: s.required("name", "name = \"per-user\"", text(limit_name).like(NAME)),
        key: key(s),
        quota: {
            if !s.has("quota") {
                s.missing("quota", "quota = \"500/min\"");
            }
            quotas(s, ["quota", "burst"])
        },
        candidate: {
            if !s.has("candidate") {
                s.refuse("candidate_burst", "it belongs to a `candidate`; write one, or leave this out");
            }
            quotas(s, ["candidate", "candidate_burst"])
        },
        mode: s.or("mode", LimitMode::Enforce, choice(&modes)),
        scope: scope(s),
        on_store_failure: {
            let read = s.spanned_or("on_store_failure", OnStoreFailure::Share, choice(&failures));
            // a default stands where its section does
            (read.span() != s.span()).then_some(read)
        },
    })
}

fn scope(s: &mut Section<'_>) -> ScopeRead {
    let is_written = s.has("scope");
    match s.optional("scope", choice(&[("local", false), ("fleet", true)])) {
        Some(is_fleet) if *is_fleet.get_ref() => ScopeRead::Fleet(is_fleet.span()),
        Some(_) => ScopeRead::Local,
        None if is_written => ScopeRead::Faulty,
        None => ScopeRead::Open,
    }
}

fn limit_name(written: &str) -> Result<String, Wrong> {
    match written {
        TENANT_LIMIT => Err("`tenant` is the limit of [tiers.NAME]; call this one otherwise".to_owned()),
        _ => Ok(name(written)?),
    }
}

fn key(s: &mut Section<'_>) -> Option<Vec<Spanned<LimitKey>>> {
    if !s.has("key") {
        s.missing("key", "key = [\"tenant\", \"user\"]");
    }
    let written = s.list("key", 1..=KEYS_MAX, text(key_part).like("^(tenant|user|route|client_ip|header:.+)$"))?;
    for (position, part) in written.iter().enumerate() {
        if written.iter().take(position).any(|above| above.get_ref() == part.get_ref()) {
            s.fault(&part.span(), "`key` in [[rate_limits]]: this is listed twice");
        }
    }
    Some(written)
}

fn key_part(written: &str) -> Result<LimitKey, Wrong> {
    const KNOWN: &str = "\"tenant\", \"user\", \"route\", \"client_ip\" and \"header:NAME\"";
    let words = [LimitKey::Tenant, LimitKey::User, LimitKey::Route, LimitKey::ClientIp];
    if let Some(name) = written.strip_prefix("header:") {
        return headers::editable(name).map(LimitKey::Header);
    }
    let shown = words.each_ref().map(ToString::to_string);
    let found = words.into_iter().find(|word| word.to_string() == written);
    found.ok_or_else(|| match suggest::nearest(written, shown.iter().map(String::as_str)) {
        Some(meant) => format!("no such part of a key; did you mean \"{meant}\"?"),
        None => format!("no such part of a key; there are {KNOWN}"),
    })
}

pub(super) fn rate_limiting(section: Section<'_>) -> RateLimiting {
    let fields = LimitFields::ALL.map(|choice| (choice.as_str(), choice));
    section.read(|s| {
        let keys_max = s.or("keys_max", 1_000_000, count(BUCKETS_LEAST..=BUCKETS_MAX));
        let most = u32::try_from(keys_max).unwrap_or(u32::MAX);
        let tenant_keys = s.spanned_or("tenant_keys_max", 20_000.min(most), count(1..=BUCKETS_MAX as u32));
        if *tenant_keys.get_ref() > most {
            s.clash(
                ["tenant_keys_max", "keys_max"],
                &tenant_keys.span(),
                "one tenant cannot have more than all of them; write less, or a larger `keys_max`",
            );
        }
        RateLimiting {
            keys_max,
            tenant_keys_max: tenant_keys.into_inner(),
            headers: s.or("headers", LimitFields::None, choice(&fields)),
            legacy_headers: s.or("legacy_headers", false, flag()),
            top_tenants: s.or("top_tenants", 10, count(0..=TOP_TENANTS_MAX)),
        }
    })
}

/// `None`: the section is not written.
pub(super) fn limits_store(section: Section<'_>) -> Option<LimitsStore> {
    let section = section.if_written()?;
    let store = section.read(|s| LimitsStore {
        span: s.span(),
        url: s.required_secret(["url", "url_file"], "url = \"redis://127.0.0.1:6379/2\"", text(StoreUrl::parse_server)),
        key_prefix: s.or("key_prefix", "synaxis".to_owned(), text(key_prefix)),
        processes_max: s.or("processes_max", 8, count(1..=PROCESSES_MAX)),
        deadline: s.or("deadline", 5 * MILLISECOND, duration(MILLISECOND..=50 * MILLISECOND)),
        denies_max: s.or("denies_max", 10_000, count(0..=DENIES_MAX)),
    });
    Some(store)
}
