//! Kept answers: what is not to be used any more.
//!
//! Invariant: words that name nothing are no purge of more. What looks like a key and is none is refused by the verb, which
//! shows them without what could rewrite a terminal.

use std::path::PathBuf;

use clap::{ArgGroup, Args as Group, Subcommand};
use synaxis_routing::id::TenantId;

use super::tenant;

#[derive(Debug, Subcommand)]
pub(crate) enum Cache {
    /// Take kept answers out of use in every process of a stamp
    ///
    /// Says the id of the purge, and with --wait proves that every process has it: nothing that it covers is served any
    /// more. Without one of KEY, --prefix, --tag, --class and --all, everything of the tenant is purged.
    ///
    /// The stamp's store is that of --cache-store, else [cache.store] of --proxy-config, else SYNAXIS_CACHE_STORE, else
    /// cache_store of --config.
    Purge(Purge),
}

#[derive(Debug, Group)]
#[command(
    group(ArgGroup::new("what").args(["key", "prefix", "tag", "class", "all"])),
    group(ArgGroup::new("paths").args(["key", "prefix"])),
    group(ArgGroup::new("covered").args(["key", "prefix", "tag", "class", "all", "tenant"]).required(true).multiple(true))
)]
pub(crate) struct Purge {
    /// One URL of the tenant in all its variants and for all users, as requests name it: a.example/orders/17?full=1, also
    /// with http:// or https:// before it; with --host the path alone
    #[arg(value_name = "KEY", requires = "tenant")]
    pub(crate) key: Option<String>,
    /// Everything of the tenant whose path and query begin so: /orders/, or a.example/orders/ for one host
    #[arg(long, value_name = "PATH", requires = "tenant")]
    pub(crate) prefix: Option<String>,
    /// Everything of the tenant that its app has given this tag, in Surrogate-Key or Cache-Tag
    #[arg(long, requires = "tenant")]
    pub(crate) tag: Option<String>,
    /// Everything of a class, [cache.classes.NAME], of all tenants
    #[arg(long, value_name = "NAME", conflicts_with = "tenant")]
    pub(crate) class: Option<String>,
    /// Everything, of all tenants
    #[arg(long, conflicts_with = "tenant")]
    pub(crate) all: bool,
    /// Whose; alone: everything of the tenant
    #[arg(long, value_parser = tenant)]
    pub(crate) tenant: Option<TenantId>,
    /// Host of KEY or --prefix, with its port if requests name one
    #[arg(long, requires = "paths")]
    pub(crate) host: Option<String>,
    /// Make it stale: it may still be given while it is fetched again, or when the app fails, where its class lets that
    #[arg(long)]
    pub(crate) soft: bool,
    /// Return when every process of the stamp has said that it has the purge, at most after --timeout (exit code 3)
    #[arg(long, conflicts_with = "no_wait")]
    pub(crate) wait: bool,
    #[command(flatten)]
    pub(crate) store: CacheStore,
}

/// Where the processes of the stamp tell each other what was purged.
#[derive(Debug, Group)]
pub(crate) struct CacheStore {
    /// The stamp's cache store: redis://HOST:PORT/DATABASE, rediss://HOST:PORT/DATABASE [env: SYNAXIS_CACHE_STORE]
    #[arg(long, value_name = "URL")]
    pub(crate) cache_store: Option<String>,
    /// Prefix of that store's keys [default: what the file says, else synaxis]
    #[arg(long, value_name = "PREFIX")]
    pub(crate) cache_key_prefix: Option<String>,
    /// Configuration file of one of the stamp's proxies, which has the store in [cache.store]
    #[arg(long, value_name = "FILE")]
    pub(crate) proxy_config: Option<PathBuf>,
}
