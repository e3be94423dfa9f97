//! `cargo +nightly fuzz run names`.

#![no_main]

#[path = "../../proxy/tests/fuzz/names.rs"]
mod names;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| names::body(bytes));
