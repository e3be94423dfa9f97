//! `[routing]` and `[routing.endpoints]`: where the table comes from and what is believed of it.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use synaxis_routing::endpoint::Scheme;
use toml::Spanned;
use url::{Host, Url};

use super::path_reader;
use crate::{
    fault::Span,
    section::Section,
    settings::{Endpoints, Failover, StoreUrl, is_name},
    value::{choice, count, duration, text},
};

/// Most peers to start from.
const BOOTSTRAP_MAX: usize = 16;
/// Most entries of a list of endpoints.
const ENTRIES_MAX: usize = 256;
/// An ack is live for 15 s: slower than this, a proxy would look dead between two.
const ACK_MAX: Duration = Duration::from_secs(10);

/// `[routing]` as written.
pub(crate) struct Routing {
    pub(crate) span: Span,
    pub(crate) store: Option<Spanned<StoreUrl>>,
    pub(crate) key_prefix: String,
    pub(crate) snapshot: Option<PathBuf>,
    pub(crate) failover: Failover,
    pub(crate) bootstrap: Vec<Url>,
    pub(crate) endpoints: Endpoints,
    pub(crate) poll: Duration,
    pub(crate) ack: Duration,
}

/// `None`: the section is not written.
pub(super) fn routing(section: Section<'_>) -> Option<Routing> {
    let section = section.if_written()?;
    let failovers = [("next-rank", Failover::NextRank), ("fail-fast", Failover::FailFast)];
    let millis = Duration::from_millis;
    let routing = section.read(|s| Routing {
        span: s.span(),
        store: s.required_secret(
            ["store", "store_file"],
            "store = \"redis://127.0.0.1:6379/0\"",
            text(StoreUrl::parse),
        ),
        key_prefix: s.or("key_prefix", "synaxis".to_owned(), text(key_prefix)),
        snapshot: s.optional("snapshot", path_reader()).map(Spanned::into_inner),
        failover: s.or("failover", Failover::NextRank, choice(&failovers)),
        bootstrap: s.list_or("bootstrap", 0..=BOOTSTRAP_MAX, Vec::new(), text(bootstrap)),
        endpoints: endpoints(s.section("endpoints")),
        poll: s.or("poll", millis(1000), duration(millis(10)..=millis(60_000))),
        ack: s.or("ack", millis(5000), duration(millis(10)..=ACK_MAX)),
    });
    Some(routing)
}

fn endpoints(section: Section<'_>) -> Endpoints {
    let schemes = [("https", Scheme::Https), ("http", Scheme::Http)];
    let default = Endpoints::default();
    section.read(|s| Endpoints {
        schemes: s.list_or("schemes", 1..=2, default.schemes, choice(&schemes)),
        hosts: s.list_or("hosts", 0..=ENTRIES_MAX, default.hosts, text(host)),
        networks: s.list_or("networks", 0..=ENTRIES_MAX, default.networks, text(network)),
        ports: s.list_or("ports", 1..=ENTRIES_MAX, default.ports, count(1..=u16::MAX)),
    })
}

pub(super) fn key_prefix(written: &str) -> Result<String, &'static str> {
    match synaxis_routing::store::is_key_prefix(written) {
        true => Ok(written.to_owned()),
        false => Err("a key prefix is 1 to 32 of a-z 0-9 -"),
    }
}

/// A host name or, with a dot in front, the suffix of host names.
fn host(written: &str) -> Result<String, &'static str> {
    if written.starts_with("*.") {
        return Err("a suffix is written with a dot in front and without the star, such as .stamp.internal");
    }
    match is_name(written.strip_prefix('.').unwrap_or(written)) {
        true => Ok(written.to_owned()),
        false => Err("a host is a name in lower case such as peer.stamp.internal, or a suffix such as .stamp.internal"),
    }
}

fn network(written: &str) -> Result<IpNet, &'static str> {
    if written.parse::<IpAddr>().is_ok() {
        return Err("a network carries the length of its prefix: /32 for one IPv4 address, /128 for one of IPv6");
    }
    let network: IpNet =
        written.parse().map_err(|_| "a network is an address and a prefix length, such as 10.0.0.0/8")?;
    if network.trunc() != network {
        return Err("the address has bits behind its prefix length; write the first address of the network");
    }
    Ok(network)
}

/// `http://HOST:PORT` on loopback: what comes back is believed, and this version has no TLS.
fn bootstrap(written: &str) -> Result<Url, &'static str> {
    const FORM: &str = "a peer to start from is written http://IP:PORT, such as http://127.0.0.1:8443";
    let url = Url::parse(written).map_err(|_| FORM)?;
    let bare =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    if url.scheme() == "https" {
        return Err("this version has no TLS between stamps: write http:// and a peer listener on loopback");
    }
    if url.scheme() != "http" || !bare || url.path() != "/" {
        return Err(FORM);
    }
    let loopback = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        _ => false,
    };
    match loopback {
        true => Ok(url),
        false => {
            Err("a peer to start from stands on loopback, such as http://127.0.0.1:8443: this version has no TLS \
                      between stamps, and its table would be believed")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_written_exactly() {
        for good in ["10.0.0.0/8", "192.168.1.7/32", "fd00::/8", "::1/128", "0.0.0.0/0"] {
            assert_eq!(network(good).unwrap().to_string(), good);
        }
        for bad in ["", "10.0.0.0", "10.0.0.1/8", "10.0.0.0/33", "::1", "10.0.0.0/-1", "10.0.0.0/8 ", "x/8"] {
            assert!(network(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_peer_to_start_from_stands_on_loopback() {
        for good in ["http://127.0.0.1:8443", "http://127.0.0.1:8443/", "http://[::1]:8443"] {
            assert!(bootstrap(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "127.0.0.1:8443",
            "https://127.0.0.1:8443",
            "http://10.0.0.1:8443",
            "http://169.254.169.254",
            "http://peer.stamp.internal:8443",
            "http://localhost:8443",
            "http://user:pw@127.0.0.1:8443",
            "http://127.0.0.1:8443/table",
            "http://127.0.0.1:8443?x",
            "redis://127.0.0.1:8443",
            "file:/etc/passwd",
        ] {
            assert!(bootstrap(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn hosts_of_endpoints_are_names_or_suffixes() {
        for good in [".stamp.internal", "peer.stamp.internal", "localhost"] {
            assert!(host(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "*.stamp.internal", "Peer", "a..b", "a:80", "http://a", "..a"] {
            assert!(host(bad).is_err(), "{bad:?}");
        }
    }
}
