//! `cache purge`: answers that no process of a stamp is to use any more.
//!
//! Invariant: once the store has the purge, its id is told before anything else is tried; and that every process has it is
//! said only where each of them has said so, or serves nothing from before.

mod report;
mod what;

use std::time::{Duration, Instant};

use synaxis_routing::purge::{Kind, Purge, PurgeId, PurgeStore, Scope, StoreError, Waited};

use self::report::{Readers, Report};
use crate::{
    args::{self, Cache, CacheStore, Global},
    config::Config,
    failure::Failure,
    output::{self, Format},
    wait::POLL,
};

/// The environment's word for the store; the command line and a proxy's file win over it.
const VARIABLE: &str = "SYNAXIS_CACHE_STORE";

pub(super) async fn run(global: &Global, said: Cache) -> Result<(), Failure> {
    match said {
        Cache::Purge(said) => purge(global, &said).await,
    }
}

/// A stamp's store, and what is known of the stamp.
struct Place {
    store: PurgeStore,
    key_prefix: String,
    /// Classes of its proxies; `None`: not known.
    classes: Option<Vec<String>>,
}

async fn purge(global: &Global, said: &args::Purge) -> Result<(), Failure> {
    let kind = if said.soft { Kind::Soft } else { Kind::Hard };
    let purge = Purge { scope: what::scope(said)?, kind };
    purge.values().map_err(|error| Failure::Usage(error.to_string()))?;
    let place = open(global, &said.store)?;
    if let (Scope::Class(class), Some(classes)) = (&purge.scope, &place.classes)
        && !classes.iter().any(|known| **known == **class)
    {
        let known = if classes.is_empty() { "none".to_owned() } else { classes.join(", ") };
        return Err(Failure::NotFound(format!("no class {class}; the file has {known}")));
    }
    let mut report = Report::of(&purge, &place);
    if global.dry_run {
        report.readers = readers(&place.store).await.map_err(|error| Failure::failed(error.to_string()))?;
        report.dry_run = true;
        return global.output.print(&report, Report::words);
    }
    let is_wide = purge.scope.tenant().is_none();
    let question = format!("Purge {}? All of it is asked of the app again.", report.what);
    if is_wide && !global.yes && output::can_ask() && !output::confirm(&question) {
        return Err(Failure::failed("nothing was purged"));
    }
    let began = Instant::now();
    let id = write(&place.store, &purge).await?;
    report.id = Some(id.to_string());
    if global.output == Format::Table {
        output::line(&report.first());
    }
    let found = match said.wait {
        true => wait(&place.store, id, global.timeout).await,
        false => place.store.wait(id, Duration::ZERO).await,
    };
    report.take(began.elapsed(), said.wait, found.as_ref().ok());
    global.output.print(&report, Report::rest)?;
    match found {
        Ok(waited) if said.wait => report::verdict(id, &waited, &report.readers, global.timeout),
        Err(StoreError::Lost(_)) => {
            Err(Failure::failed(format!("{} has lost purge {id}: purge again", place.store.at())))
        }
        Err(error) if said.wait => Err(Failure::TimedOut(format!(
            "purge {id} is in the store, but who has it is not known: {error}; purging again does no harm"
        ))),
        Err(error) => {
            output::note(&format!("warning: {error}; who reads it is not known"));
            Ok(())
        }
        Ok(_) => {
            if report.readers.is_empty() {
                output::note(&format!("warning: {}", report::NOBODY));
            }
            Ok(())
        }
    }
}

fn open(global: &Global, said: &CacheStore) -> Result<Place, Failure> {
    let config = Config::read(global.config.as_deref())?;
    let (mut url, mut key_prefix, mut classes) = (None, config.cache_key_prefix, None);
    if let Some(file) = &said.proxy_config {
        let (settings, _) = synaxis_config::load_file(file).map_err(|faults| Failure::Usage(faults.to_string()))?;
        let store = settings.cache.store.ok_or_else(|| {
            Failure::Usage(format!(
                "{} has no [cache.store]: each process knows only its own purges; POST /cache/purge on the admin listener of each",
                file.display()
            ))
        })?;
        (url, key_prefix) = (Some(store.url.expose().to_owned()), Some(store.key_prefix));
        classes = Some(settings.cache.classes.into_iter().map(|class| class.name).collect());
    }
    let variable = || std::env::var(VARIABLE).ok().filter(|url| !url.is_empty());
    let url = said.cache_store.clone().or(url).or_else(variable).or(config.cache_store).ok_or_else(|| {
        Failure::Usage(format!(
            "no cache store: say --cache-store redis://HOST:PORT/DATABASE, or --proxy-config FILE of one of the stamp's proxies, \
             or set {VARIABLE}"
        ))
    })?;
    let key_prefix = said.cache_key_prefix.clone().or(key_prefix).unwrap_or_else(|| "synaxis".to_owned());
    let store = PurgeStore::open(&url, &key_prefix).map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(Place { store, key_prefix, classes })
}

/// Who reads the store's purges, by the newest of them.
async fn readers(store: &PurgeStore) -> Result<Readers, StoreError> {
    let mut link = store.connect().await?;
    match link.check(PurgeId::ZERO, None).await?.newest {
        Some(newest) => Ok(Readers::of(link.who_passed(newest).await?)),
        None => Ok(Readers::default()),
    }
}

/// Waits for all; a store that is away for a moment is asked again.
async fn wait(store: &PurgeStore, id: PurgeId, within: Duration) -> Result<Waited, StoreError> {
    let end = Instant::now() + within;
    let mut outcome = store.wait(id, Duration::ZERO).await;
    if let Ok(waited) = &outcome
        && !waited.is_proven()
        && output::is_watched()
    {
        let known = waited.passed.len() + waited.missing.len() + waited.silent.len();
        output::note(&format!("waiting for {} of {known} processes", waited.missing.len()));
    }
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let is_over = match &outcome {
            Ok(waited) => waited.is_proven(),
            Err(StoreError::Away { .. }) => false,
            Err(_) => true,
        };
        if is_over || left.is_zero() {
            return outcome;
        }
        if outcome.is_err() {
            tokio::time::sleep(POLL.min(left)).await;
        }
        outcome = store.wait(id, end.saturating_duration_since(Instant::now())).await;
    }
}

/// The id under which the store has the purge.
async fn write(store: &PurgeStore, purge: &Purge) -> Result<PurgeId, Failure> {
    let unwritten = |error: StoreError| Failure::failed(format!("{error}; nothing was purged"));
    // once it was sent, the store may have it although its answer is lost
    let unknown =
        |error: StoreError| Failure::failed(format!("{error}; whether it has the purge is not known: purge again"));
    let mut link = store.connect().await.map_err(unwritten)?;
    let ids = link.append(std::slice::from_ref(purge)).await.map_err(unknown)?;
    ids.first().copied().ok_or_else(|| Failure::failed("the cache store gave the purge no id: purge again"))
}
