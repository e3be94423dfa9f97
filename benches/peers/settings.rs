//! The configuration of every server in the comparison. Nobody gets a switch that the others do not have: one worker,
//! no access log, kept connections on both sides, consistent hashing of the same header.

use std::{fmt::Write as _, path::Path};

pub(crate) mod envoy;
pub(crate) mod kept;
pub(crate) mod synaxis;

/// Requests on one connection before nginx would close it: never during a run.
const FOREVER: u32 = 1_000_000_000;
/// Connections that every server has room for.
const ROOM: u32 = 8_000;

/// Requests a second that nobody makes, of a tenant and of a user.
const NGINX_ZONES: &str = "  limit_req_zone $http_x_tenant_id zone=tenants:10m rate=1000000r/s;\n  \
                           limit_req_zone $http_x_tenant_id:$http_x_user_id zone=users:10m rate=1000000r/s;\n";
const NGINX_LIMITS: &str = "limit_req zone=tenants burst=1000000 nodelay; limit_req zone=users burst=1000000 nodelay; ";
const HAPROXY_TABLES: &str = "backend tenants\n  stick-table type string len 64 size 100k expire 60s store http_req_rate(60s)\n\
                              backend users\n  stick-table type string len 128 size 100k expire 60s store http_req_rate(60s)\n";
const HAPROXY_LIMITS: &str = "  http-request set-var(txn.user) req.hdr(x-user-id)\n  \
                              http-request track-sc0 req.hdr(x-tenant-id) table tenants\n  \
                              http-request track-sc1 req.hdr(x-tenant-id),concat(:,txn.user) table users\n  \
                              http-request deny deny_status 429 if { sc_http_req_rate(0) gt 1000000000 } or \
                              { sc_http_req_rate(1) gt 1000000000 }\n";

fn nginx(folder: &Path, name: &str, connections: u32, http: &str) -> String {
    let folder = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .fold(String::new(), |text, kind| text + &format!("  {kind}_temp_path {folder}/{name}-{kind};\n"));
    // a proxy has as many connections again to its origins
    let room = 2 * room(connections) + 4_000;
    format!(
        "daemon off;\nworker_processes 1;\npid {folder}/{name}.pid;\nerror_log stderr error;\n\
         events {{ worker_connections {room}; }}\n\
         http {{\n  access_log off;\n  keepalive_requests {FOREVER};\n  keepalive_timeout 300s;\n{temporary}{http}}}\n"
    )
}

fn room(connections: u32) -> u32 {
    ROOM.max(connections + 1_000)
}

/// The origin: a kibibyte of JSON, and on one more port how many requests there were.
pub(crate) fn origin(folder: &Path, ports: &[u16; 3], status: u16, connections: u32) -> String {
    let body = format!("{{\"data\":\"{}\"}}", "x".repeat(1_024 - 11));
    let kept = kept::location();
    let servers: String = ports.iter().fold(String::new(), |text, port| {
        text + &format!(
            "  server {{ listen 127.0.0.1:{port} backlog=4096; default_type application/json; \
             location / {{ return 200 '{body}'; }} {kept} }}\n"
        )
    });
    let status = format!("  server {{ listen 127.0.0.1:{status}; location / {{ stub_status; }} }}\n");
    nginx(folder, "origin", connections, &(servers + &status))
}

/// nginx as a proxy.
pub(crate) fn nginx_proxy(
    folder: &Path,
    port: u16,
    origins: &[u16; 3],
    connections: u32,
    pool: u32,
    limits: bool,
) -> String {
    let (zones, limits) = if limits { (NGINX_ZONES, NGINX_LIMITS) } else { ("", "") };
    let servers: String =
        origins.iter().fold(String::new(), |text, origin| text + &format!(" server 127.0.0.1:{origin};"));
    let http = format!(
        "{zones}  upstream app {{ hash $http_x_tenant_id consistent;{servers} keepalive {pool}; keepalive_requests {FOREVER}; }}\n  \
         server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ proxy_pass http://app; proxy_http_version 1.1; \
         proxy_set_header Connection \"\"; {limits}}} }}\n"
    );
    nginx(folder, &format!("nginx-{port}"), connections, &http)
}

/// HAProxy. It keeps every connection to the origins that is safe to keep.
pub(crate) fn haproxy(port: u16, origins: &[u16; 3], connections: u32, limits: bool) -> String {
    let (tables, limits) = if limits { (HAPROXY_TABLES, HAPROXY_LIMITS) } else { ("", "") };
    // it counts two descriptors for every client, which here have one each as long as they are idle
    let mut text = format!(
        "global\n  nbthread 1\n  maxconn {}\n  no strict-limits\ndefaults\n  mode http\n  timeout connect 1s\n  \
         timeout client 300s\n  timeout server 300s\n  http-reuse always\n{tables}frontend edge\n  bind 127.0.0.1:{port}\n{limits}  \
         default_backend app\nbackend app\n  balance hdr(X-Tenant-Id)\n  hash-type consistent\n",
        room(connections)
    );
    for (index, origin) in origins.iter().enumerate() {
        let _ = writeln!(text, "  server s{index} 127.0.0.1:{origin}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORTS: [u16; 3] = [4_001, 4_002, 4_003];

    #[test]
    fn the_origin_answers_a_kibibyte_on_three_ports() {
        let text = origin(Path::new("/folder"), &PORTS, 4_004, 64);
        let body = text.split('\'').nth(1).unwrap();
        assert_eq!(body.len(), 1_024);
        assert_eq!(text.matches("location / { return 200").count(), 3);
    }

    #[test]
    fn everybody_knows_every_origin() {
        let texts = [
            nginx_proxy(Path::new("/f"), 80, &PORTS, 64, 256, false),
            haproxy(80, &PORTS, 64, false),
            synaxis::Synaxis { port: 80, admin: 81, origins: &PORTS, pool: 256, extra: synaxis::Extra::default() }
                .to_string(),
        ];
        for text in texts {
            assert!(PORTS.iter().all(|port| text.contains(&format!("127.0.0.1:{port}"))), "{text}");
        }
        let text = envoy::envoy(80, &PORTS);
        assert!(PORTS.iter().all(|port| text.contains(&format!("port_value: {port}"))), "{text}");
    }

    #[test]
    fn who_is_to_count_counts_the_tenant_and_the_user() {
        for limits in [false, true] {
            let nginx = nginx_proxy(Path::new("/f"), 80, &PORTS, 64, 256, limits);
            assert_eq!(nginx.matches("limit_req zone=").count(), if limits { 2 } else { 0 });
            let haproxy = haproxy(80, &PORTS, 64, limits);
            assert_eq!(haproxy.matches("http-request track-sc").count(), if limits { 2 } else { 0 });
        }
    }

    #[test]
    fn there_is_room_for_the_connections_that_are_asked_for() {
        assert!(haproxy(80, &PORTS, 64, false).contains("maxconn 8000"));
        assert!(haproxy(80, &PORTS, 10_000, false).contains("maxconn 11000"));
        assert!(nginx_proxy(Path::new("/f"), 80, &PORTS, 64, 256, false).contains("worker_connections 20000"));
        assert!(nginx_proxy(Path::new("/f"), 80, &PORTS, 10_000, 256, false).contains("worker_connections 26000"));
    }
}
