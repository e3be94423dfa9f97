//! A configuration file: faults that say where, or settings that hold together.

use std::{collections::BTreeSet, path::Path};

use synaxis_config::{
    Settings,
    fault::FAULTS_MAX,
    load,
    settings::{ListenerKind, OnMissing},
};

/// Loads the bytes as a file.
pub fn body(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.split('\n').count();
    match load(&text, Path::new("f.toml")) {
        Ok((settings, warnings)) => {
            assert!(warnings.iter().all(|warning| (1..=lines).contains(&warning.place.line)));
            holds_together(&settings);
        }
        Err(faults) => {
            assert!((1..=FAULTS_MAX).contains(&faults.as_slice().len()));
            for fault in faults.as_slice() {
                assert!(!fault.message.is_empty() && !fault.message.contains('\n'), "{fault:?}");
                assert!(fault.place.is_none_or(|place| (1..=lines).contains(&place.line)), "{fault:?}");
            }
        }
    }
}

/// What nothing behind the loader checks again.
fn holds_together(settings: &Settings) {
    let edges = settings.listeners.iter().filter(|listener| listener.kind == ListenerKind::Edge);
    assert!(edges.count() > 0, "nobody can come in");
    let off_loopback = |address: std::net::SocketAddr| !address.ip().is_loopback();
    let mut peers = settings.listeners.iter().filter(|listener| listener.kind == ListenerKind::Peer);
    assert!(!peers.any(|peer| off_loopback(peer.address)), "a peer listener without TLS off loopback");
    assert!(settings.server.workers > 0 && settings.server.connections_max > 0);
    assert_eq!(settings.tenant.on_missing, OnMissing::Reject);
    assert!(!settings.routes.is_empty() && !settings.upstreams.is_empty());
    for route in &settings.routes {
        assert!(route.path_prefix.starts_with('/') && route.upstream < settings.upstreams.len(), "{}", route.name);
    }
    let names = |names: Vec<&str>| names.len() == names.iter().collect::<BTreeSet<_>>().len();
    assert!(names(settings.routes.iter().map(|route| route.name.as_str()).collect()), "a route twice");
    assert!(names(settings.upstreams.iter().map(|upstream| upstream.name.as_str()).collect()), "an upstream twice");
    assert!(settings.upstreams.iter().all(|upstream| !upstream.endpoints.is_empty()));
    assert!(settings.limits.uri_bytes <= settings.limits.head_bytes);
    assert!((0.0..=1.0).contains(&settings.access_log.sample));
    assert_eq!(settings.stamp.region.to_string(), settings.stamp.id.region());
}
