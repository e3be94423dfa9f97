//! Where the process listens: somewhere for clients, and everything on its own address.

use std::net::SocketAddr;

use toml::Spanned;

use crate::{
    fault::Findings,
    settings::{HttpEndpoint, ListenerKind},
    written::{Dependency, Listener, Upstream},
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

/// An app at a listener of this process would be asked from the inside: by an operator's address, or in a circle. A
/// dependency there would never be well again: what follows from its failure is what its probe sees.
pub(super) fn refuse_own(
    listeners: &[Listener],
    admin: &Spanned<SocketAddr>,
    upstreams: &[Upstream],
    dependencies: &[Dependency],
    findings: &Findings,
) {
    let own = || listeners.iter().filter_map(|listener| listener.address.as_ref()).chain([admin]).map(Spanned::get_ref);
    let is_own = |endpoint: &HttpEndpoint| {
        let Some(ip) = endpoint.ip() else { return false };
        own().any(|own| {
            own.port() == endpoint.port && (own.ip() == ip || (own.ip().is_unspecified() && ip.is_loopback()))
        })
    };
    let endpoints = upstreams.iter().flat_map(|upstream| &upstream.endpoints);
    for endpoint in endpoints.filter(|endpoint| is_own(endpoint.get_ref())) {
        findings.fault(
            &endpoint.span(),
            "`endpoints` in [upstreams.NAME]: this proxy itself listens there; write where the app listens",
        );
    }
    let probes = dependencies.iter().filter_map(|dependency| dependency.probe.as_ref());
    for probe in probes.filter(|probe| probe.get_ref().endpoint().is_some_and(is_own)) {
        findings.fault(
            &probe.span(),
            "`probe` in [dependencies.NAME]: this proxy itself listens there; write where the dependency listens",
        );
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
