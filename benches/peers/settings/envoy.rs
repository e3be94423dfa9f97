//! Envoy's configuration: Maglev over the tenant header, no header added, no admin listener, no limit that a run reaches.

/// Envoy as a proxy.
pub(crate) fn envoy(port: u16, origins: &[u16; 3]) -> String {
    let endpoints: String = origins.iter().fold(String::new(), |text, origin| text + &endpoint(*origin));
    FRAME.replace("LISTEN", &port.to_string()).replace("ENDPOINTS\n", &endpoints)
}

fn endpoint(port: u16) -> String {
    format!("        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }} }}\n")
}

const FRAME: &str = r#"static_resources:
  listeners:
  - name: edge
    address: { socket_address: { address: 127.0.0.1, port_value: LISTEN } }
    tcp_backlog_size: 4096
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: edge
          codec_type: HTTP1
          generate_request_id: false
          stream_idle_timeout: 300s
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: { prefix: "/" }
                route: { cluster: app, hash_policy: [{ header: { header_name: x-tenant-id } }] }
          http_filters:
          - name: router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
              suppress_envoy_headers: true
  clusters:
  - name: app
    type: STATIC
    connect_timeout: 1s
    lb_policy: MAGLEV
    circuit_breakers:
      thresholds:
      - max_connections: 1000000
        max_pending_requests: 1000000
        max_requests: 1000000
        max_retries: 1000000
    load_assignment:
      cluster_name: app
      endpoints:
      - lb_endpoints:
ENDPOINTS
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_origin_is_an_endpoint() {
        let text = envoy(8_080, &[4_001, 4_002, 4_003]);
        assert!(text.contains("port_value: 8080 }"));
        assert_eq!(text.matches("- endpoint:").count(), 3);
        assert!(!text.contains("ENDPOINTS") && !text.contains("LISTEN"));
    }
}
