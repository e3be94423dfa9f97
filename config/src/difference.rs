//! What becomes of new settings in a process that already runs: what changes at once, and what only a restart can change.
//!
//! Invariant: every field of [`Settings`] is classed here; a new one does not compile before it is. What is named are
//! keys and names of the file, never values: any value may be a secret.

use std::net::SocketAddr;

use crate::settings::{
    AccessLog, Admin, Degradation, Dependency, Limits, Listener, Peers, Probe, Probing, Protection, Retries, Route,
    Routing, Server, Settings, Shutdown, Stamp, Tenant, Timeouts, Upstream, Watched,
};

/// New settings as a running process takes them.
#[derive(Clone, Debug, PartialEq)]
pub struct Reload {
    /// What runs from now on: the new settings, with the running ones in every place that needs a restart.
    pub settings: Settings,
    /// Keys that change at once, by dotted name, such as `routes.api.timeout`; a whole route or upstream that came or
    /// went as `routes.api`, another order of routes as `routes`.
    pub applied: Vec<String>,
    /// Keys that differ and stay as they are until a restart, such as `server.workers` or `listeners.0.address`.
    pub pending: Vec<String>,
}

/// Compares the fields of two sections by name, and puts those that need a restart back to what runs. Every field is
/// named, so that a new one is a compile error here until somebody has decided.
macro_rules! compare {
    ($found:ident, $section:expr, $old:expr => $new:expr,
     $Type:ident { now: [$($now:ident),*], restart: [$($fixed:ident),*], apart: [$($apart:ident),*] }) => {{
        let $Type { $($now: _,)* $($fixed: _,)* $($apart: _,)* } = $old;
        $(if $old.$now != $new.$now {
            $found.applied.push(format!("{}.{}", $section, stringify!($now)));
        })*
        $(if $old.$fixed != $new.$fixed {
            $found.pending.push(format!("{}.{}", $section, stringify!($fixed)));
            $new.$fixed.clone_from(&$old.$fixed);
        })*
    }};
}

mod cache;
mod rate_limits;

/// What `wanted` means for a process that runs with `running`, whose addresses are those that it is really bound to.
#[must_use]
pub fn reload(running: &Settings, mut wanted: Settings) -> Reload {
    let mut found = Found::default();
    let Settings {
        stamp,
        server,
        listeners: _,
        admin,
        routing: _,
        tenant,
        user: _,
        routes: _,
        tiers: _,
        rate_limits: _,
        rate_limiting: _,
        limits_store: _,
        cache: _,
        upstreams: _,
        peers,
        retries,
        dependencies: _,
        degradation,
        access_log,
        limits,
        timeouts,
        shutdown,
        origins: _,
    } = running;

    compare!(found, "stamp", stamp => wanted.stamp, Stamp { now: [], restart: [id], apart: [region] });
    // it follows from the id
    wanted.stamp.region.clone_from(&stamp.region);
    compare!(found, "server", server => wanted.server, Server {
        now: [connections_max, peer_connections_max, connections_reserve, connections_per_address, memory_high],
        restart: [workers],
        apart: []
    });
    listeners(running, &mut wanted, &mut found);
    at_home(admin.address, &mut wanted.admin.address);
    compare!(found, "admin", admin => wanted.admin, Admin { now: [token, hosts], restart: [address], apart: [] });
    routing(running, &mut wanted, &mut found);
    compare!(found, "tenant", tenant => wanted.tenant, Tenant { now: [on_missing], restart: [], apart: [header, tier] });
    if tenant.header != wanted.tenant.header {
        found.applied.push("tenant.sources".into());
    }
    routes(running, &wanted, &mut found);
    rate_limits::compare(running, &mut wanted, &mut found);
    cache::compare(running, &mut wanted, &mut found);
    upstreams(running, &wanted, &mut found);
    compare!(found, "peers", peers => wanted.peers, Peers { now: [health_check], restart: [], apart: [protection] });
    protection(&peers.protection, &wanted.peers.protection, "peers", &mut found);
    compare!(found, "retries", retries => wanted.retries, Retries {
        now: [attempts_max, backoff, backoff_max, budget, budget_min, replay_bytes],
        restart: [],
        apart: []
    });
    dependencies(running, &wanted, &mut found);
    compare!(found, "degradation", degradation => wanted.degradation, Degradation {
        now: [leave, retry_after, header, page],
        restart: [],
        apart: []
    });
    compare!(found, "access_log", access_log => wanted.access_log, AccessLog {
        now: [sample],
        restart: [output, queue],
        apart: []
    });
    compare!(found, "limits", limits => wanted.limits, Limits {
        now: [head_bytes, uri_bytes, fields, body_bytes, upload_rate, unsent_bytes],
        restart: [],
        apart: []
    });
    compare!(found, "timeouts", timeouts => wanted.timeouts, Timeouts {
        now: [
            connect, head, first_byte, upload_idle, upload_grace, body_idle, write_stall, tunnel_idle, linger, idle,
            upstream_idle
        ],
        restart: [],
        apart: []
    });
    compare!(found, "shutdown", shutdown => wanted.shutdown, Shutdown {
        now: [lame_duck, drain, flush, client_keepalive, tunnels],
        restart: [],
        apart: []
    });
    // a value that stays is shown as what it is: one from the environment remains a secret
    found.pending.iter().for_each(|key| wanted.origins.keep(&running.origins, key));
    Reload { settings: wanted, applied: found.applied, pending: found.pending }
}

#[derive(Default)]
struct Found {
    applied: Vec<String>,
    pending: Vec<String>,
}

/// Listeners are bound once: their number, kinds and addresses stay. One whose place another took stays as a whole, so
/// that an edge listener never gets what was meant for a peer listener.
fn listeners(running: &Settings, wanted: &mut Settings, found: &mut Found) {
    if running.listeners.len() != wanted.listeners.len() {
        found.pending.push("listeners".into());
        wanted.listeners.clone_from(&running.listeners);
        return;
    }
    for (index, (old, new)) in running.listeners.iter().zip(&mut wanted.listeners).enumerate() {
        at_home(old.address, &mut new.address);
        if (old.kind, old.address) != (new.kind, new.address) {
            new.trust_header = old.trust_header;
            new.health_path.clone_from(&old.health_path);
        }
        compare!(found, format_args!("listeners.{index}"), old => new, Listener {
            now: [trust_header, health_path],
            restart: [kind, address],
            apart: []
        });
    }
}

/// Port 0 asks for any port, and the process has one.
fn at_home(running: SocketAddr, wanted: &mut SocketAddr) {
    if wanted.port() == 0 && wanted.ip() == running.ip() {
        *wanted = running;
    }
}

/// A store is opened once, and the policy for endpoints is that of the start: whoever holds a table has judged it by that.
fn routing(running: &Settings, wanted: &mut Settings, found: &mut Found) {
    match (&running.routing, &mut wanted.routing) {
        (Some(old), Some(new)) => compare!(found, "routing", old => new, Routing {
            now: [failover, bootstrap, poll, ack],
            restart: [store, key_prefix, snapshot, endpoints],
            apart: []
        }),
        (None, None) => {}
        (old, new) => {
            found.pending.push("routing".into());
            new.clone_from(old);
        }
    }
}

fn routes(running: &Settings, wanted: &Settings, found: &mut Found) {
    let names = |settings: &Settings, other: &Settings| -> Vec<String> {
        let known = |name: &str| other.routes.iter().any(|route| route.name == name);
        settings.routes.iter().filter(|route| known(&route.name)).map(|route| route.name.clone()).collect()
    };
    if names(running, wanted) != names(wanted, running) {
        found.applied.push("routes".into());
    }
    for old in &running.routes {
        let Some(new) = wanted.routes.iter().find(|route| route.name == old.name) else {
            found.applied.push(format!("routes.{}", old.name));
            continue;
        };
        let section = format!("routes.{}", old.name);
        compare!(found, section, old => new, Route {
            now: [
                host, path_prefix, methods, headers, timeout, attempt_timeout, total, idempotency_key, class, body_bytes,
                websocket, tier_limit, request_headers, response_headers
            ],
            restart: [],
            apart: [name, upstream, rate_limits, cache]
        });
        if upstream_name(running, old.upstream) != upstream_name(wanted, new.upstream) {
            found.applied.push(format!("{section}.upstream"));
        }
        if cache::of_route(running, old.cache) != cache::of_route(wanted, new.cache) {
            found.applied.push(format!("{section}.cache"));
        }
        let asked = |settings, route: &Route| rate_limits::of_route(settings, &route.rate_limits);
        if asked(running, old) != asked(wanted, new) {
            found.applied.push(format!("{section}.rate_limits"));
        }
    }
    let is_new = |route: &&Route| !running.routes.iter().any(|old| old.name == route.name);
    found.applied.extend(wanted.routes.iter().filter(is_new).map(|route| format!("routes.{}", route.name)));
}

/// A position means nothing when upstreams came or went.
fn upstream_name(settings: &Settings, position: usize) -> Option<&str> {
    settings.upstreams.get(position).map(|upstream| upstream.name.as_str())
}

fn upstreams(running: &Settings, wanted: &Settings, found: &mut Found) {
    for old in &running.upstreams {
        let section = format!("upstreams.{}", old.name);
        match wanted.upstreams.iter().find(|upstream| upstream.name == old.name) {
            Some(new) => {
                compare!(found, section, old => new, Upstream {
                    now: [endpoints, idle_max, health_check, outliers],
                    restart: [],
                    apart: [name, protection]
                });
                protection(&old.protection, &new.protection, &section, found);
            }
            None => found.applied.push(section),
        }
    }
    let is_new = |upstream: &&Upstream| !running.upstreams.iter().any(|old| old.name == upstream.name);
    found.applied.extend(wanted.upstreams.iter().filter(is_new).map(|upstream| format!("upstreams.{}", upstream.name)));
}

fn protection(old: &Protection, new: &Protection, section: &str, found: &mut Found) {
    compare!(found, section, old => new, Protection {
        now: [in_flight_max, tenant_share_max, breaker, recovery],
        restart: [],
        apart: []
    });
}

fn dependencies(running: &Settings, wanted: &Settings, found: &mut Found) {
    for old in &running.dependencies {
        let section = format!("dependencies.{}", old.name);
        let Some(new) = wanted.dependencies.iter().find(|dependency| dependency.name == old.name) else {
            found.applied.push(section);
            continue;
        };
        match (&old.watched, &new.watched) {
            (Watched::Probe(old), Watched::Probe(new)) => {
                compare!(found, section, old => new, Probe { now: [latency_max], restart: [], apart: [url, probing] });
                if old.url != new.url {
                    found.applied.push(format!("{section}.probe"));
                }
                let (old, new) = (&old.probing, &new.probing);
                compare!(found, section, old => new, Probing {
                    now: [interval, timeout, healthy, unhealthy],
                    restart: [],
                    apart: []
                });
            }
            (Watched::Breaker(old), Watched::Breaker(new)) => {
                if upstream_name(running, *old) != upstream_name(wanted, *new) {
                    found.applied.push(format!("{section}.upstream"));
                }
            }
            (_, Watched::Probe(_)) => found.applied.push(format!("{section}.probe")),
            (_, Watched::Breaker(_)) => found.applied.push(format!("{section}.upstream")),
        }
        compare!(found, section, old => new, Dependency { now: [on_failure], restart: [], apart: [name, watched] });
    }
    let is_new = |dependency: &&Dependency| !running.dependencies.iter().any(|old| old.name == dependency.name);
    let new = wanted.dependencies.iter().filter(is_new);
    found.applied.extend(new.map(|dependency| format!("dependencies.{}", dependency.name)));
}
