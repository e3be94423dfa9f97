//! `/cache`: how much is kept; `/cache/purge`: what is not to be used any more.
//!
//! Invariant: with a store a purge is the whole stamp's, and is said to be done only when the store has it.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use http::Response;
use serde::{Deserialize, Serialize};
use synaxis_routing::{
    id::TenantId,
    purge::{Kind, Purge, Scope, Tag, Waited},
};

use super::{
    View,
    access::Refusal,
    answers::{self, Reply},
};
use crate::cache::l2::{L2, codec::DecodeError};

/// Longest wait for the other processes.
const WAIT_MAX: Duration = Duration::from_secs(30);

#[derive(Serialize)]
struct Page {
    entries: u64,
    bytes: u64,
    bytes_max: u64,
    /// Bytes of bodies that are coming.
    coming: u64,
    fetches: usize,
    evicted: u64,
    expired: u64,
    purges: Purges,
    /// Null: each process has its own.
    shared: Option<Shared>,
}

/// What the processes of the stamp share.
#[derive(Serialize)]
struct Shared {
    /// Whether nobody asks the store: it has not answered in time, or failed.
    away: bool,
    /// Workers that are connected to it.
    connections: usize,
    /// Answers that wait to be written, and their bytes.
    queued: usize,
    queued_bytes: usize,
    reads: u64,
    found: u64,
    late: u64,
    written: u64,
    dropped: u64,
    /// Records that were found and not used, by the reason.
    unreadable: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
struct Purges {
    /// Where the processes of the stamp tell each other; null: each is alone.
    store: Option<String>,
    last: String,
    /// Nothing from before it is used.
    floor: String,
    /// Purged keys, tags and prefixes that are remembered, and of how many tenants.
    held: usize,
    tenants: usize,
    /// Whether the others have not been heard for too long: only what is younger than 5 s is used.
    cut_off: bool,
    silent_ms: Option<u64>,
}

pub(super) fn show(view: &View) -> Response<Reply> {
    let cache = &view.plane.cache;
    let (counts, held, now) = (cache.store.counts(), cache.purges.held(), Instant::now());
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    answers::document(&Page {
        entries: counts.entries,
        bytes: counts.bytes,
        bytes_max: view.plane.snapshot.load().settings.cache.memory,
        coming: cache.room.taken(),
        fetches: cache.fetches.count(),
        evicted: counts.evicted,
        expired: counts.expired,
        purges: Purges {
            store: cache.purge_store.as_ref().map(|store| store.at().to_owned()),
            last: cache.purges.last().to_string(),
            floor: cache.purges.floor().to_string(),
            held: held.marks,
            tenants: held.tenants,
            cut_off: cache.purges.is_cut_off(now),
            silent_ms: cache.purges.silent_for(now).map(millis),
        },
        shared: cache.l2.as_deref().map(shared),
    })
}

fn shared(l2: &L2) -> Shared {
    let counts = l2.counts();
    let of = |count: &AtomicU64| count.load(Relaxed);
    let (queued, queued_bytes) = l2.queued();
    let unreadable = DecodeError::ALL.map(|why| (why.as_str(), counts.unreadable(why)));
    Shared {
        away: l2.is_away(),
        connections: l2.links(),
        queued,
        queued_bytes,
        reads: of(&counts.reads),
        found: of(&counts.found),
        late: of(&counts.late),
        written: of(&counts.written),
        dropped: of(&counts.dropped),
        unreadable: unreadable.into_iter().filter(|(_, count)| *count > 0).collect(),
    }
}

/// What is asked for, such as `{"scope": "key", "tenant": "acme", "host": "a.example", "path": "/x?y"}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    scope: String,
    tenant: Option<String>,
    host: Option<String>,
    path: Option<String>,
    tag: Option<String>,
    class: Option<String>,
    #[serde(default)]
    soft: bool,
    /// How long to wait for the other processes.
    wait: Option<String>,
}

/// What is said when it is done.
#[derive(Serialize)]
struct Done {
    id: String,
    /// Whether it is known that every process of the stamp has it; null: nobody was asked.
    everywhere: Option<bool>,
    /// Processes that have not said that they have it.
    missing: Vec<String>,
}

impl Wanted {
    /// The purge, and how long to wait for the others.
    fn read(&self) -> Result<(Purge, Option<Duration>), String> {
        let given = [
            ("tenant", self.tenant.is_some()),
            ("host", self.host.is_some()),
            ("path", self.path.is_some()),
            ("tag", self.tag.is_some()),
            ("class", self.class.is_some()),
        ];
        let takes = |names: &[&str]| {
            let odd = given.iter().find(|(name, is_given)| *is_given && !names.contains(name));
            odd.map_or(Ok(()), |(name, _)| Err(format!("{name}: a purge of the scope {} has none", self.scope)))
        };
        let needs = |name: &str, value: &Option<String>| value.clone().ok_or(format!("{name}: say which"));
        let tenant = || {
            let tenant = needs("tenant", &self.tenant)?;
            TenantId::parse(tenant.as_bytes()).map_err(|error| format!("tenant: {error}"))
        };
        let host = || self.host.as_ref().map(|host| host.to_ascii_lowercase().into_boxed_str());
        let scope = match self.scope.as_str() {
            "key" => {
                takes(&["tenant", "host", "path"])?;
                let authority = host().ok_or("host: say which, with its port if requests name one")?;
                Scope::Key { tenant: tenant()?, authority, path: needs("path", &self.path)?.into() }
            }
            "prefix" => {
                takes(&["tenant", "host", "path"])?;
                Scope::Prefix { tenant: tenant()?, authority: host(), path: needs("path", &self.path)?.into() }
            }
            "tenant" => {
                takes(&["tenant"])?;
                Scope::Tenant(tenant()?)
            }
            "tag" => {
                takes(&["tenant", "tag"])?;
                let tag = Tag::parse(needs("tag", &self.tag)?.as_bytes()).map_err(|error| format!("tag: {error}"))?;
                Scope::Tag { tenant: tenant()?, tag }
            }
            "class" => {
                takes(&["class"])?;
                Scope::Class(needs("class", &self.class)?.into())
            }
            "all" => {
                takes(&[])?;
                Scope::All
            }
            _ => return Err("scope: key, prefix, tenant, tag, class or all".to_owned()),
        };
        let purge = Purge { scope, kind: if self.soft { Kind::Soft } else { Kind::Hard } };
        purge.values().map_err(|error| error.to_string())?;
        let wait = match &self.wait {
            None => None,
            Some(text) => {
                let wait = synaxis_config::duration(text).map_err(|error| format!("wait: {error}"))?;
                Some(wait).filter(|wait| *wait <= WAIT_MAX).ok_or("wait: at most 30s")?.into()
            }
        };
        Ok((purge, wait))
    }
}

pub(super) async fn purge(view: &View, wanted: &Wanted) -> Result<Response<Reply>, Refusal> {
    let (purge, wait) = wanted.read().map_err(Refusal::BodyInvalid)?;
    let cache = &view.plane.cache;
    let Some(store) = &cache.purge_store else {
        let id = cache.purges.purge_alone(&purge).unwrap_or(synaxis_routing::purge::PurgeId::ZERO);
        tracing::info!(scope = ?purge.scope, kind = ?purge.kind, "an operator purged the cache of this process");
        return Ok(answers::document(&Done { id: id.to_string(), everywhere: Some(true), missing: Vec::new() }));
    };
    let away = |error: synaxis_routing::purge::StoreError| Refusal::CacheStoreAway(error.to_string());
    let id = store.purge(&purge).await.map_err(away)?;
    tracing::info!(%id, scope = ?purge.scope, kind = ?purge.kind, "an operator purged the cache of this stamp");
    let waited = match wait {
        None => return Ok(answers::document(&Done { id: id.to_string(), everywhere: None, missing: Vec::new() })),
        Some(wait) => store.wait(id, wait).await.map_err(away)?,
    };
    let everywhere = Some(waited.is_proven());
    let Waited { missing, .. } = waited;
    let missing: Vec<String> = missing.into_iter().map(|missing| missing.process).collect();
    Ok(answers::document(&Done { id: id.to_string(), everywhere, missing }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<(Purge, Option<Duration>), String> {
        let wanted: Wanted = serde_json::from_str(body).map_err(|error| error.to_string())?;
        wanted.read()
    }

    #[test]
    fn a_purge_says_what_it_covers_and_nothing_else() {
        let acme = TenantId::parse(b"acme").unwrap();
        let (authority, path): (Box<str>, Box<str>) = ("a.example".into(), "/x?y".into());
        for (body, scope) in [
            (
                r#"{"scope":"key","tenant":"acme","host":"A.example","path":"/x?y"}"#,
                Scope::Key { tenant: acme, authority, path: path.clone() },
            ),
            (
                r#"{"scope":"prefix","tenant":"acme","path":"/x?y"}"#,
                Scope::Prefix { tenant: acme, authority: None, path },
            ),
            (r#"{"scope":"tenant","tenant":"acme"}"#, Scope::Tenant(acme)),
            (r#"{"scope":"class","class":"pages"}"#, Scope::Class("pages".into())),
            (r#"{"scope":"all"}"#, Scope::All),
        ] {
            assert_eq!(read(body), Ok((Purge::hard(scope), None)), "{body}");
        }
        let (soft, wait) = read(r#"{"scope":"all","soft":true,"wait":"5s"}"#).unwrap();
        assert_eq!((soft, wait), (Purge::soft(Scope::All), Some(Duration::from_secs(5))));
        let long = format!(r#"{{"scope":"tag","tenant":"acme","tag":"{}"}}"#, "x".repeat(65));
        for bad in [
            "{}",
            "[]",
            r#"{"scope":"everything"}"#,
            r#"{"scope":"all","tenant":"acme"}"#,
            r#"{"scope":"tenant"}"#,
            r#"{"scope":"tenant","tenant":""}"#,
            r#"{"scope":"tenant","tenant":"a b"}"#,
            r#"{"scope":"tenant","tenant":"acme","path":"/"}"#,
            r#"{"scope":"key","tenant":"acme","path":"/x"}"#,
            r#"{"scope":"key","tenant":"acme","host":"","path":"/x"}"#,
            r#"{"scope":"key","tenant":"acme","host":"a","path":"x"}"#,
            r#"{"scope":"prefix","tenant":"acme"}"#,
            r#"{"scope":"class","class":""}"#,
            r#"{"scope":"all","wait":"31s"}"#,
            r#"{"scope":"all","wait":"5"}"#,
            r#"{"scope":"all","wait":5}"#,
            r#"{"scope":"all","soft":"yes"}"#,
            r#"{"scope":"all","scope":"tenant","tenant":"acme"}"#,
            r#"{"scope":"all","more":1}"#,
            &long,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
