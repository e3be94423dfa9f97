//! Endpoints at write time. A writer cannot know the allow-lists of the proxies, so it lets everything pass that some
//! proxy may dial, and refuses what none ever does: link-local and metadata addresses, multicast, userinfo, second
//! spellings, plain http off loopback. Each proxy checks its own list when it reads the table and when it connects.

use std::net::SocketAddr;

use ipnet::IpNet;
use synaxis_routing::{
    endpoint::{Endpoint, EndpointPolicy, Scheme},
    table::Table,
};

/// The widest policy that still refuses what is always refused, for the endpoints of one table: its own hosts, its own
/// ports, every network.
pub(crate) fn widest(table: &Table) -> EndpointPolicy {
    let endpoints: Vec<Endpoint> =
        table.stamps.iter().filter_map(|stamp| Endpoint::parse(&stamp.endpoint).ok()).collect();
    let everywhere = ["0.0.0.0/0", "::/0"].iter().filter_map(|network| network.parse::<IpNet>().ok());
    EndpointPolicy {
        // http passes on loopback without being listed, and nowhere else
        schemes: vec![Scheme::Https],
        hosts: endpoints.iter().map(|endpoint| endpoint.host.clone()).collect(),
        networks: everywhere.collect(),
        ports: endpoints.iter().map(|endpoint| endpoint.port).collect(),
        own: Vec::new(),
        own_peers: Vec::new(),
        loopback_peers: true,
    }
}

/// The first address of an endpoint that some proxy may dial.
///
/// # Errors
/// In words: its form, its name or every one of its addresses is refused or unknown.
pub(crate) async fn resolve(endpoint: &str, table: &Table) -> Result<(Scheme, SocketAddr), String> {
    let policy = widest(table);
    let endpoint = policy.check_url(endpoint).map_err(|error| error.to_string())?;
    let found = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port)).await;
    let found = found.map_err(|error| format!("the name {} is not found: {error}", endpoint.host))?;
    let mut last = format!("the name {} has no address", endpoint.host);
    for address in found {
        match policy.check_address(address) {
            Ok(()) => return Ok((endpoint.scheme, address)),
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use synaxis_routing::{
        change::{Fleet, Register},
        id::{Region, StampId},
        table::{Scope, Seed},
    };

    use super::*;

    #[test]
    fn everything_passes_but_what_no_proxy_ever_dials() {
        let weu = Region::parse("weu").unwrap();
        let blank = Fleet::blank(vec![weu], Scope::Region, Seed(1), 16).unwrap();
        let cases = [
            ("https://weu-001.stamp.internal:8443", true),
            ("https://anything.example.com:9999", true),
            ("https://10.1.2.3:8443", true),
            ("http://127.0.0.1:7001", true),
            ("http://localhost:7001", true),
            ("http://[::1]:7001", true),
            ("http://weu-001.stamp.internal:8080", false),
            ("http://10.1.2.3:8080", false),
            ("https://169.254.169.254:443", false),
            ("https://168.63.129.16:443", false),
            ("https://0.0.0.0:8443", false),
            ("https://224.0.0.1:8443", false),
        ];
        for (endpoint, passes) in cases {
            let id = StampId::parse("synaxis-weu-001").unwrap();
            let register = Register { id, endpoint: endpoint.into(), weight: 100, dedicated: false, labels: [].into() };
            let verdict = blank.register(register, 0).map_err(|refused| refused.to_string()).and_then(|changed| {
                let table = &changed.fleet.table;
                widest(table).check_url(&table.stamps[0].endpoint).map_err(|error| error.to_string())
            });
            assert_eq!(verdict.is_ok(), passes, "{endpoint}: {verdict:?}");
        }
    }
}
