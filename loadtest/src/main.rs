//! `synaxis-loadtest`: arguments and exit codes. Everything else is the library's.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use synaxis_loadtest::{
    origin,
    report::{self, Report, Verdict},
    run::{self, Options, Progress},
    scenario::{SHIPPED, Scenario},
    world::Binaries,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// An expectation was not met.
const FAILED: u8 = 1;
/// The scenario or the harness is at fault: nothing was judged.
const BROKEN: u8 = 2;
/// The figures are worth nothing.
const VOID: u8 = 3;

/// Load, faults and a verdict for the Synaxis proxy.
///
/// Exit codes: 0 passed, 1 failed, 2 could not be run, 3 void (the generator fell behind, so the run says nothing).
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a scenario: a shipped one by its name, or a file.
    Run(Run),
    /// Show the shipped scenarios.
    List,
    /// Show the difference of two runs.
    Compare {
        /// The JSON of one run.
        a: PathBuf,
        /// The JSON of the other.
        b: PathBuf,
    },
    /// Be the app of a stamp; standard input carries scripts, its end is the end.
    #[command(hide = true)]
    Origin(origin::Arguments),
}

#[derive(clap::Args)]
struct Run {
    /// Its name, or a file.
    scenario: String,
    /// Another seed: other arrivals, other requests.
    #[arg(long)]
    seed: Option<u64>,
    /// Another rate, in requests a second: that of the first phase; the others keep their proportion to it.
    #[arg(long)]
    rate: Option<f64>,
    /// Other connections.
    #[arg(long)]
    connections: Option<usize>,
    /// The short form: seconds instead of half a minute, and no bounds on latency.
    #[arg(long)]
    short: bool,
    /// Address of a server that is already there, instead of a world; may be repeated.
    #[arg(long, value_name = "IP:PORT")]
    target: Vec<std::net::SocketAddr>,
    /// Another proxy than the one beside this program.
    #[arg(long, value_name = "PATH")]
    proxy: Option<PathBuf>,
    /// Folder for NAME.json and NAME.html.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Leave the world's folder with its configurations, logs and journals even after success.
    #[arg(long)]
    keep: bool,
    /// Show nothing but the verdict.
    #[arg(long)]
    quiet: bool,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run(run) => judge(&run),
        Command::List => {
            list();
            Ok(ExitCode::SUCCESS)
        }
        Command::Compare { a, b } => compare(&a, &b),
        Command::Origin(arguments) => origin::run(&arguments).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        eprintln!("{error:#}");
        ExitCode::from(BROKEN)
    })
}

fn judge(arguments: &Run) -> anyhow::Result<ExitCode> {
    let mut scenario = Scenario::load(&arguments.scenario)?;
    scenario.seed = arguments.seed.unwrap_or(scenario.seed);
    if arguments.short {
        scenario = scenario.shortened();
    }
    if let Some(rate) = arguments.rate {
        scenario = scenario.at_rate(rate)?;
    }
    if let Some(connections) = arguments.connections {
        scenario.load.connections = connections;
    }
    if !arguments.target.is_empty() {
        scenario.targets.clone_from(&arguments.target);
        // they are not this harness's to break
        scenario.faults.clear();
        scenario.expect.shares.clear();
        scenario.load.entries = None;
    }
    let binaries = if scenario.targets.is_empty() {
        let beside = Binaries::beside()?;
        Some(match &arguments.proxy {
            Some(proxy) => beside.with_proxy(proxy.clone())?,
            None => beside,
        })
    } else {
        None
    };
    let progress = if arguments.quiet { Progress::Silent } else { Progress::suited() };
    let options = Options { short: arguments.short, binaries, progress, keep: arguments.keep };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let finished = runtime.block_on(run::run(&scenario, &options))?;
    // whatever a fault left running ends here
    runtime.shutdown_background();
    let report = finished.report;
    print!("{}", report::terminal::summary(&report));
    if let Some(folder) = &arguments.out {
        write(&report, folder)?;
    }
    if let Some(folder) = finished.folder {
        println!("configurations, logs and journals: {}", folder.display());
    }
    Ok(match report.verdict {
        Verdict::Passed => ExitCode::SUCCESS,
        Verdict::Failed => ExitCode::from(FAILED),
        Verdict::Void => ExitCode::from(VOID),
    })
}

fn write(report: &Report, folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let file = |ending: &str| folder.join(format!("{}.{ending}", report.scenario.name));
    report.write_json(&file("json"))?;
    fs::write(file("html"), report::html::page(report)).with_context(|| file("html").display().to_string())?;
    println!("report: {}", file("html").display());
    Ok(())
}

fn list() {
    for (name, text) in SHIPPED {
        let about = Scenario::parse(text).map_or_else(|error| error.to_string(), |scenario| scenario.about);
        println!("{name:<18} {about}");
    }
}

fn compare(a: &Path, b: &Path) -> anyhow::Result<ExitCode> {
    let (a, b) = (Report::read_json(a)?, Report::read_json(b)?);
    print!("{}", report::compare::table(&a, &b));
    Ok(ExitCode::SUCCESS)
}
