//! `synaxis-loadtest`: arguments and exit codes. Everything else is the library's.

use std::{
    env,
    fmt::Display,
    io::{IsTerminal as _, Write as _, stderr, stdout},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use synaxis_loadtest::{
    descriptors,
    highest::{self, Cores, End, Tried},
    origin,
    report::{self, Report, Verdict},
    run::{self, LEFT, Options, Progress},
    scenario::{Flags, SHIPPED, Scenario},
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
    Run {
        #[command(flatten)]
        load: Load,
        /// Folder for NAME.json and NAME.html; made before the load begins.
        #[arg(long, value_name = "FOLDER")]
        out: Option<PathBuf>,
    },
    /// Find the highest rate at which a scenario still passes: from --rate, by halves, to 5 %; two misses make a rate too high.
    Highest(Load),
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
struct Load {
    /// Its name, or a file.
    scenario: String,
    #[command(flatten)]
    flags: Flags,
    /// Another proxy than the one beside this program.
    #[arg(long, value_name = "PATH")]
    proxy: Option<PathBuf>,
    /// Leave the world's folder with its configurations, logs and journals even after success.
    #[arg(long)]
    keep: bool,
    /// Show nothing but the verdict.
    #[arg(long)]
    quiet: bool,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run { load, out } => judge(&load, out.as_deref()),
        Command::Highest(load) => highest(&load),
        Command::List => {
            list();
            Ok(ExitCode::SUCCESS)
        }
        Command::Compare { a, b } => compare(&a, &b),
        Command::Origin(arguments) => origin::run(&arguments).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        complain(format_args!("{error:#}"));
        ExitCode::from(BROKEN)
    })
}

/// Writes a line to standard output. A reader that is gone changes nothing about a verdict.
fn say(line: impl Display) {
    let _ = writeln!(stdout(), "{line}");
}

/// The same on standard error.
fn complain(line: impl Display) {
    let _ = writeln!(stderr(), "{line}");
}

impl Load {
    fn scenario(&self) -> anyhow::Result<(Scenario, Options)> {
        let (scenario, notes) = self.flags.apply(Scenario::load(&self.scenario)?)?;
        descriptors::raise_for(&scenario)?;
        let binaries = match (&self.proxy, scenario.targets.is_empty()) {
            (_, false) => None,
            (Some(proxy), true) => Some(Binaries::beside()?.with_proxy(proxy.clone())?),
            (None, true) => Some(Binaries::beside()?),
        };
        let options = Options {
            short: self.flags.short,
            arguments: env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect(),
            notes,
            binaries,
            progress: if self.quiet { Progress::Silent } else { Progress::suited() },
            keep: self.keep,
        };
        Ok((scenario, options))
    }
}

/// Works on one thread for worlds, balancers and chaos; the client has its own.
fn in_runtime<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let done = runtime.block_on(work);
    // whatever a fault left running ends here, and nobody waits for the client of a run that was given up
    runtime.shutdown_background();
    done
}

fn judge(arguments: &Load, out: Option<&Path>) -> anyhow::Result<ExitCode> {
    let (scenario, options) = arguments.scenario()?;
    out.map_or(Ok(()), report::prepare)?;
    let run::Finished { report, folder } = in_runtime(run::run_until(&scenario, &options, run::signalled()))?;
    let written = out.map(|folder| write(&report, folder)).transpose();
    let colour = stdout().is_terminal();
    let summary = if colour { report::terminal::summary_in_colour } else { report::terminal::summary };
    let _ = write!(stdout(), "{}", summary(&report));
    if let Ok(Some(page)) = &written {
        say(format_args!("report: {}", page.display()));
    }
    if let Some(folder) = folder {
        say(format_args!("{LEFT}{}", folder.display()));
    }
    Ok(match (report.verdict, written) {
        (Verdict::Passed, Ok(_)) => ExitCode::SUCCESS,
        (Verdict::Passed, Err(error)) => return Err(error),
        (verdict, written) => {
            // a verdict that is worse than a missing file stays what it is
            if let Err(error) = written {
                complain(format_args!("{error:#}"));
            }
            ExitCode::from(if verdict == Verdict::Void { VOID } else { FAILED })
        }
    })
}

fn highest(arguments: &Load) -> anyhow::Result<ExitCode> {
    let (scenario, options) = arguments.scenario()?;
    let first = scenario.load.phases.first().map_or(0.0, |phase| phase.rate);
    // what is shown is the rate of the phase that has the highest
    let top = scenario.load.phases.iter().map(|phase| phase.rate.max(phase.to.unwrap_or_default())).fold(0.0, f64::max);
    let shown = |rate: f64| if first > 0.0 { rate * top / first } else { rate };
    say("| rate/s | verdict | answered/s | failed | p50 ms | p99 ms | lag p99 ms | proxies | apps | client | cores |");
    say("| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    let each = |tried: &Tried| {
        say(row(tried, shown(tried.rate)));
        if let Some(folder) = &tried.folder {
            // beside the table
            complain(format_args!("{LEFT}{}", folder.display()));
        }
    };
    let found = in_runtime(async {
        let told = std::pin::pin!(run::signalled());
        highest::find(&scenario, &options, first, told, each).await
    })?;
    match found.held {
        Some(rate) => say(format_args!("\nheld: {:.0}/s", shown(rate))),
        None => say("\nno rate was held"),
    }
    match &found.end {
        End::Narrowed => {}
        End::Unsound => say("a request was lost, mixed up, misrouted or ran twice, which no rate excuses"),
        End::Void => say("every further try was void: the generator or the machine is the limit"),
        End::Beyond(error) => say(format_args!("the next rate was not tried: {error}")),
    }
    if let Some((rate, cores)) = &found.limit {
        say(format_args!("at {:.0}/s, which was not held, {cores}", shown(*rate)));
    }
    Ok(match (found.held, found.end) {
        (_, End::Unsound) => ExitCode::from(FAILED),
        (Some(_), _) => ExitCode::SUCCESS,
        (None, End::Void) => ExitCode::from(VOID),
        (None, _) => ExitCode::from(FAILED),
    })
}

/// One rate that was tried; processor time in cores.
fn row(tried: &Tried, rate: f64) -> String {
    let report = &tried.report;
    let cores = Cores::of(report);
    let oracle = &report.oracle;
    format!(
        "| {:.0} | {} | {:.0} | {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} of {} |",
        rate,
        report.verdict,
        report.rate.achieved,
        oracle.sent - oracle.answered,
        report.latency.p50,
        report.latency.p99,
        report.lag.p99,
        cores.proxies,
        cores.apps,
        cores.client,
        cores.all,
        cores.available,
    )
}

/// Writes both files of a report; returns where its page is.
fn write(report: &Report, folder: &Path) -> anyhow::Result<PathBuf> {
    let file = |ending: &str| folder.join(format!("{}.{ending}", report.scenario.name));
    report.write_json(&file("json"))?;
    report.write_html(&file("html"))?;
    Ok(file("html"))
}

fn list() {
    for (name, text) in SHIPPED {
        let about = Scenario::parse(text).map_or_else(|error| error.to_string(), |scenario| scenario.about);
        say(format_args!("{name:<18} {about}"));
    }
}

fn compare(a: &Path, b: &Path) -> anyhow::Result<ExitCode> {
    let (a, b) = (Report::read_json(a)?, Report::read_json(b)?);
    let _ = write!(stdout(), "{}", report::compare::table(&a, &b));
    Ok(ExitCode::SUCCESS)
}
