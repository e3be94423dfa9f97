//! The configuration of every server in the comparison. Nobody gets a switch that the others do not have: one worker,
//! no access log, kept connections on both sides, consistent hashing of the same header.

use std::{fmt::Write as _, path::Path};

/// Requests on one connection before nginx would close it: never during a run.
const FOREVER: u32 = 1_000_000_000;

fn nginx(folder: &Path, name: &str, http: &str) -> String {
    let folder = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .fold(String::new(), |text, kind| text + &format!("  {kind}_temp_path {folder}/{name}-{kind};\n"));
    format!(
        "daemon off;\nworker_processes 1;\npid {folder}/{name}.pid;\nerror_log stderr error;\n\
         events {{ worker_connections 20000; }}\n\
         http {{\n  access_log off;\n  keepalive_requests {FOREVER};\n  keepalive_timeout 300s;\n{temporary}{http}}}\n"
    )
}

/// The origin: a kibibyte of JSON.
pub(crate) fn origin(folder: &Path, ports: &[u16; 3]) -> String {
    let body = format!("{{\"data\":\"{}\"}}", "x".repeat(1_024 - 11));
    let servers: String = ports.iter().fold(String::new(), |text, port| {
        text + &format!(
            "  server {{ listen 127.0.0.1:{port}; default_type application/json; location / {{ return 200 '{body}'; }} }}\n"
        )
    });
    nginx(folder, "origin", &servers)
}

/// nginx as a proxy.
pub(crate) fn nginx_proxy(folder: &Path, port: u16, origins: &[u16; 3]) -> String {
    let servers: String =
        origins.iter().fold(String::new(), |text, origin| text + &format!(" server 127.0.0.1:{origin};"));
    let http = format!(
        "  upstream app {{ hash $http_x_tenant_id consistent;{servers} keepalive 256; keepalive_requests {FOREVER}; }}\n  \
         server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://app; proxy_http_version 1.1; \
         proxy_set_header Connection \"\"; }} }}\n"
    );
    nginx(folder, "nginx", &http)
}

/// HAProxy.
pub(crate) fn haproxy(port: u16, origins: &[u16; 3]) -> String {
    let mut text = format!(
        "global\n  nbthread 1\n  maxconn 8000\ndefaults\n  mode http\n  timeout connect 1s\n  timeout client 300s\n  \
         timeout server 300s\n  http-reuse always\nfrontend edge\n  bind 127.0.0.1:{port}\n  default_backend app\n\
         backend app\n  balance hdr(X-Tenant-Id)\n  hash-type consistent\n"
    );
    for (index, origin) in origins.iter().enumerate() {
        let _ = writeln!(text, "  server s{index} 127.0.0.1:{origin}");
    }
    text
}

/// This proxy: alone in its fleet, so that every request takes the whole way through tenant, table and route.
pub(crate) fn synaxis(port: u16, admin: u16, origins: &[u16; 3], access_log: &str) -> String {
    let endpoints: Vec<String> = origins.iter().map(|origin| format!("\"http://127.0.0.1:{origin}\"")).collect();
    format!(
        "[stamp]\nid = \"synaxis-weu-001\"\n[server]\nworkers = 1\n\
         [[listeners]]\nkind = \"edge\"\naddress = \"127.0.0.1:{port}\"\ntrust_header = true\n\
         [admin]\naddress = \"127.0.0.1:{admin}\"\n[upstreams.app]\nendpoints = [{}]\n\
         [access_log]\noutput = \"{access_log}\"\n[timeouts]\nidle = \"300s\"\n\
         [shutdown]\nlame_duck = \"0s\"\ndrain = \"1s\"\n",
        endpoints.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_answers_a_kibibyte() {
        let text = origin(Path::new("/folder"), &[1, 2, 3]);
        let body = text.split('\'').nth(1).unwrap();
        assert_eq!(body.len(), 1_024);
        assert_eq!(text.matches("listen").count(), 3);
    }

    #[test]
    fn everybody_knows_every_origin() {
        let ports = [4_001, 4_002, 4_003];
        for text in [nginx_proxy(Path::new("/f"), 80, &ports), haproxy(80, &ports), synaxis(80, 81, &ports, "off")] {
            assert!(ports.iter().all(|port| text.contains(&format!("127.0.0.1:{port}"))), "{text}");
        }
    }
}
