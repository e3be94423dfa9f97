//! Names that come from outside, one a line: header, query, table, file. What is accepted can stand in a key, a log line
//! and a URL as it is, and is understood in one way.

use std::net::{IpAddr, SocketAddr};

use synaxis_config::settings::{HostPattern, HttpEndpoint, StoreUrl};
use synaxis_routing::{
    endpoint::{Endpoint, EndpointPolicy},
    id::{Region, StampId, TenantId},
    version::Version,
};

/// Reads every line as every kind of name.
pub fn body(bytes: &[u8]) {
    for line in bytes.split(|byte| *byte == b'\n').take(64) {
        tenant(line);
        let Ok(text) = std::str::from_utf8(line) else { continue };
        ids(text);
        endpoint(text);
        hosts(text);
        store(text);
    }
}

/// A tenant id stands in Redis keys, header values, JSON lines and queries without escaping.
fn tenant(line: &[u8]) {
    let Ok(id) = TenantId::parse(line) else { return };
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    assert!(id.as_bytes().iter().all(plain) && (1..=128).contains(&id.as_bytes().len()), "{id}");
    assert_eq!(TenantId::parse(id.as_bytes()).ok(), Some(id));
    assert_eq!(id.as_str().to_ascii_lowercase(), String::from_utf8_lossy(line).to_ascii_lowercase());
}

fn ids(text: &str) {
    if let Ok(id) = StampId::parse(text) {
        assert_eq!(id.as_str(), text);
        assert!(Region::parse(id.region()).is_ok() && text.starts_with("synaxis-"));
    }
    if let Ok(region) = Region::parse(text) {
        assert!(region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
    }
    if let Ok(version) = text.parse::<Version>() {
        assert_eq!(version.to_string().parse(), Ok(version));
    }
}

/// Whatever a policy allows, metadata services, this host and this process are out of reach.
fn endpoint(text: &str) {
    let admin: SocketAddr = "127.0.0.1:9901".parse().unwrap();
    let all = ["0.0.0.0/0", "::/0"].map(|network| network.parse().unwrap()).to_vec();
    let generous = EndpointPolicy {
        hosts: vec![".stamp.internal".into(), ".example".into()],
        networks: all,
        own: vec![admin],
        ..EndpointPolicy::default()
    };
    if let Ok(parsed) = Endpoint::parse(text) {
        assert_eq!(Endpoint::parse(&parsed.to_string()), Ok(parsed.clone()), "{text}");
        assert!(parsed.port != 0 && !parsed.host.is_empty());
    }
    for policy in [EndpointPolicy::default(), generous] {
        let Ok(allowed) = policy.check_url(text) else { continue };
        assert_eq!(allowed.port, 8443, "{text}");
        match allowed.ip() {
            Some(ip) => assert!(policy.check_address((ip, 8443).into()).is_ok() && dialled(ip), "{text}"),
            None => assert!(allowed.host.ends_with(".stamp.internal") || allowed.host.ends_with(".example"), "{text}"),
        }
    }
}

fn dialled(ip: IpAddr) -> bool {
    let metadata = ["169.254.169.254", "168.63.129.16", "fd00:ec2::254"].map(|ip| ip.parse::<IpAddr>().unwrap());
    !(ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || metadata.contains(&ip)) && ip.to_canonical() == ip
}

fn hosts(text: &str) {
    if let Ok(pattern) = HostPattern::parse(text) {
        assert_eq!(HostPattern::parse(&pattern.to_string()).as_ref(), Ok(&pattern), "{text}");
        assert!(!pattern.matches("") && !pattern.matches("evil.invalid.test"));
    }
    if let Ok(endpoint) = HttpEndpoint::parse(text) {
        assert_eq!(HttpEndpoint::parse(&format!("http://{endpoint}")).as_ref(), Ok(&endpoint), "{text}");
    }
}

/// The address of a store may hold a password, before its `@` or behind its `?`, which is never shown.
fn store(text: &str) {
    const SECRET: &str = "s3cret-p4ss";
    let shown = match StoreUrl::parse(text) {
        Ok(store) => {
            assert_eq!(store.expose(), text);
            format!("{store} {store:?}")
        }
        Err(invalid) => format!("{invalid} {invalid:?}"),
    };
    let (user, rest) = text.rsplit_once('@').unwrap_or(("", text));
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let is_secret = user.contains(SECRET) || query.contains(SECRET);
    assert!(!shown.contains(SECRET) || !is_secret || place.contains(SECRET) || text.starts_with("file:"), "{shown}");
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
}
