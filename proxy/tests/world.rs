//! What tests run against: recording origins, proxies in this process, a blocking client, a real redis-server.

pub mod client;
pub mod origin;
pub mod process;
pub mod raw;
pub mod redis;
pub mod strict;

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
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
[access_log]
output = "off"
[shutdown]
lame_duck = "50ms"
drain = "2s"
{more}
"#
    )
}

/// A port nobody listens on at this moment.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
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
