//! `synaxis-proxy`: dispatch, `run` and its signals. The other commands are in `command`, everything else is the library's.

// the arguments' docstrings are help texts, where brackets are brackets
#![allow(rustdoc::broken_intra_doc_links)]

mod command;

use std::{io::IsTerminal, process::ExitCode};

use clap::Parser as _;
use command::{
    CONFIG, UNAVAILABLE, USAGE,
    arguments::{Arguments, Command, LogFormat},
    check::check,
    healthcheck::healthcheck,
    manual,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use synaxis_proxy::{demo, server};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::{EnvFilter, fmt};

// measured against glibc: a twentieth less CPU time a request for some more memory
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Ok(filter) = EnvFilter::try_new(&arguments.log_level) else {
        eprintln!("--log-level {} is not understood", arguments.log_level);
        return ExitCode::from(USAGE);
    };
    let events = fmt().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr).with_env_filter(filter);
    match arguments.log_format {
        LogFormat::Text => events.init(),
        LogFormat::Json => events.json().init(),
        LogFormat::Logfmt => {
            let fields = tracing_logfmt::FieldsFormatter::default();
            events.event_format(tracing_logfmt::EventsFormatter::default()).fmt_fields(fields).init();
        }
    }
    // for rediss://; nobody else installs one in this process
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match arguments.command {
        Command::Run(said) => run(&said.config),
        Command::Check(said) => check(&said.config),
        Command::Healthcheck(said) => healthcheck(&said),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man => manual::man(),
        Command::Demo => match demo::run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("the demo failed: {error:#}");
                ExitCode::FAILURE
            }
        },
    }
}

/// Most systems start a process with a soft limit of 1024 descriptors, far below what they would allow.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, ?limit, "the limit of open descriptors cannot be raised");
    }
}

fn run(config: &std::path::Path) -> ExitCode {
    raise_descriptor_limit();
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
