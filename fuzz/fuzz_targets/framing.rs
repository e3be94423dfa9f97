//! `cargo +nightly fuzz run framing`.

#![no_main]

#[path = "../../proxy/tests/fuzz/framing.rs"]
mod framing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| framing::body(bytes));
