//! `print-config`, `dump-defaults` and `print-schema`: what is configured, and what could be.

use std::{path::Path, process::ExitCode};

use synaxis_config::{print, reference};

use super::CONFIG;

pub(crate) fn config(file: &Path) -> ExitCode {
    match synaxis_config::load_file(file) {
        Ok((settings, _)) => super::print(&print::effective(&settings)),
        Err(faults) => {
            eprintln!("{faults}");
            ExitCode::from(CONFIG)
        }
    }
}

pub(crate) fn defaults() -> ExitCode {
    super::print(&reference::defaults())
}

pub(crate) fn schema() -> ExitCode {
    super::print(&reference::schema())
}
