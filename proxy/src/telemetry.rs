//! Facts of one request become metrics and a log line. Nothing here decides anything.

pub mod access_log;
pub mod cache;
pub mod labels;
pub mod metrics;
pub mod ratelimit;
pub mod record;
pub mod top;
pub mod upstream;
