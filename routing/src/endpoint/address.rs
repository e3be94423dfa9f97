//! Addresses that no policy can allow.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Instance metadata and platform agents outside link-local: whoever reaches them reads credentials.
const METADATA_V4: [(Ipv4Addr, &str); 3] = [
    (Ipv4Addr::new(168, 63, 129, 16), "the Azure platform's agent address"),
    (Ipv4Addr::new(100, 100, 100, 200), "an instance metadata address"),
    (Ipv4Addr::new(192, 0, 0, 192), "an instance metadata address"),
];

/// The same in IPv6 (AWS, GCP).
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

/// What is wrong with an address, if anything is, whatever the policy says.
pub(super) fn forbidden(ip: IpAddr) -> Option<&'static str> {
    match ip {
        IpAddr::V4(ip) => forbidden_v4(ip),
        IpAddr::V6(ip) => forbidden_v6(ip),
    }
}

fn forbidden_v4(ip: Ipv4Addr) -> Option<&'static str> {
    if let Some((_, why)) = METADATA_V4.iter().find(|(address, _)| *address == ip) {
        return Some(why);
    }
    if ip.is_link_local() {
        return Some("link-local, where instance metadata lives");
    }
    if ip.octets()[0] == 0 {
        return Some("unspecified"); // 0.0.0.0/8 reaches this host on Linux (RFC 1122 §3.2.1.3)
    }
    if ip.is_multicast() {
        return Some("multicast");
    }
    // RFC 1112 §4: 240.0.0.0/4
    (ip.octets()[0] >= 240).then_some("broadcast or reserved")
}

fn forbidden_v6(ip: Ipv6Addr) -> Option<&'static str> {
    if METADATA_V6.contains(&ip) {
        return Some("an instance metadata address");
    }
    if ip.is_loopback() {
        return None;
    }
    if ip.is_unspecified() {
        return Some("unspecified");
    }
    if ip.is_multicast() {
        return Some("multicast");
    }
    let s = ip.segments();
    if s[0] & 0xffc0 == 0xfe80 {
        return Some("link-local");
    }
    // IPv4-mapped and -compatible, NAT64 (RFC 6052, 8215), 6to4, Teredo: a way around every rule for IPv4
    let embeds = s[..4] == [0; 4] || s[..2] == [0x64, 0xff9b] || s[0] == 0x2002 || s[..2] == [0x2001, 0];
    embeds.then_some("an IPv6 address that carries an IPv4 address")
}
