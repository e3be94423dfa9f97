//! The configuration of a world's proxies.

use std::{net::SocketAddr, path::Path};

use synaxis_routing::id::StampId;

use super::{admin::TOKEN, network::Place};
use crate::echo;

/// What the configuration of a proxy says.
#[derive(Clone, Copy)]
pub(super) struct Written<'a> {
    pub(super) id: &'a StampId,
    /// Which of its stamp's processes it is.
    pub(super) process: usize,
    pub(super) place: Place,
    /// The Redis of the table; another database of it is the stamps' store of kept answers.
    pub(super) store: SocketAddr,
    /// Its app.
    pub(super) app: SocketAddr,
    pub(super) workers: usize,
    /// TOML of the scenario.
    pub(super) more: &'a str,
    /// The same for the section of its app.
    pub(super) more_of_app: &'a str,
    /// Whether it keeps answers with shared resources.
    pub(super) cache: bool,
    /// What it depends on, and TOML for that section; without it there is none.
    pub(super) dependency: (SocketAddr, &'a str),
}

/// Where a proxy listens; port 0 before it was ever started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Addresses {
    pub(super) edge: SocketAddr,
    pub(super) peer: SocketAddr,
    pub(super) admin: SocketAddr,
}

impl Addresses {
    pub(super) fn any(place: Place) -> Self {
        let any = (place.address, 0).into();
        Self { edge: any, peer: any, admin: any }
    }
}

/// The configuration of a proxy that is to listen at these addresses.
pub(super) fn toml(written: &Written<'_>, at: &Addresses, snapshot: &Path) -> String {
    let Written { id, store, app, workers, more, more_of_app, cache, dependency, .. } = written;
    let dependency = match dependency {
        (_, "") => String::new(),
        (at, more) => format!("[dependencies.redis]\nprobe = \"redis://{at}\"\n{more}"),
    };
    let cache = if *cache { kept(id, *store) } else { String::new() };
    let Addresses { edge, peer, admin } = at;
    let snapshot = snapshot.display();
    format!(
        r#"{more}

[stamp]
id = "{id}"

[server]
workers = {workers}

[[listeners]]
kind = "edge"
address = "{edge}"
trust_header = true

[[listeners]]
kind = "peer"
address = "{peer}"

[admin]
address = "{admin}"
token = "{TOKEN}"

[routing]
store = "redis://{store}/0"
snapshot = "{snapshot}"
poll = "200ms"
ack = "500ms"

[upstreams.app]
endpoints = ["http://{app}"]
{more_of_app}

{dependency}

{cache}

[access_log]
output = "off"
"#
    )
}

/// What keeps answers with shared resources, and nothing else. The store of one stamp is not another's.
fn kept(id: &StampId, store: SocketAddr) -> String {
    let shared = echo::SHARED;
    format!(
        r#"[cache.classes.shared]
preset = "metadata"

[cache.store]
url = "redis://{store}/1"
key_prefix = "{id}"

[[routes]]
name = "shared"
path_prefix = "{shared}"
upstream = "app"
cache = "shared"

[[routes]]
name = "all"
path_prefix = "/"
upstream = "app"
"#
    )
}

/// Whether TOML of a scenario has routes or says what is kept, or is none.
pub(super) fn routes(more: &str) -> bool {
    more.parse::<toml::Table>().map_or(true, |more| more.contains_key("routes") || more.contains_key("cache"))
}
