//! `[[listeners]]` and `[admin]`: where connections come in.

use std::net::{Ipv4Addr, SocketAddr};

use toml::Spanned;

use super::{address, http_path};
use crate::{
    describe::Need,
    section::Section,
    settings::{HostPattern, ListenerKind, Secret},
    value::{choice, flag, text, text_shown},
};

/// Most listeners of one process.
const LISTENERS_MAX: usize = 64;

/// One of `[[listeners]]` as written.
pub(crate) struct Listener {
    pub(crate) kind: Option<ListenerKind>,
    pub(crate) address: Option<Spanned<SocketAddr>>,
    pub(crate) trust_header: Option<Spanned<bool>>,
    pub(crate) health_path: String,
}

/// `None`: there is no list of listeners, which was noted.
pub(super) fn listeners(file: &mut Section<'_>) -> Option<Vec<Listener>> {
    if !file.has("listeners") {
        let cure =
            "write kind = \"edge\", address = \"127.0.0.1:8080\" and trust_header = true below a line [[listeners]]";
        let why = format!("[[listeners]] is missing; {cure}");
        file.missing_because("listeners", Need::Always(String::new()), &why);
    }
    Some(file.sections("listeners", LISTENERS_MAX)?.into_iter().map(listener).collect())
}

fn listener(section: Section<'_>) -> Listener {
    section.read(|s| {
        let kinds = [("edge", ListenerKind::Edge), ("peer", ListenerKind::Peer)];
        let kind = s.required("kind", "kind = \"edge\"", choice(&kinds)).map(Spanned::into_inner);
        let address = s.required("address", "address = \"127.0.0.1:8080\"", self::address());
        match kind {
            Some(ListenerKind::Peer) => peer(s, address.as_ref()),
            Some(ListenerKind::Edge) if !s.has("trust_header") => {
                s.missing_because("trust_header", Need::Sometimes("trust_header = true".to_owned()), NO_TENANT);
            }
            _ => {}
        }
        let trust_header = s.optional("trust_header", flag());
        if let Some(distrusted) = trust_header.as_ref().filter(|trust| !*trust.get_ref()) {
            s.fault(&distrusted.span(), NO_TENANT);
        }
        let health_path = s.or("health_path", "/health".to_owned(), text(http_path));
        Listener { kind, address, trust_header, health_path }
    })
}

/// Without the header an edge listener would answer 400 to everything.
const NO_TENANT: &str = "an edge listener without `trust_header` cannot tell tenants apart: this version knows them by \
                         their header only; write trust_header = true and let only Front Door or clients you trust reach it";

fn peer(s: &mut Section<'_>, address: Option<&Spanned<SocketAddr>>) {
    s.refuse("trust_header", "it belongs to edge listeners; on a peer listener other stamps name the tenant");
    s.refuse("health_path", "it belongs to edge listeners; a peer listener answers /health");
    if let Some(address) = address.filter(|address| !address.get_ref().ip().is_loopback()) {
        s.fault(
            &address.span(),
            "a peer listener stands on loopback, such as 127.0.0.1:8443: this version has no TLS between stamps, and \
             whoever reaches a peer listener is believed",
        );
    }
}

/// `[admin]` as written.
pub(crate) struct Admin {
    pub(crate) address: Spanned<SocketAddr>,
    pub(crate) token: Option<Secret>,
    pub(crate) hosts: Vec<String>,
}

/// Most names of the admin listener.
const HOSTS_MAX: usize = 64;

pub(super) fn admin(section: Section<'_>) -> Admin {
    section.read(|s| {
        let default = SocketAddr::from((Ipv4Addr::LOCALHOST, 9901));
        let address = s.spanned_or("address", default, address());
        let token = s.secret(["token", "token_file"], text_shown(Secret::token, |_| String::new()));
        let hosts = s.list_or("hosts", 0..=HOSTS_MAX, Vec::new(), text(host));
        Admin { address, token: token.map(Spanned::into_inner), hosts }
    })
}

/// A whole name: a wildcard would let in what it is meant to keep out.
fn host(written: &str) -> Result<String, &'static str> {
    match HostPattern::parse(written) {
        Ok(HostPattern::Exact(name)) => Ok(name),
        _ => Err("a name in lower case and without a port, such as admin.example.com"),
    }
}
