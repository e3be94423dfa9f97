//! An endpoint that requests are sent to: of this stamp's own app, or another stamp's peer listener.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use synaxis_config::settings::HttpEndpoint;
use synaxis_routing::{
    endpoint::{Endpoint, Scheme},
    id::StampId,
};

/// Who is meant, as opposed to where it is dialled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// An upstream of the settings, by name.
    App(String),
    /// Another stamp.
    Peer(StampId),
}

impl Identity {
    /// Name of the upstream, or id of the stamp.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::App(name) => name,
            Self::Peer(stamp) => stamp.as_str(),
        }
    }
}

/// One endpoint.
#[derive(Debug)]
pub struct Target {
    /// Index of its pool in every worker. No other target has it while anything holds this one.
    pub pool: usize,
    /// Who is meant.
    pub identity: Identity,
    /// Where it is dialled.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Whether TLS must be spoken there.
    pub tls: bool,
    address: Option<SocketAddr>,
}

impl Target {
    /// The address, when the host is one.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Whether another stamp is meant.
    #[must_use]
    pub fn is_peer(&self) -> bool {
        matches!(self.identity, Identity::Peer(_))
    }
}

/// Gives every (identity, host, port, TLS or not) one [`Target`], and the same one whenever a snapshot is built again, so
/// that pools outlive snapshots. Used by control only.
///
/// Invariant: a connection is never handed to another target than the one it leads to. Pools find connections by index
/// alone; every connection, idle or in use, holds its target, and so does every snapshot and request that names one. An
/// index is therefore free when, and only when, the one reference left is the one here: only then is the target
/// forgotten and its index given again. As many are known as are named, and as connections to former ones last.
#[derive(Debug, Default)]
pub struct Targets(Mutex<Known>);

/// Identity, host, port, TLS or not.
type Key = (Identity, String, u16, bool);

#[derive(Debug, Default)]
struct Known {
    by_key: HashMap<Key, Arc<Target>>,
    /// Indices below the highest ever given that no target has.
    free: Vec<usize>,
}

impl Targets {
    /// The target of an app endpoint.
    #[must_use]
    pub fn app(&self, upstream: &str, endpoint: &HttpEndpoint) -> Arc<Target> {
        self.intern(Identity::App(upstream.to_owned()), endpoint.host.clone(), endpoint.port, false, endpoint.ip())
    }

    /// The target of a stamp's peer listener.
    #[must_use]
    pub fn peer(&self, stamp: &StampId, endpoint: &Endpoint) -> Arc<Target> {
        let tls = endpoint.scheme == Scheme::Https;
        self.intern(Identity::Peer(stamp.clone()), endpoint.host.clone(), endpoint.port, tls, endpoint.ip())
    }

    fn intern(&self, identity: Identity, host: String, port: u16, tls: bool, ip: Option<IpAddr>) -> Arc<Target> {
        let mut known = self.lock();
        let Known { by_key, free } = &mut *known;
        // with none free, the targets have all indices below their number
        let next = by_key.len();
        let target = by_key.entry((identity.clone(), host.clone(), port, tls)).or_insert_with(|| {
            let pool = free.pop().unwrap_or(next);
            Arc::new(Target { pool, identity, host, port, tls, address: ip.map(|ip| SocketAddr::new(ip, port)) })
        });
        Arc::clone(target)
    }

    /// Forgets the targets that nobody holds any more. Cheap enough for every publication.
    pub fn sweep(&self) {
        let mut known = self.lock();
        let Known { by_key, free } = &mut *known;
        // a count of one cannot rise meanwhile: the one reference is here, and this is locked
        by_key.retain(|_, target| {
            let held = Arc::strong_count(target) > 1;
            if !held {
                free.push(target.pool);
            }
            held
        });
    }

    /// How many are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().by_key.len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(targets: &Targets, port: u16) -> Arc<Target> {
        let loopback = IpAddr::from([127, 0, 0, 1]);
        targets.intern(Identity::App("app".into()), loopback.to_string(), port, false, Some(loopback))
    }

    #[test]
    fn the_same_endpoint_is_the_same_target_as_long_as_it_is_held() {
        let targets = Targets::default();
        let first = app(&targets, 1);
        targets.sweep();
        assert!(Arc::ptr_eq(&first, &app(&targets, 1)));
        assert_ne!(first.pool, app(&targets, 2).pool);
    }

    #[test]
    fn no_index_is_given_again_while_anything_holds_its_target() {
        let targets = Targets::default();
        // as a link does that carries an answer for hours
        let held = app(&targets, 1);
        for port in 2..100 {
            let now = app(&targets, port);
            targets.sweep();
            assert_ne!(now.pool, held.pool, "port {port}");
        }
        let index = held.pool;
        drop(held);
        targets.sweep();
        let (one, two) = (app(&targets, 100), app(&targets, 101));
        assert!(one.pool == index || two.pool == index, "it is given again then");
        assert_ne!(one.pool, two.pool);
    }

    #[test]
    fn however_many_come_and_go_only_those_in_use_are_known() {
        let targets = Targets::default();
        let mut named = Vec::new();
        for port in 1..10_000 {
            // as many again come while the former ones are still named
            let next = vec![app(&targets, port), app(&targets, port + 20_000)];
            let indices: std::collections::HashSet<usize> =
                named.iter().chain(&next).map(|t: &Arc<Target>| t.pool).collect();
            assert_eq!(indices.len(), named.len() + next.len(), "each has its own");
            assert!(indices.iter().all(|index| *index < 4), "{indices:?}");
            named = next;
            targets.sweep();
        }
        assert_eq!(targets.len(), 2);
    }
}
