//! `completions` and `man`: what the arguments say of themselves.

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{arguments::Arguments, print};

pub(crate) fn completions(shell: Shell) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "synaxis-proxy", &mut text);
    print(&String::from_utf8_lossy(&text))
}

pub(crate) fn man() -> ExitCode {
    let mut text = Vec::new();
    match clap_mangen::Man::new(Arguments::command()).render(&mut text) {
        Ok(()) => print(&String::from_utf8_lossy(&text)),
        Err(error) => {
            eprintln!("the manual page cannot be made: {error}");
            ExitCode::FAILURE
        }
    }
}
