//! What is said of a purge: its id, who has it, how long that took.

use std::time::Duration;

use serde::Serialize;
use synaxis_routing::purge::{Kind, Missing, Purge, PurgeId, Scope, Waited};

use super::{Place, what::shown};
use crate::{
    failure::Failure,
    output::{clean, columns},
};

/// Nobody has said anything in this store.
pub(super) const NOBODY: &str =
    "no process reads purges there: is it the [cache.store] of the stamp's proxies, and its key_prefix?";

/// The result of a purge.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// `null`: nothing was purged.
    pub(super) id: Option<String>,
    /// What it covers, in words.
    pub(super) what: String,
    scope: &'static str,
    tenant: Option<String>,
    host: Option<String>,
    path: Option<String>,
    tag: Option<String>,
    class: Option<String>,
    soft: bool,
    /// Host and port of the store.
    store: String,
    key_prefix: String,
    /// Whether it is proven that every process has it; `null`: nobody waited.
    everywhere: Option<bool>,
    /// From before it was written until this was known.
    took_ms: u64,
    #[serde(flatten)]
    pub(super) readers: Readers,
    pub(super) dry_run: bool,
}

/// Processes of the stamp.
#[derive(Debug, Default, Serialize)]
pub(super) struct Readers {
    /// Those that have it.
    passed: Vec<String>,
    /// Those that have not.
    missing: Vec<Behind>,
    /// Those that have not and are silent for so long that they serve nothing from before it.
    silent: Vec<String>,
}

/// A process that has not got it.
#[derive(Debug, Serialize)]
struct Behind {
    process: String,
    /// The last purge that it has.
    passed: String,
    silent_ms: u64,
}

impl Readers {
    pub(super) fn of(waited: Waited) -> Self {
        let name = |name: String| clean(&name).replace('\n', "?");
        let names = |names: Vec<String>| names.into_iter().map(name).collect();
        let behind = |Missing { process, passed, silent }: Missing| Behind {
            process: name(process),
            passed: passed.to_string(),
            silent_ms: millis(silent),
        };
        let mut readers = Self {
            passed: names(waited.passed),
            missing: waited.missing.into_iter().map(behind).collect(),
            silent: names(waited.silent),
        };
        readers.passed.sort_unstable();
        readers.silent.sort_unstable();
        readers.missing.sort_unstable_by(|a, b| a.process.cmp(&b.process));
        readers
    }

    fn count(&self) -> usize {
        self.passed.len() + self.missing.len() + self.silent.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count() == 0
    }
}

impl Report {
    /// Of a purge that nobody has been told of yet.
    pub(super) fn of(purge: &Purge, place: &Place) -> Self {
        let mut report = Self {
            id: None,
            what: words(&purge.scope),
            scope: "",
            tenant: purge.scope.tenant().map(ToString::to_string),
            host: None,
            path: None,
            tag: None,
            class: None,
            soft: purge.kind == Kind::Soft,
            store: place.store.at().to_owned(),
            key_prefix: place.key_prefix.clone(),
            everywhere: None,
            took_ms: 0,
            readers: Readers::default(),
            dry_run: false,
        };
        report.scope = match &purge.scope {
            Scope::Key { authority, path, .. } => {
                (report.host, report.path) = (Some(authority.to_string()), Some(path.to_string()));
                "key"
            }
            Scope::Prefix { authority, path, .. } => {
                (report.host, report.path) = (authority.as_ref().map(ToString::to_string), Some(path.to_string()));
                "prefix"
            }
            Scope::Tag { tag, .. } => {
                report.tag = Some(tag.to_string());
                "tag"
            }
            Scope::Class(class) => {
                report.class = Some(class.to_string());
                "class"
            }
            Scope::Tenant(_) => "tenant",
            Scope::All => "all",
        };
        report
    }

    /// How it stands, after so long.
    pub(super) fn take(&mut self, took: Duration, is_waited: bool, found: Option<&Waited>) {
        self.took_ms = millis(took);
        self.everywhere = is_waited.then(|| found.is_some_and(Waited::is_proven));
        self.readers = found.cloned().map(Readers::of).unwrap_or_default();
    }

    /// What is said as soon as the store has it.
    pub(super) fn first(&self) -> String {
        let (id, how) = (self.id.as_deref().unwrap_or("nothing"), if self.soft { "made stale" } else { "purged" });
        format!("purge {id}: {how} {}, by {} ({})", self.what, self.store, self.key_prefix)
    }

    /// What is said once it is known who has it.
    pub(super) fn rest(&self) -> String {
        let (readers, took) = (&self.readers, self.took_ms);
        let has = match (self.everywhere, readers.count()) {
            (_, 0) => return String::new(),
            (None, 1) => return "1 process reads it; --wait says when it has it\n".to_owned(),
            (None, count) => return format!("{count} processes read it; --wait says when all have it\n"),
            (Some(true), count) => {
                format!("everywhere after {took} ms, {} of {count} processes have it:\n", readers.passed.len())
            }
            (Some(false), count) => {
                format!("after {took} ms, {} of {count} processes have it:\n", readers.passed.len())
            }
        };
        let passed = readers.passed.iter().map(|process| vec![process.clone(), "yes".to_owned()]);
        let silent = readers.silent.iter().map(|process| {
            vec![process.clone(), "no, and serves nothing from before: silent for more than 10 s".to_owned()]
        });
        let missing = readers.missing.iter().map(|behind| {
            vec![behind.process.clone(), format!("NO, it is at {}, silent for {} ms", behind.passed, behind.silent_ms)]
        });
        let rows: Vec<Vec<String>> = missing.chain(silent).chain(passed).collect();
        has + &columns(&["PROCESS", "HAS IT"], &rows)
    }

    /// Of a dry run.
    pub(super) fn words(&self) -> String {
        let Self { what, store, key_prefix, readers, .. } = self;
        let how = if self.soft { "be made stale" } else { "be purged" };
        let who = match readers.count() {
            0 => NOBODY.to_owned(),
            1 => "1 process reads it".to_owned(),
            count => format!("{count} processes read it"),
        };
        format!("dry run, nothing was purged: {what} would {how}, by {store} ({key_prefix}); {who}\n")
    }
}

/// Whether every process has it, when so long was waited.
///
/// # Errors
/// [`Failure::TimedOut`] with those that have not.
pub(super) fn verdict(id: PurgeId, waited: &Waited, readers: &Readers, timeout: Duration) -> Result<(), Failure> {
    if waited.is_proven() {
        return Ok(());
    }
    let (count, missing) = (readers.count(), readers.missing.len());
    let but = format!("purge {id} is in the store, but after {} ms", timeout.as_millis());
    Err(Failure::TimedOut(match (count, missing) {
        (0, _) => format!("{but} {NOBODY}"),
        (_, 0) => format!(
            "{but} the store's list of processes is too young to have all of them: it proves nothing for its first 10 s; \
             purge again with --wait"
        ),
        _ => {
            let names: Vec<&str> = readers.missing.iter().take(8).map(|behind| behind.process.as_str()).collect();
            let more = if missing > names.len() { " and others" } else { "" };
            format!(
                "{but} {missing} of {count} processes have not said that they have it: {}{more}; GET /cache on their admin \
                 listener says why, and once they are silent for 10 s they serve nothing from before",
                names.join(", ")
            )
        }
    }))
}

fn words(scope: &Scope) -> String {
    match scope {
        Scope::Key { tenant, authority, path } => format!("{authority}{} of tenant {tenant}", shown(path)),
        Scope::Prefix { tenant, authority, path } => {
            let host = authority.as_deref().unwrap_or_default();
            format!("everything of tenant {tenant} that begins with {host}{}", shown(path))
        }
        Scope::Tenant(tenant) => format!("everything of tenant {tenant}"),
        Scope::Tag { tenant, tag } => format!("everything of tenant {tenant} with tag {tag}"),
        Scope::Class(class) => format!("everything of class {class}, of all tenants"),
        Scope::All => "everything, of all tenants".to_owned(),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
