//! Nobody reads a request where somebody else read a body, or the other way round. One test a family of raw-byte vectors,
//! which say what the app must have parsed instead.

use crate::vectors::family;

#[test]
fn a_length_beside_chunks_smuggles_nothing() {
    family("cl.te", 6);
    family("te.cl", 5);
}

#[test]
fn an_obfuscated_coding_smuggles_nothing() {
    family("te.te", 36);
}

#[test]
fn a_body_that_somebody_does_not_expect_smuggles_nothing() {
    family("cl.0", 4);
    family("0.cl", 7);
    family("te.0", 5);
}

#[test]
fn a_length_in_another_spelling_smuggles_nothing() {
    family("cl.cl", 20);
}

#[test]
fn a_chunk_size_in_another_spelling_smuggles_nothing() {
    family("chunk-size", 20);
}

#[test]
fn a_chunk_extension_smuggles_nothing() {
    family("chunk-extension", 14);
}

#[test]
fn a_chunk_that_ends_elsewhere_smuggles_nothing() {
    family("chunk-end", 9);
}

#[test]
fn a_trailer_smuggles_nothing() {
    family("trailer", 12);
}

#[test]
fn a_bare_cr_smuggles_nothing() {
    family("bare-cr", 8);
}

#[test]
fn a_bare_lf_smuggles_nothing() {
    family("bare-lf", 6);
}

#[test]
fn an_upgrade_smuggles_nothing() {
    family("upgrade", 7);
}

#[test]
fn an_expectation_smuggles_nothing() {
    family("expect", 10);
}

#[test]
fn http_1_0_smuggles_nothing() {
    family("http10", 7);
}

#[test]
fn nothing_runs_behind_what_was_refused() {
    family("pipelining", 10);
}

#[test]
fn spoofed_internal_and_forwarded_fields_never_reach_the_app() {
    family("spoof", 12);
}

#[test]
fn no_connection_field_takes_away_what_is_not_the_clients() {
    family("connection", 25);
}
