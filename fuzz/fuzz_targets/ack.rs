//! `cargo +nightly fuzz run ack`.

#![no_main]

#[path = "../../proxy/tests/fuzz/ack.rs"]
mod ack;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ack::body(bytes));
