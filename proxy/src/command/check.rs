//! `check`: is this configuration valid, is it wise, and what would be given up if something failed?

use std::process::ExitCode;

use synaxis_config::Settings;
use synaxis_proxy::control::degradation::{self, keeper::level};

use super::{CONFIG, USAGE, arguments::Check, print};

pub(crate) fn check(said: &Check) -> ExitCode {
    let config = &said.file.config;
    let (settings, warnings) = match synaxis_config::load_file(config) {
        Ok(loaded) => loaded,
        Err(faults) => {
            eprintln!("{faults}");
            return ExitCode::from(CONFIG);
        }
    };
    let mut text: String = warnings.iter().map(|warning| format!("{warning}\n")).collect();
    text.push_str(&format!("{} is valid\n", config.display()));
    if !said.simulate.is_empty() {
        match simulate(&settings, &said.simulate) {
            Ok(preview) => text.push_str(&preview),
            Err(unknown) => {
                eprintln!("{unknown}");
                return ExitCode::from(USAGE);
            }
        }
    }
    print(&text)
}

fn simulate(settings: &Settings, down: &[String]) -> Result<String, degradation::Unknown> {
    let watched: Vec<_> = settings.dependencies.iter().map(|one| (one.name.as_str(), level(one.on_failure))).collect();
    let down: Vec<&str> = down.iter().map(String::as_str).collect();
    let preview = degradation::simulate(&watched, &down)?;
    let why: String = preview.why.iter().map(|why| format!("  {why}\n")).collect();
    Ok(format!("level {}: {}\n{why}", u8::from(preview.level), preview.level))
}
