//! Pingora as a contestant: `pingora-peer LISTEN ORIGIN ORIGIN ORIGIN` (ports of 127.0.0.1) proxies plain HTTP/1.1 and
//! chooses the origin by Ketama over `X-Tenant-Id`.
//!
//! It does what the other contestants are configured to do and nothing more: one thread, no log, kept connections.

use std::{env, process::ExitCode, str::FromStr};

use async_trait::async_trait;
use pingora::{
    Error, ErrorType, Result,
    lb::{LoadBalancer, selection::consistent::KetamaHashing},
    prelude::HttpPeer,
    proxy::{ProxyHttp, Session, http_proxy_service},
    server::{Server, configuration::ServerConf},
};

/// Idle connections to the origins: as many as the other contestants keep.
const POOL: usize = 256;
/// Backends that a request may be offered to; all are always healthy.
const TRIES: usize = 4;

struct ByTenant(LoadBalancer<KetamaHashing>);

#[async_trait]
impl ProxyHttp for ByTenant {
    type CTX = ();

    fn new_ctx(&self) -> Self::CTX {}

    async fn upstream_peer(&self, session: &mut Session, _context: &mut ()) -> Result<Box<HttpPeer>> {
        let tenant = session.req_header().headers.get("x-tenant-id").map_or(&b""[..], |value| value.as_bytes());
        let backend = self.0.select(tenant, TRIES).ok_or_else(|| Error::new(ErrorType::ConnectNoRoute))?;
        Ok(Box::new(HttpPeer::new(backend, false, String::new())))
    }
}

fn main() -> ExitCode {
    let ports: Vec<u16> = env::args().skip(1).filter_map(|word| u16::from_str(&word).ok()).collect();
    let Some((listen, origins)) = ports.split_first().filter(|(_, origins)| !origins.is_empty()) else {
        eprintln!("say LISTEN ORIGIN… as ports of 127.0.0.1");
        return ExitCode::FAILURE;
    };
    let balancer = match LoadBalancer::try_from_iter(origins.iter().map(|port| ("127.0.0.1", *port))) {
        Ok(balancer) => balancer,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let settings = ServerConf {
        threads: 1,
        upstream_keepalive_pool_size: POOL,
        // ends at once when it is told to
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, settings);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, ByTenant(balancer));
    service.add_tcp(&format!("127.0.0.1:{listen}"));
    server.add_service(service);
    server.run_forever()
}
