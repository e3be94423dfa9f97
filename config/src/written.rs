//! The file as written: every section read for itself, with places kept where sections are checked against each other.
//!
//! Invariant: what is `None` here was left out, or was noted as a fault; nothing is noted twice. Each file below reads
//! the sections of one noun; a section becomes known by being read there.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use toml::Spanned;

use crate::{
    fault::Span,
    section::Section,
    settings::{
        AccessLog, Degradation, Limits, RateLimiting, Retries, Server, Shutdown, Stamp, Timeouts, User, http_path,
    },
    value::{Reader, text, text_shown},
};

mod breaker;
mod cache;
mod degradation;
mod headers;
mod health;
mod listeners;
mod process;
mod rate_limits;
mod routes;
mod routing;
mod tenant;
mod upstreams;

pub(crate) use cache::CacheRead;
pub(crate) use degradation::Dependency;
pub(crate) use listeners::{Admin, Listener};
pub(crate) use rate_limits::{LimitsStore, Quotas, RateLimit, ScopeRead, Tier};
pub(crate) use routes::{HostRead, Route, TIMEOUT};
pub(crate) use routing::Routing;
pub(crate) use tenant::Tenant;
pub(crate) use upstreams::{Peers, Protected, Upstream};

/// The whole file.
pub(crate) struct Written {
    pub(crate) stamp: Option<Stamp>,
    pub(crate) server: Server,
    pub(crate) server_span: Span,
    /// Whether the number of workers is that of the file, not of this machine.
    pub(crate) workers_are_written: bool,
    pub(crate) listeners: Option<Vec<Listener>>,
    pub(crate) admin: Admin,
    pub(crate) routing: Option<Routing>,
    pub(crate) tenant: Tenant,
    pub(crate) user: Option<Spanned<User>>,
    pub(crate) routes: Option<Vec<Route>>,
    pub(crate) tiers: Option<Vec<Tier>>,
    pub(crate) rate_limits: Option<Vec<RateLimit>>,
    pub(crate) rate_limiting: RateLimiting,
    /// Where it begins; `None`: it is not written.
    pub(crate) rate_limiting_span: Option<Span>,
    pub(crate) limits_store: Option<LimitsStore>,
    pub(crate) cache: CacheRead,
    pub(crate) upstreams: Option<Vec<Upstream>>,
    pub(crate) peers: Peers,
    pub(crate) retries: Retries,
    pub(crate) retries_span: Span,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) degradation: Degradation,
    pub(crate) access_log: AccessLog,
    pub(crate) access_log_span: Span,
    pub(crate) limits: Limits,
    pub(crate) limits_span: Span,
    pub(crate) timeouts: Timeouts,
    pub(crate) timeouts_span: Span,
    pub(crate) shutdown: Shutdown,
    pub(crate) shutdown_span: Span,
}

/// Reads every section, in the order of the documentation.
pub(crate) fn read(top: Section<'_>) -> Written {
    top.read(|file| {
        let server = file.section("server");
        let access_log = file.section("access_log");
        let limits = file.section("limits");
        let has_rate_limiting = file.has("rate_limiting");
        let rate_limiting = file.section("rate_limiting");
        let retries = file.section("retries");
        let shutdown = file.section("shutdown");
        let timeouts = file.section("timeouts");
        Written {
            stamp: process::stamp(file.section("stamp")),
            server_span: server.span(),
            workers_are_written: server.has("workers"),
            server: process::server(server),
            listeners: listeners::listeners(file),
            admin: listeners::admin(file.section("admin")),
            routing: routing::routing(file.section("routing")),
            tenant: tenant::tenant(file.section("tenant")),
            user: tenant::user(file.section("user")),
            routes: routes::routes(file),
            tiers: rate_limits::tiers(file),
            rate_limits: rate_limits::rate_limits(file),
            rate_limiting_span: has_rate_limiting.then(|| rate_limiting.span()),
            rate_limiting: rate_limits::rate_limiting(rate_limiting),
            limits_store: rate_limits::limits_store(file.section("limits_store")),
            cache: cache::cache(file.section("cache")),
            upstreams: upstreams::upstreams(file),
            peers: upstreams::peers(file.section("peers")),
            retries_span: retries.span(),
            retries: upstreams::retries(retries),
            dependencies: degradation::dependencies(file),
            degradation: degradation::degradation(file.section("degradation")),
            access_log_span: access_log.span(),
            access_log: process::access_log(access_log),
            limits_span: limits.span(),
            limits: process::limits(limits),
            timeouts_span: timeouts.span(),
            timeouts: process::timeouts(timeouts),
            shutdown_span: shutdown.span(),
            shutdown: process::shutdown(shutdown),
        }
    })
}

/// `IP:PORT`; port 0 lets the system choose.
fn address() -> Reader<SocketAddr> {
    text(|written| {
        let parsed: Result<SocketAddr, _> = written.parse();
        parsed.map_err(|_| "an address is IP:PORT, such as 127.0.0.1:8080 or [::1]:8080; names are not resolved here")
    })
}

/// Names as editors know them; `name` judges.
pub(crate) const NAME: &str = "^[a-z0-9][a-z0-9_-]{0,47}$";

const MILLISECOND: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const THREE_DAYS: Duration = Duration::from_secs(72 * 60 * 60);

/// The path of a file.
fn path_reader() -> Reader<PathBuf> {
    text_shown(path, |path| path.display().to_string())
}

/// The name of a route, an upstream or a dependency: a label of logs and metrics.
fn name(written: &str) -> Result<String, &'static str> {
    let starts = written.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let rest = written.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
    match starts && rest && written.len() <= 48 {
        true => Ok(written.to_owned()),
        false => Err("a name is 1 to 48 of a-z 0-9 - _ and starts with a letter or digit"),
    }
}

/// A path on this machine.
fn path(written: &str) -> Result<PathBuf, &'static str> {
    match written {
        "" => Err("it names no file"),
        // most likely the address of a store, password and all
        _ if written.contains("://") => Err("it is a URL; write the path of a file"),
        _ if written.contains('\0') => Err("a path holds no NUL"),
        _ if written.ends_with('/') => Err("it names a folder; write the path of a file"),
        _ => Ok(written.into()),
    }
}
