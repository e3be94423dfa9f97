//! `cargo +nightly fuzz run head`.

#![no_main]

#[path = "../../proxy/tests/fuzz/head.rs"]
mod head;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| head::body(bytes));
