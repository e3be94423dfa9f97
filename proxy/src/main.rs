//! `synaxis-proxy`: dispatch, `run` and its signals. The other commands are in `command`, everything else is the library's.

// the arguments' docstrings are help texts, where brackets are brackets
#![allow(rustdoc::broken_intra_doc_links)]

mod command;

use std::{process::ExitCode, sync::Arc};

use clap::Parser as _;
use command::{
    CONFIG, UNAVAILABLE, USAGE,
    arguments::{Arguments, Command},
    check::check,
    events,
    healthcheck::healthcheck,
    manual, show,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use synaxis_proxy::{
    admin::{self, LogFilter},
    control::config_file::ConfigFile,
    demo, server,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

// measured against glibc: a twentieth less CPU time a request for some more memory
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let understood = admin::check_filter(&arguments.log_level)
        .map_err(str::to_owned)
        .and_then(|()| EnvFilter::try_new(&arguments.log_level).map_err(|error| error.to_string()));
    let filter = match understood {
        Ok(filter) => filter,
        Err(why) => {
            eprintln!("--log-level {:?} is not understood: {why}", arguments.log_level);
            return ExitCode::from(USAGE);
        }
    };
    let logs = events::begin(arguments.log_format, arguments.log_level, filter);
    // for rediss://; nobody else installs one in this process
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match arguments.command {
        Command::Run(said) => run(&said.config, logs),
        Command::Check(said) => check(&said),
        Command::PrintConfig(said) => show::config(&said.config),
        Command::DumpDefaults => show::defaults(),
        Command::PrintSchema => show::schema(),
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

fn run(config: &std::path::Path, logs: Arc<dyn LogFilter>) -> ExitCode {
    // before anything else: a signal that comes during the start must not end the process
    let signals = match Signals::watch() {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("signals cannot be watched: {error}");
            return ExitCode::FAILURE;
        }
    };
    raise_descriptor_limit();
    let (file, settings) = match ConfigFile::load(config) {
        Ok((file, settings, warnings)) => {
            warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            (file, settings)
        }
        Err(faults) => {
            eprintln!("{faults}");
            return ExitCode::from(CONFIG);
        }
    };
    let running = match server::run_from(file, settings, Some(logs)) {
        Ok(running) => running,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(if error.address_in_use() { UNAVAILABLE } else { 1 });
        }
    };
    tracing::info!(edges = ?running.edges, peers = ?running.peers, admin = %running.admin, "listening");
    signals.obey(&running);
    running.wait();
    ExitCode::SUCCESS
}

/// What an operator, a service manager or Kubernetes says to the process.
struct Signals {
    runtime: tokio::runtime::Runtime,
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn watch() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let watch = |kind| {
            let _inside = runtime.enter();
            signal(kind)
        };
        let (terminate, interrupt) = (watch(SignalKind::terminate())?, watch(SignalKind::interrupt())?);
        let hangup = watch(SignalKind::hangup())?;
        Ok(Self { runtime, terminate, interrupt, hangup })
    }

    /// The first SIGTERM or SIGINT begins the way out, the second cuts; SIGHUP loads the configuration again. Returns when
    /// the server has been cut.
    fn obey(self, running: &server::Running) {
        use synaxis_proxy::shutdown::Phase;
        let Self { runtime, mut terminate, mut interrupt, mut hangup } = self;
        runtime.block_on(async {
            let cut = running.plane().shutdown.reached(Phase::Cut);
            tokio::pin!(cut);
            let mut told = false;
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                    _ = hangup.recv() => {
                        running.reload();
                        continue;
                    }
                    () = &mut cut => return,
                }
                if told {
                    tracing::warn!("a second signal: cutting what is left");
                    running.cut();
                } else {
                    told = true;
                    tracing::info!("stopping: lame duck, then drain; a second signal cuts");
                    running.stop();
                }
            }
        });
    }
}
