//! `check`: is this configuration valid, and is it wise?

use std::{path::Path, process::ExitCode};

use super::{CONFIG, print};

pub(crate) fn check(config: &Path) -> ExitCode {
    match synaxis_config::load_file(config) {
        Ok((_, warnings)) => {
            let mut said: String = warnings.iter().map(|warning| format!("{warning}\n")).collect();
            said.push_str(&format!("{} is valid\n", config.display()));
            print(&said)
        }
        Err(faults) => {
            eprintln!("{faults}");
            ExitCode::from(CONFIG)
        }
    }
}
