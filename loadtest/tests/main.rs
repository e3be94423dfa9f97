//! The harness on real processes: it sees what is planted, and its scenarios pass.
//!
//! One test at a time: each of them measures, and each uses the whole machine.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

mod aftermath;
mod cli;
mod client;
mod fleet;
mod origin;
mod planted;
mod support;
