//! `synaxis-proxy`: arguments, exit codes, signals. Everything else is the library's.

use std::{io::IsTerminal, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand, ValueEnum};
use synaxis_proxy::{demo, server};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::{EnvFilter, fmt};

// measured against glibc: a twentieth less CPU time a request for some more memory
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The address of a listener is in use (sysexits EX_UNAVAILABLE).
const UNAVAILABLE: u8 = 69;
/// The configuration is invalid (sysexits EX_CONFIG).
const CONFIG: u8 = 78;

/// A request router for multi-tenant, stamp-based platforms.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// How events are written to standard error.
    #[arg(long, value_enum, default_value = "text", global = true)]
    log_format: LogFormat,
    /// Which events are written, such as `info` or `synaxis_proxy=debug`.
    #[arg(long, default_value = "info", global = true)]
    log_level: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Subcommand)]
enum Command {
    /// Run the proxy until SIGTERM; a second one cuts.
    Run {
        /// The configuration file.
        #[arg(long, env = "SYNAXIS_CONFIG")]
        config: PathBuf,
    },
    /// Check a configuration file; exit code 78 when it is invalid.
    Check {
        /// The configuration file.
        #[arg(long, env = "SYNAXIS_CONFIG")]
        config: PathBuf,
    },
    /// Three small stamps with their proxies in this process, to play with.
    Demo,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Ok(filter) = EnvFilter::try_new(&arguments.log_level) else {
        eprintln!("--log-level {} is not understood", arguments.log_level);
        return ExitCode::from(2);
    };
    let events = fmt().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr).with_env_filter(filter);
    match arguments.log_format {
        LogFormat::Text => events.init(),
        LogFormat::Json => events.json().init(),
    }
    // for rediss://; nobody else installs one in this process
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match arguments.command {
        Command::Run { config } => run(&config),
        Command::Check { config } => check(&config),
        Command::Demo => match demo::run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("the demo failed: {error:#}");
                ExitCode::FAILURE
            }
        },
    }
}

fn check(config: &std::path::Path) -> ExitCode {
    match synaxis_config::load_file(config) {
        Ok((_, warnings)) => {
            warnings.iter().for_each(|warning| println!("{warning}"));
            println!("{} is valid", config.display());
            ExitCode::SUCCESS
        }
        Err(faults) => {
            eprintln!("{faults}");
            ExitCode::from(CONFIG)
        }
    }
}

fn run(config: &std::path::Path) -> ExitCode {
    let settings = match synaxis_config::load_file(config) {
        Ok((settings, warnings)) => {
            warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            settings
        }
        Err(faults) => {
            eprintln!("{faults}");
            return ExitCode::from(CONFIG);
        }
    };
    let running = match server::run(settings) {
        Ok(running) => running,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(if error.address_in_use() { UNAVAILABLE } else { 1 });
        }
    };
    tracing::info!(edges = ?running.edges, peers = ?running.peers, admin = %running.admin, "listening");
    if let Err(error) = stop_on_signals(&running) {
        eprintln!("signals cannot be watched: {error}");
        running.cut();
    }
    running.wait();
    ExitCode::SUCCESS
}

/// The first SIGTERM or SIGINT begins the way out, the second cuts; returns when the server has been cut.
fn stop_on_signals(running: &server::Running) -> std::io::Result<()> {
    use synaxis_proxy::shutdown::Phase;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let cut = running.plane().shutdown.reached(Phase::Cut);
        tokio::pin!(cut);
        let mut told = false;
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                () = &mut cut => return Ok(()),
            }
            if told {
                running.cut();
            } else {
                told = true;
                tracing::info!("stopping: lame duck, then drain; a second signal cuts");
                running.stop();
            }
        }
    })
}
