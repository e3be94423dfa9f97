//! Apps and stamps that fail in every way they can, and what their tenants notice of it.
//!
//! Every request carries an id; apps record what reached them, byte for byte.

mod app;
mod attempts;
mod bodies;
mod breaker;
mod budget;
mod heads;
mod moves;
mod places;
mod silent;
mod stamps;

use std::net::SocketAddr;

use synaxis_proxy::server::Running;

use crate::world::{Answer, Client};

/// Neither a breaker nor an ejection gets between.
const CALM: &str = "breaker = { failures = 100000 }\noutliers = { failures = 100000 }\n";

/// Retries at once, and as many as there may be of a request.
const EAGER: &str = "[retries]\nbackoff = \"5ms\"\nbudget_min = 100000\n";

/// One proxy without a fleet in front of these endpoints; `upstream` are lines of theirs, `more` sections.
fn config(endpoints: &[SocketAddr], upstream: &str, more: &str) -> String {
    let endpoints: Vec<String> = endpoints.iter().map(|address| format!("\"http://{address}\"")).collect();
    format!(
        r#"
[stamp]
id = "synaxis-weu-001"
[server]
workers = 1
[[listeners]]
kind = "edge"
address = "127.0.0.1:0"
trust_header = true
[admin]
address = "127.0.0.1:0"
[upstreams.app]
endpoints = [{}]
{upstream}
[access_log]
output = "off"
[shutdown]
lame_duck = "1ms"
client_keepalive = "1ms"
drain = "2s"
{more}
"#,
        endpoints.join(", ")
    )
}

/// A series of the metrics page; 0 before it was first counted up.
fn metric(proxy: &Running, series: &str) -> f64 {
    let answer = Client::connect(proxy.admin).exchange(b"GET /metrics HTTP/1.1\r\nHost: admin\r\n\r\n").unwrap();
    let text = answer.text();
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0.0, |count| count.parse().unwrap())
}

/// A request with a body of known length, unless it is empty and the method is GET.
fn ask(client: &mut Client, method: &str, tenant: &str, target: &str, fields: &str, body: &[u8]) -> Answer {
    let length =
        if method == "GET" && body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head =
        format!("{method} {target} HTTP/1.1\r\nHost: app.example\r\nX-Tenant-Id: {tenant}\r\n{fields}{length}\r\n");
    client.exchange(&[head.as_bytes(), body].concat()).unwrap()
}

/// The same on a connection of its own.
fn once(proxy: &Running, method: &str, tenant: &str, target: &str) -> Answer {
    ask(&mut Client::connect(proxy.edges[0]), method, tenant, target, "", b"")
}

/// Requests in flight at the first app, as its guard counts them.
fn in_flight(proxy: &Running) -> u32 {
    proxy.plane().snapshot.load().apps[0].guard.admission.in_flight()
}
