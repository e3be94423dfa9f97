//! Sections checked against each other; what passes are the settings as run.
//!
//! Invariant: a part that holds a fault of its own is not judged here again; faults say what to write, warnings what
//! would be wiser.

use std::time::Duration;

use toml::Spanned;

use crate::{
    fault::Findings,
    settings::{Admin, Listener, ListenerKind, Routing, Settings},
    value::Shown,
    written::{self, Written},
};

mod addresses;
mod cache;
mod degradation;
mod rate_limits;
mod routes;
mod unwise;

/// Front Door keeps an unused connection for about 90 s.
const FRONT_DOOR_IDLE: Duration = Duration::from_secs(95);

/// Everything at once. `None` only when something was noted.
pub(crate) fn settle(written: Written, findings: &Findings) -> Option<Settings> {
    unwise::warn(&written, findings);
    let listeners_written = written.listeners.unwrap_or_default();
    addresses::check(&listeners_written, &written.admin.address, findings);
    addresses::refuse_own(
        &listeners_written,
        &written.admin.address,
        written.upstreams.as_deref().unwrap_or_default(),
        &written.dependencies,
        findings,
    );
    let dependencies = degradation::settle(written.dependencies, written.upstreams.as_deref(), findings);
    let common = routes::Common {
        tenant: &written.tenant.header,
        body_bytes: written.limits.body_bytes,
        rate_limits: written.rate_limits.as_deref(),
        cache: &written.cache.cache.classes,
    };
    cache::check(&written.cache, written.user.as_ref(), findings);
    let routed = routes::settle(written.routes, written.upstreams, &common, findings);
    let around = rate_limits::Around { user: written.user.as_ref(), has_store: written.limits_store.is_some() };
    let limited = rate_limits::settle(written.tenant, written.tiers, written.rate_limits, &around, findings);
    let routing = match written.routing {
        None => Some(None),
        Some(routing) => self::routing(routing, &listeners_written, findings).map(Some),
    };
    let listeners: Option<Vec<Listener>> = listeners_written.into_iter().map(listener).collect();
    let limits_store = match written.limits_store {
        None => None,
        Some(store) => Some(rate_limits::store(store)?),
    };
    let (routes, upstreams) = routed?;
    let rate_limits::Limited { tenant, tiers, rate_limits } = limited?;
    Some(Settings {
        stamp: written.stamp?,
        server: written.server,
        listeners: listeners?,
        admin: Admin {
            address: written.admin.address.into_inner(),
            token: written.admin.token,
            hosts: written.admin.hosts,
        },
        routing: routing?,
        tenant,
        user: written.user.map(Spanned::into_inner),
        routes,
        tiers,
        rate_limits,
        rate_limiting: written.rate_limiting,
        limits_store,
        cache: written.cache.cache,
        upstreams,
        peers: written.peers.settled(),
        retries: written.retries,
        dependencies: dependencies?,
        degradation: written.degradation,
        access_log: written.access_log,
        limits: written.limits,
        timeouts: written.timeouts,
        shutdown: written.shutdown,
        origins: findings.sources.origins(),
    })
}

/// A section below a name that its author chose, as it is called in messages.
fn title(of: &str, name: &Spanned<String>) -> String {
    match Shown(name.get_ref()).is_harmless() {
        true => format!("[{of}.{}]", name.get_ref()),
        false => format!("[{of}.NAME]"),
    }
}

fn listener(written: written::Listener) -> Option<Listener> {
    let trust_header = written.trust_header.is_some_and(Spanned::into_inner);
    Some(Listener {
        kind: written.kind?,
        address: written.address?.into_inner(),
        trust_header,
        health_path: written.health_path,
    })
}

/// Other stamps find this one through the store, and reach it through a peer listener.
fn routing(routing: written::Routing, listeners: &[written::Listener], findings: &Findings) -> Option<Routing> {
    let store = routing.store?;
    // a listener of unknown kind may have been meant as the one
    let has_peer = listeners.iter().any(|listener| listener.kind != Some(ListenerKind::Edge));
    let remote = store.get_ref().is_remote();
    if !has_peer && remote {
        findings.fault(
            &store.span(),
            "`store` in [routing]: a fleet shares this store, but there is no peer listener, so no other stamp could \
             hand a request to this one; write another [[listeners]] with kind = \"peer\" and address = \"127.0.0.1:8443\"",
        );
    }
    if !has_peer && store.get_ref().is_file() {
        findings.warn(
            &store.span(),
            "`store` in [routing]: without a peer listener no other stamp on this file can hand a request to this one",
        );
    }
    if remote && routing.snapshot.is_none() {
        findings.warn(
            &routing.span,
            "`snapshot` is missing in [routing]: a restart while the store is away would start without a table; write \
             snapshot = \"/var/lib/synaxis/routing.json\"",
        );
    }
    Some(Routing {
        store: store.into_inner(),
        key_prefix: routing.key_prefix,
        snapshot: routing.snapshot,
        failover: routing.failover,
        bootstrap: routing.bootstrap,
        endpoints: routing.endpoints,
        poll: routing.poll,
        ack: routing.ack,
    })
}
