//! The operator's command line: stamps, tenants, tables.
//!
//! Every changing verb goes one way: read the table, edit it ([`synaxis_routing::change`]), show the difference, publish
//! if nobody else did, wait until every live proxy has it. Read in this order: [`args`] (what can be said), [`session`]
//! (that way), [`plan`] (what a change moves), [`wait`] (acknowledgements), [`verbs`] (one file a verb or noun), [`failure`] (exit codes).
//!
//! Invariant: the rules are the library's; this program only asks, shows, and maps refusals to exit codes.

// the arguments' docstrings are help texts, where brackets are brackets
#![allow(rustdoc::broken_intra_doc_links)]

mod args;
mod config;
mod duration;
mod failure;
mod fetch;
mod names;
mod output;
mod plan;
mod policy;
mod session;
mod traffic;
mod verbs;
mod wait;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let args = args::Args::parse();
    // for rediss://; nobody else installs one in this process
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failure::Failure::from)
        .and_then(|runtime| runtime.block_on(verbs::run(args)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("stampctl: {}", output::clean(&failure.to_string()));
            ExitCode::from(failure.code())
        }
    }
}
