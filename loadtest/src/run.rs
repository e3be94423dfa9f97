//! One run from its begin to its report: world up, load on, faults done, both ends compared.
//!
//! Invariant: whatever happens to the system under test ends in a report; an error of [`run`] is one of the harness
//! itself, and then there is no verdict.

use std::{
    future,
    net::SocketAddr,
    num::NonZeroUsize,
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use crate::{
    client::{self, Client, Plan},
    fault::Timeline,
    oracle::{Oracle, Routing},
    origin::journal,
    report::{Report, Run, Verdict},
    scenario::Scenario,
    world::{Binaries, Site, Stamp, World, tables},
};

mod aftermath;
mod expect;
mod figures;
mod impact;
mod interrupt;
mod latencies;
mod machine;
mod progress;
mod relays;
mod usage;

use aftermath::Aftermath;
pub use interrupt::{Interrupted, signalled};
pub use progress::Progress;

use interrupt::unless;

/// What stands before the path of a folder that was left.
pub const LEFT: &str = "configurations, logs and journals: ";

/// How a scenario is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether it was shortened; only written into the report.
    pub short: bool,
    /// The program's arguments; only written into the report.
    pub arguments: Vec<String>,
    /// What they took away of the scenario; only written into the report.
    pub notes: Vec<String>,
    /// The programs of the world; not needed for targets.
    pub binaries: Option<Binaries>,
    /// Where progress is shown.
    pub progress: Progress,
    /// Whether the world's folder stays even after success.
    pub keep: bool,
}

/// A report, and where the world's folder is if it was left there, which happens when the run failed.
pub struct Finished {
    /// What was found.
    pub report: Report,
    /// Configurations, logs and journals.
    pub folder: Option<PathBuf>,
}

/// Runs a scenario.
///
/// # Errors
/// The world cannot be had, a fault cannot be done, or the client cannot work. When configurations and logs were left, the
/// error names their folder.
pub async fn run(scenario: &Scenario, options: &Options) -> anyhow::Result<Finished> {
    run_until(scenario, options, future::pending()).await
}

/// The same, given up as soon as `told` says why: then the processes of the world are ended, and its folder is removed
/// unless it is to be kept.
///
/// # Errors
/// As [`run`]; and [`Interrupted`].
pub async fn run_until(
    scenario: &Scenario,
    options: &Options,
    told: impl Future<Output = &'static str>,
) -> anyhow::Result<Finished> {
    let run = described(scenario, options)?;
    if !scenario.targets.is_empty() {
        let report = unless(told, drive(scenario, options, run, None)).await?;
        return Ok(Finished { report, folder: None });
    }
    let binaries = options.binaries.as_ref().context("a world needs its programs")?;
    let site = Site::new()?;
    let result = unless(told, in_world(scenario, options, run, binaries, &site)).await;
    site.clear().await;
    let kept = match &result {
        Ok(report) => report.verdict == Verdict::Failed,
        Err(error) => !error.is::<Interrupted>(),
    };
    let folder = if kept || options.keep { Some(site.keep()) } else { site.remove() };
    match (result, folder) {
        (Ok(report), folder) => Ok(Finished { report, folder }),
        (Err(error), None) => Err(error),
        (Err(error), Some(folder)) => anyhow::bail!("{error:#}\n{LEFT}{}", folder.display()),
    }
}

async fn in_world(
    scenario: &Scenario,
    options: &Options,
    run: Run,
    binaries: &Binaries,
    site: &Site,
) -> anyhow::Result<Report> {
    options.progress.say("starting the world");
    let world = World::start(&scenario.world, binaries, site).await.context("the world does not start")?;
    drive(scenario, options, run, Some(&Arc::new(world))).await.context("the run broke off")
}

/// What is about to be run; its begin is not known yet.
fn described(scenario: &Scenario, options: &Options) -> anyhow::Result<Run> {
    let (checkout, binaries) = machine::programs(options.binaries.as_ref())?;
    Ok(Run {
        name: scenario.name.clone(),
        about: scenario.about.clone(),
        seed: scenario.seed,
        short: options.short,
        arguments: options.arguments.clone(),
        notes: options.notes.clone(),
        resolved: scenario.text()?,
        checkout,
        binaries,
        threads: scenario.threads(thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)).into(),
        connections: scenario.load.connections,
        http2_connections: if scenario.workload.http2 > 0.0 { scenario.load.http2_connections } else { 0 },
        began_ms: 0,
        seconds: scenario.length().as_secs_f64(),
    })
}

fn plan(scenario: &Scenario, entries: Vec<SocketAddr>) -> Plan {
    let load = &scenario.load;
    Plan {
        schedule: scenario.schedule(),
        workload: scenario.workload(),
        tenants: client::tenants(scenario.workload.tenants),
        entries,
        connections: load.connections,
        http2_connections: load.http2_connections,
        timeout: load.timeout,
        threads: scenario.threads(thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)),
        echo: load.echo,
    }
}

/// The stamps by which clients enter.
fn entered<'a>(scenario: &Scenario, world: &'a World) -> Vec<&'a Stamp> {
    let chosen = scenario.load.entries.clone().unwrap_or_else(|| (0..world.stamps.len()).collect());
    chosen.into_iter().filter_map(|position| world.stamps.get(position)).collect()
}

async fn drive(scenario: &Scenario, options: &Options, run: Run, world: Option<&Arc<World>>) -> anyhow::Result<Report> {
    let entered = world.map(|world| entered(scenario, world)).unwrap_or_default();
    let entries = match world {
        None => scenario.targets.clone(),
        Some(_) => entered.iter().map(|stamp| stamp.entry()).collect(),
    };
    let entered = entered.iter().map(|stamp| stamp.id.to_string()).collect();
    let plan = plan(scenario, entries);
    options.progress.say("opening connections");
    let starting = plan.clone();
    let client = tokio::task::spawn_blocking(move || Client::start(&starting)).await.context("the client")??;
    let live = Arc::clone(&client.live);
    let start = live.start().context("the load has begun")?;
    // before or after now: this task may have been woken late
    let ahead = start.saturating_duration_since(Instant::now());
    let began_ms = tables::unix_ms() + whole_ms(ahead) - whole_ms(start.elapsed());
    let waiting = tokio::task::spawn_blocking(move || client.wait());
    let watch = usage::Watch::start(world.cloned());
    let shown = tokio::spawn(progress::show(options.progress, Arc::clone(&live), scenario.length()));
    let faults = async {
        match world {
            Some(world) => {
                let say = options.progress;
                let timeline = Timeline { faults: scenario.faults.clone() };
                timeline.run(Arc::clone(world), start, move |what| say.event(what)).await
            }
            None => Ok(Vec::new()),
        }
    };
    let (windows, samples) = tokio::join!(faults, waiting);
    shown.abort();
    let processes = watch.end().await;
    let (windows, samples) = (windows?, samples.context("the client")??);
    let relays = world.map(|world| relays::relays(world)).unwrap_or_default();
    let aftermath = match world {
        Some(world) => aftermath::settle(world).await,
        None => Aftermath::default(),
    };
    options.progress.say("comparing both ends");
    let scenario = scenario.clone();
    let (journals, epochs) = world.map(|world| (world.journals(), world.tables.epochs())).unzip();
    let judge = move || -> anyhow::Result<Report> {
        let mut oracle = Oracle::new(&samples, &plan.workload, &plan.tenants, &windows);
        if let (Some(journals), Some(epochs)) = (&journals, epochs) {
            hear(&mut oracle, journals)?;
            oracle.heard_all(Some(Routing::new(epochs, start, began_ms, entered)));
        }
        let facts = figures::Facts {
            scenario: &scenario,
            samples: &samples,
            windows: &windows,
            processes,
            relays,
            aftermath,
            run: Run { began_ms, ..run },
        };
        Ok(facts.report(&mut oracle))
    };
    tokio::task::spawn_blocking(judge).await.context("the oracle")?
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn hear(oracle: &mut Oracle<'_>, journals: &[(String, PathBuf)]) -> anyhow::Result<()> {
    for (stamp, path) in journals {
        journal::read(path, |entry| oracle.record(stamp, &entry))?;
    }
    Ok(())
}
