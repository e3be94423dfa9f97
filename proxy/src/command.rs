//! The commands of the binary beside `run`: each asks or prints one thing and ends.
//!
//! Invariant: what a command prints for people or programs goes to standard output, and a reader that is gone is no fault.

pub(crate) mod arguments;
pub(crate) mod check;
pub(crate) mod events;
pub(crate) mod healthcheck;
pub(crate) mod manual;
pub(crate) mod show;

use std::{
    io::{ErrorKind, Write as _},
    process::ExitCode,
};

/// Wrong usage, as clap says it too.
pub(crate) const USAGE: u8 = 2;
/// The address of a listener is in use (sysexits EX_UNAVAILABLE).
pub(crate) const UNAVAILABLE: u8 = 69;
/// The configuration is invalid (sysexits EX_CONFIG).
pub(crate) const CONFIG: u8 = 78;

/// Writes a result to standard output.
fn print(text: &str) -> ExitCode {
    let mut output = std::io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        // whoever reads has seen enough: `… | head -1`
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("standard output cannot be written: {error}");
            ExitCode::FAILURE
        }
    }
}
