//! `cargo +nightly fuzz run config`.

#![no_main]

#[path = "../../proxy/tests/fuzz/config.rs"]
mod config;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| config::body(bytes));
