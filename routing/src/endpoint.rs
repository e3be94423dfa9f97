//! Endpoints: where a proxy may be sent. The table is hostile input.
//!
//! Invariant: nothing is dialled that did not pass [`EndpointPolicy::check_url`] when the table was read and
//! [`EndpointPolicy::check_address`] with the resolved address when the connection was made. An endpoint must be written
//! exactly as it is understood: no second spelling of an address survives.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

mod address;
#[cfg(test)]
mod tests;

/// Longest endpoint in bytes: a host name of 253, a scheme and a port.
pub const ENDPOINT_BYTES_MAX: usize = 272;

/// Peer port of a stamp unless the policy says otherwise.
pub const PORT: u16 = 8443;

/// Suffix of the host names of stamps unless the policy says otherwise.
pub const HOST_SUFFIX: &str = ".stamp.internal";

/// How a peer is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// TLS.
    Https,
    /// Plain; on loopback only.
    Http,
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Https => "https",
            Self::Http => "http",
        })
    }
}

/// A parsed endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// Host name in lower case, or an address; IPv6 without brackets.
    pub host: String,
    /// TCP port, never 0.
    pub port: u16,
}

impl Endpoint {
    /// The host as an address, when it is one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Parses without asking a policy: `https://HOST:PORT` or `http://HOST:PORT` and nothing else; the port may be left
    /// out when it is the scheme's own.
    ///
    /// # Errors
    /// [`EndpointError::Malformed`] and [`EndpointError::Spelling`].
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        if text.len() > ENDPOINT_BYTES_MAX {
            return Err(EndpointError::Malformed("it is longer than 272 bytes"));
        }
        let (scheme, authority) = match text.split_once("://") {
            Some(("https", rest)) => (Scheme::Https, rest),
            Some(("http", rest)) => (Scheme::Http, rest),
            _ => return Err(EndpointError::Malformed("it does not start with https:// or http://")),
        };
        // before the URL parser, which would repair, strip or decode these
        let written = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._:[]".contains(&b);
        if !authority.bytes().all(written) {
            return Err(EndpointError::Malformed(
                "after the scheme only a lower-case host and a port may stand: no user, path, query or fragment",
            ));
        }
        let url = Url::parse(text).map_err(|_| EndpointError::Malformed("it is no URL"))?;
        let port = url.port_or_known_default().filter(|port| *port != 0);
        let port = port.ok_or(EndpointError::Malformed("port 0 cannot be dialled"))?;
        let (understood, host) = match url.host().ok_or(EndpointError::Malformed("it has no host"))? {
            Host::Domain(name) => (name.to_owned(), name.to_owned()),
            Host::Ipv4(ip) => (ip.to_string(), ip.to_string()),
            Host::Ipv6(ip) => (format!("[{ip}]"), ip.to_string()),
        };
        // 0x7f.1, 2130706433, 0177.0.0.1, [::ffff:7f00:1] … are understood as something other than what is written
        let rest = authority.strip_prefix(understood.as_str());
        let port_written = rest.and_then(|rest| if rest.is_empty() { Some("") } else { rest.strip_prefix(':') });
        match port_written {
            Some("") if rest == Some("") => {}
            Some(digits) if digits == port.to_string() => {}
            _ => return Err(EndpointError::Spelling { understood }),
        }
        Ok(Self { scheme, host, port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip() {
            Some(IpAddr::V6(ip)) => write!(f, "{}://[{ip}]:{}", self.scheme, self.port),
            _ => write!(f, "{}://{}:{}", self.scheme, self.host, self.port),
        }
    }
}

/// Why an endpoint is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not of the form `https://HOST:PORT`.
    #[error("it is not of the form https://HOST:PORT: {0}")]
    Malformed(&'static str),
    /// An address in a second spelling.
    #[error("it is written in another way than it is understood, as {understood}: write it in that way")]
    Spelling {
        /// The spelling that would be dialled.
        understood: String,
    },
    /// A scheme that the policy does not list.
    #[error(
        "scheme {0} is not allowed; see schemes in [routing.endpoints] (http only while the own peer listener is on loopback)"
    )]
    Scheme(Scheme),
    /// A host name that the policy does not list.
    #[error("host {0} ends with no allowed suffix; see hosts in [routing.endpoints]")]
    Host(String),
    /// A port that the policy does not list.
    #[error("port {0} is not allowed; see ports in [routing.endpoints]")]
    Port(u16),
    /// An address outside the policy's networks.
    #[error("address {0} lies in no allowed network; see networks in [routing.endpoints]")]
    Network(IpAddr),
    /// An address that no policy can allow.
    #[error("address {ip} is never dialled: {why}")]
    Forbidden {
        /// The address.
        ip: IpAddr,
        /// What it is.
        why: &'static str,
    },
    /// Loopback while the own peer listener is not on loopback.
    #[error("loopback is allowed only while the own peer listener is on loopback")]
    Loopback,
    /// A listener of this very process.
    #[error("{0} is a listener of this proxy and not a peer listener: a request would come back to it")]
    Own(SocketAddr),
}

/// Which endpoints a proxy accepts from the table.
#[derive(Clone, Debug)]
pub struct EndpointPolicy {
    /// Allowed schemes. `Http` counts only with `loopback_peers`.
    pub schemes: Vec<Scheme>,
    /// Allowed host names: a suffix when it starts with a dot (`.stamp.internal`), else the whole name.
    pub hosts: Vec<String>,
    /// Allowed addresses. Empty: no literal address, and a name may resolve to any address that is not forbidden.
    /// Otherwise literal and resolved addresses must lie in one of them.
    pub networks: Vec<IpNet>,
    /// Allowed ports.
    pub ports: Vec<u16>,
    /// Addresses on which this process listens; refused. A listener on all addresses stands for loopback here.
    pub own: Vec<SocketAddr>,
    /// Peer listeners of this process; allowed although they are our own.
    pub own_peers: Vec<SocketAddr>,
    /// Whether our own peer listener is on loopback: then loopback is allowed, on every port and without TLS.
    pub loopback_peers: bool,
}

impl Default for EndpointPolicy {
    /// `https`, port 8443, `*.stamp.internal`; nothing is known of own listeners.
    fn default() -> Self {
        Self {
            schemes: vec![Scheme::Https],
            hosts: vec![HOST_SUFFIX.to_owned()],
            networks: Vec::new(),
            ports: vec![PORT],
            own: Vec::new(),
            own_peers: Vec::new(),
            loopback_peers: false,
        }
    }
}

impl EndpointPolicy {
    /// Parses an endpoint of the table and checks it.
    ///
    /// # Errors
    /// [`EndpointError`]: what is wrong with it and which setting speaks of it.
    pub fn check_url(&self, text: &str) -> Result<Endpoint, EndpointError> {
        let endpoint = Endpoint::parse(text)?;
        if let Some(ip) = endpoint.ip() {
            let address = SocketAddr::new(ip, endpoint.port);
            self.check_address(address)?;
            if ip.is_loopback() {
                return Ok(endpoint);
            }
            self.check_scheme_and_port(&endpoint)?;
            // check_address lets an unlisted address pass when no network is listed: a name may resolve to it
            return if self.networks.is_empty() { Err(EndpointError::Network(ip)) } else { Ok(endpoint) };
        }
        if is_loopback_name(&endpoint.host) {
            return if self.loopback_peers { Ok(endpoint) } else { Err(EndpointError::Loopback) };
        }
        self.check_scheme_and_port(&endpoint)?;
        if self.hosts.iter().any(|allowed| host_matches(&endpoint.host, allowed)) {
            Ok(endpoint)
        } else {
            Err(EndpointError::Host(endpoint.host))
        }
    }

    /// Checks a resolved address, at connect.
    ///
    /// # Errors
    /// [`EndpointError`] when it is forbidden, loopback, our own, or outside the networks.
    pub fn check_address(&self, address: SocketAddr) -> Result<(), EndpointError> {
        let ip = address.ip();
        if let Some(why) = address::forbidden(ip) {
            return Err(EndpointError::Forbidden { ip, why });
        }
        if ip.is_loopback() && !self.loopback_peers {
            return Err(EndpointError::Loopback);
        }
        if listens(&self.own, address) && !listens(&self.own_peers, address) {
            return Err(EndpointError::Own(address));
        }
        let listed = self.networks.is_empty() || self.networks.iter().any(|network| network.contains(&ip));
        if listed || ip.is_loopback() { Ok(()) } else { Err(EndpointError::Network(ip)) }
    }

    /// Whether one of this process's own listeners is there: whatever is sent to it comes from the inside.
    #[must_use]
    pub fn is_own(&self, address: SocketAddr) -> bool {
        listens(&self.own, address)
    }

    fn check_scheme_and_port(&self, endpoint: &Endpoint) -> Result<(), EndpointError> {
        let allowed = match endpoint.scheme {
            Scheme::Https => self.schemes.contains(&Scheme::Https),
            Scheme::Http => self.loopback_peers && self.schemes.contains(&Scheme::Http),
        };
        if !allowed {
            return Err(EndpointError::Scheme(endpoint.scheme));
        }
        if self.ports.contains(&endpoint.port) { Ok(()) } else { Err(EndpointError::Port(endpoint.port)) }
    }
}

fn listens(listeners: &[SocketAddr], address: SocketAddr) -> bool {
    listeners.iter().any(|listener| {
        listener.port() == address.port()
            && (listener.ip() == address.ip() || (listener.ip().is_unspecified() && address.ip().is_loopback()))
    })
}

/// RFC 6761 §6.3.
fn is_loopback_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    host == "localhost" || host.ends_with(".localhost")
}

fn host_matches(host: &str, allowed: &str) -> bool {
    if allowed.starts_with('.') { host.len() > allowed.len() && host.ends_with(allowed) } else { host == allowed }
}
