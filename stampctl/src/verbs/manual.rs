//! `completions` and `man`: what the arguments say of themselves.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::{args::Args, failure::Failure, output};

pub(super) fn completions(shell: Shell) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "stampctl", &mut text);
    output::raw(&String::from_utf8_lossy(&text))
}

pub(super) fn man() -> Result<(), Failure> {
    let mut text = Vec::new();
    let made = clap_mangen::Man::new(Args::command()).render(&mut text);
    made.map_err(|error| Failure::failed(format!("cannot make the manual page: {error}")))?;
    output::raw(&String::from_utf8_lossy(&text))
}
