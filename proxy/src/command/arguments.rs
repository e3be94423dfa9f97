//! What can be said on the command line.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::healthcheck::AdminAddress;

/// A request router for multi-tenant, stamp-based platforms.
///
/// Exit codes: 0 done, 1 failed at run time, 2 wrong usage, 69 the address of a listener is in use, 78 the configuration is
/// invalid.
#[derive(Parser)]
#[command(name = "synaxis-proxy", version, max_term_width = 120)]
pub(crate) struct Arguments {
    /// How events are written to standard error
    #[arg(long, value_enum, default_value = "text", global = true)]
    pub(crate) log_format: LogFormat,
    /// Which events are written, such as `info` or `synaxis_proxy=debug`
    #[arg(long, default_value = "info", global = true)]
    pub(crate) log_level: String,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
    /// key=value pairs, one event a line
    Logfmt,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run the proxy until SIGTERM; a second one cuts, SIGHUP loads the configuration again
    Run(Config),
    /// Check a configuration file; exit code 78 when it is invalid
    Check(Check),
    /// Print the effective settings, every default filled in and without secrets
    PrintConfig(Config),
    /// Print every setting with its default, commented out: a file to begin with
    DumpDefaults,
    /// Print the JSON Schema of the configuration file, for editors
    PrintSchema,
    /// Ask a running proxy whether it is ready: exit code 0 when it is, 1 when not; for probes in an image without curl
    Healthcheck(Healthcheck),
    /// Three small stamps with their proxies in this process, to play with
    Demo,
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page (roff): `synaxis-proxy man | man -l -`
    Man,
}

#[derive(Args)]
pub(crate) struct Config {
    /// The configuration file
    #[arg(long, env = "SYNAXIS_CONFIG", value_name = "FILE")]
    pub(crate) config: PathBuf,
}

#[derive(Args)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) file: Config,
    /// Say what the level of degradation would be with this dependency down; may be repeated
    #[arg(long, value_name = "NAME=down", value_parser = down)]
    pub(crate) simulate: Vec<String>,
}

fn down(text: &str) -> Result<String, String> {
    let name = text.strip_suffix("=down").filter(|name| !name.is_empty());
    name.map(str::to_owned).ok_or_else(|| "write NAME=down, NAME being one of [dependencies]".to_owned())
}

#[derive(Args)]
pub(crate) struct Healthcheck {
    /// The admin listener, such as http://127.0.0.1:9901; goes before --config [default: that of the configuration, or
    /// http://127.0.0.1:9901]
    #[arg(long, value_name = "URL")]
    pub(crate) address: Option<AdminAddress>,
    /// The configuration file of the proxy that is asked
    #[arg(long, env = "SYNAXIS_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// How long the whole answer may take: 10ms to 1m
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = timeout)]
    pub(crate) timeout: Duration,
}

fn timeout(text: &str) -> Result<Duration, String> {
    let timeout = synaxis_config::parse_duration(text).map_err(|error| error.to_string())?;
    let allowed = Duration::from_millis(10)..=Duration::from_secs(60);
    if allowed.contains(&timeout) { Ok(timeout) } else { Err("allowed are 10ms to 1m".to_owned()) }
}
