//! The promises of the proxy, each a test with real sockets, real threads and, where the table matters, a real store.
//!
//! One binary; `world` builds what the tests run against.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::needless_pass_by_value)]

mod admin;
mod bad_input;
mod binary;
mod bodies;
mod body_size;
mod cache;
mod caps;
mod commands;
mod degradation;
mod dependencies;
mod deploy;
mod docs;
mod faults;
mod fleet;
mod fuzz;
mod health;
mod hops;
mod layers;
mod limits;
mod linger;
mod log;
mod must_never;
mod reload;
mod routes;
mod security;
mod shutdown;
mod single;
mod stalled;
mod tenants;
mod vectors;
mod websockets;
mod world;
