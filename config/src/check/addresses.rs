//! Where the process listens: somewhere for clients, and everything on its own address.

use std::net::SocketAddr;

use toml::Spanned;

use crate::{
    fault::Findings,
    settings::ListenerKind,
    written::{Listener, Upstream},
};

pub(super) fn check(listeners: &[Listener], admin: &Spanned<SocketAddr>, findings: &Findings) {
    // a listener of unknown kind may have been meant as the one
    if !listeners.is_empty() && listeners.iter().all(|listener| listener.kind == Some(ListenerKind::Peer)) {
        let at = listeners.iter().find_map(|listener| listener.address.as_ref()).map_or(0..0, Spanned::span);
        findings.fault(
            &at,
            "no listener takes clients; write another [[listeners]] with kind = \"edge\", address = \"127.0.0.1:8080\" and \
             trust_header = true",
        );
    }
    let mut taken: Vec<SocketAddr> = Vec::new();
    for address in listeners.iter().filter_map(|listener| listener.address.as_ref()) {
        if taken.iter().any(|other| collide(*other, *address.get_ref())) {
            findings.fault(
                &address.span(),
                "`address` in [[listeners]]: another listener above already takes this address; give each its own port",
            );
        }
        taken.push(*address.get_ref());
    }
    if taken.iter().any(|other| collide(*other, *admin.get_ref())) {
        findings.fault(
            &admin.span(),
            "[admin] and a listener take the same address; write address = \"127.0.0.1:9901\" in [admin], or another \
             port there",
        );
    }
    for listener in listeners.iter().filter(|listener| listener.kind == Some(ListenerKind::Edge)) {
        warn_of_trust(listener, findings);
    }
}

fn warn_of_trust(listener: &Listener, findings: &Findings) {
    let (Some(trust), Some(address)) = (&listener.trust_header, &listener.address) else { return };
    if *trust.get_ref() && !address.get_ref().ip().is_loopback() {
        findings.warn(
            &trust.span(),
            "`trust_header` off loopback: whoever reaches this listener can claim to be any tenant; let only Front Door or \
             clients you trust reach it",
        );
    }
}

/// An app at a listener of this process would be asked from the inside: by an operator's address, or in a circle.
pub(super) fn refuse_own(
    listeners: &[Listener],
    admin: &Spanned<SocketAddr>,
    upstreams: &[Upstream],
    findings: &Findings,
) {
    let own = || listeners.iter().filter_map(|listener| listener.address.as_ref()).chain([admin]).map(Spanned::get_ref);
    for endpoint in upstreams.iter().flat_map(|upstream| &upstream.endpoints) {
        let Some(ip) = endpoint.get_ref().ip() else { continue };
        let address = SocketAddr::new(ip, endpoint.get_ref().port);
        let is_own = |own: &SocketAddr| {
            own.port() == address.port() && (own.ip() == ip || (own.ip().is_unspecified() && ip.is_loopback()))
        };
        if own().any(is_own) {
            findings.fault(
                &endpoint.span(),
                "`endpoints` in [upstreams.NAME]: this proxy itself listens there; write where the app listens",
            );
        }
    }
}

/// Whether binding both would fail. Port 0 is a new port each time.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let same_host =
        a.ip() == b.ip() || (a.is_ipv4() == b.is_ipv4() && (a.ip().is_unspecified() || b.ip().is_unspecified()));
    a.port() != 0 && a.port() == b.port() && same_host
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sockets_collide_as_the_kernel_sees_it() {
        for (a, b, expected) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "0.0.0.0:80", true),
            ("[::]:80", "[::1]:80", true),
            ("[::]:80", "0.0.0.0:80", false),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
        ] {
            assert_eq!(collide(a.parse().unwrap(), b.parse().unwrap()), expected, "{a} {b}");
        }
    }
}
