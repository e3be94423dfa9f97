//! An endpoint that requests are sent to: of this stamp's own app, or another stamp's peer listener.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
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

/// One endpoint.
#[derive(Debug)]
pub struct Target {
    /// Index of its pool in every worker; never given to another (identity, host, port).
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

/// Gives every (identity, host, port, TLS or not) one [`Target`], and the same one whenever a snapshot is built again, so that pools
/// outlive snapshots. Used by control only.
#[derive(Debug, Default)]
pub struct Targets(Mutex<HashMap<Key, Arc<Target>>>);

/// Identity, host, port, TLS or not.
type Key = (Identity, String, u16, bool);

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
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pool = known.len();
        let target = known.entry((identity.clone(), host.clone(), port, tls)).or_insert_with(|| {
            Arc::new(Target { pool, identity, host, port, tls, address: ip.map(|ip| SocketAddr::new(ip, port)) })
        });
        Arc::clone(target)
    }
}
