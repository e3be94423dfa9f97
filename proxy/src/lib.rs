//! The data plane: a tenant's request reaches its stamp.
//!
//! Read [`pipeline`] first: it is the way of one request, told in one function. Three folders carry the request,
//! `downstream → pipeline → upstream`; `control` is the only writer of what they read. A file imports only from layers
//! below its own: `server` > `downstream, admin` > `pipeline, control` > `dataplane` > `cache, upstream, body` >
//! `telemetry, shutdown, tasks`.

pub mod demo;
pub mod server;

pub mod admin;
pub mod downstream;

pub mod control;
pub mod pipeline;

pub mod dataplane;

pub mod cache;
pub mod upstream;

pub mod body;

pub mod shutdown;
pub mod tasks;
pub mod telemetry;
