//! What tests run against: recording origins, proxies in this process, a blocking client, a real redis-server.

pub mod cable;
pub mod client;
pub mod origin;
pub mod probed;
pub mod process;
pub mod raw;
pub mod redis;
pub mod strict;
pub mod table;

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use synaxis_proxy::server::{self, Running};

pub use client::{Answer, Client};
pub use origin::{BIG, Origin};
pub use process::Process;
pub use raw::Raw;
pub use redis::Redis;
pub use strict::Strict;

/// A proxy from the text of its configuration.
pub fn proxy(toml: &str) -> Running {
    let (settings, _) =
        synaxis_config::load(toml, Path::new("test.toml")).unwrap_or_else(|faults| panic!("{faults}\n{toml}"));
    server::run(settings).unwrap()
}

/// The configuration of one proxy without a fleet, in front of `origin`.
pub fn alone(origin: SocketAddr, more: &str) -> String {
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
endpoints = ["http://{origin}"]
breaker = {{ failures = 10000 }}
[access_log]
output = "off"
[shutdown]
lame_duck = "50ms"
client_keepalive = "50ms"
drain = "2s"
{more}
"#
    )
}

/// A port nobody listens on. It lies below those that the kernel hands out by itself, so that none of the thousands of
/// connections beside takes it before it is used.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let next = std::process::id().wrapping_mul(61).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 10_000 + (next % 20_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Waits until `done` holds, or fails naming what did not come.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(15);
    while !done() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Stops a proxy and waits for all of its threads.
pub fn stop(proxy: Running) {
    proxy.stop();
    proxy.wait();
}
