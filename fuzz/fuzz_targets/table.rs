//! `cargo +nightly fuzz run table`.

#![no_main]

#[path = "../../proxy/tests/fuzz/table.rs"]
mod table;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| table::body(bytes));
