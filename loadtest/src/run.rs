//! One run from its begin to its report: world up, load on, faults done, both ends compared.
//!
//! Invariant: whatever happens to the system under test ends in a report; an error of [`run`] is one of the harness
//! itself, and then there is no verdict.

use std::{
    net::SocketAddr,
    num::NonZeroUsize,
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use crate::{
    arrival::Schedule,
    client::{self, Client, Plan},
    fault::Timeline,
    oracle::{Oracle, Routing},
    origin::journal,
    report::{Report, Verdict},
    scenario::Scenario,
    workload::Workload,
    world::{Binaries, Stamp, World, tables},
};

mod expect;
mod figures;
mod machine;
mod progress;
mod usage;

pub use progress::Progress;

/// Origins that record nothing for so long have nothing more to record.
const QUIET: Duration = Duration::from_millis(300);
/// Longest wait for that.
const QUIET_MAX: Duration = Duration::from_secs(5);

/// How a scenario is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether it was shortened; only written into the report.
    pub short: bool,
    /// The programs of the world; not needed for targets.
    pub binaries: Option<Binaries>,
    /// Where progress is shown.
    pub progress: Progress,
    /// Whether the world's folder stays even after success.
    pub keep: bool,
}

/// A report, and where the world's folder is if it was left there.
pub struct Finished {
    /// What was found.
    pub report: Report,
    /// Configurations, logs and journals.
    pub folder: Option<PathBuf>,
}

/// Runs a scenario.
///
/// # Errors
/// The world cannot be had, a fault cannot be done, or the client cannot work.
pub async fn run(scenario: &Scenario, options: &Options) -> anyhow::Result<Finished> {
    let world = if scenario.targets.is_empty() {
        let binaries = options.binaries.as_ref().context("a world needs its programs")?;
        options.progress.say("starting the world");
        Some(World::start(&scenario.world, binaries).await.context("the world does not start")?)
    } else {
        None
    };
    let mut world = world.map(Arc::new);
    let result = drive(scenario, options, world.as_ref()).await;
    let failed = result.as_ref().map_or(true, |report| report.verdict == Verdict::Failed);
    let mut folder = None;
    // tasks of faults may hold the world a moment longer
    if let Some(world) = world.take().and_then(Arc::into_inner).as_mut()
        && (failed || options.keep)
    {
        world.keep();
        folder = Some(world.path().to_owned());
    }
    let report = result.with_context(|| {
        folder.as_deref().map_or_else(
            || "the run broke off".into(),
            |folder| format!("the run broke off; its logs are in {}", folder.display()),
        )
    })?;
    Ok(Finished { report, folder })
}

fn plan(scenario: &Scenario, entries: Vec<SocketAddr>) -> Plan {
    let load = &scenario.load;
    let cores = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    Plan {
        schedule: Schedule::new(load.arrival, load.phases.clone(), scenario.seed),
        workload: Workload::new(scenario.workload.clone(), scenario.seed),
        tenants: client::tenants(scenario.workload.tenants),
        entries,
        connections: load.connections,
        http2_connections: load.http2_connections,
        timeout: load.timeout,
        threads: load.threads.unwrap_or_else(cores),
        echo: load.echo,
    }
}

/// The stamps by which clients enter.
fn entered<'a>(scenario: &Scenario, world: &'a World) -> Vec<&'a Stamp> {
    let chosen = scenario.load.entries.clone().unwrap_or_else(|| (0..world.stamps.len()).collect());
    chosen.into_iter().filter_map(|position| world.stamps.get(position)).collect()
}

async fn drive(scenario: &Scenario, options: &Options, world: Option<&Arc<World>>) -> anyhow::Result<Report> {
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
    let began_ms =
        tables::unix_ms() + u64::try_from((start.saturating_duration_since(Instant::now())).as_millis()).unwrap_or(0);
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
    if let Some(world) = world {
        quiet(&world.journals()).await;
    }
    options.progress.say("comparing both ends");
    let scenario = scenario.clone();
    let (journals, epochs) = world.map(|world| (world.journals(), world.tables.epochs())).unzip();
    let short = options.short;
    let commit = options.binaries.as_ref().and_then(|binaries| machine::commit(&binaries.proxy));
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
            began_ms,
            short,
            commit,
        };
        Ok(facts.report(&mut oracle))
    };
    tokio::task::spawn_blocking(judge).await.context("the oracle")?
}

/// Waits until origins have recorded nothing for a while: what a client has given up may still arrive, and run twice.
async fn quiet(journals: &[(String, PathBuf)]) {
    let sizes =
        || journals.iter().map(|(_, path)| std::fs::metadata(path).map_or(0, |file| file.len())).collect::<Vec<_>>();
    let end = Instant::now() + QUIET_MAX;
    let (mut known, mut since) = (sizes(), Instant::now());
    while since.elapsed() < QUIET && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let now = sizes();
        if now != known {
            (known, since) = (now, Instant::now());
        }
    }
}

fn hear(oracle: &mut Oracle<'_>, journals: &[(String, PathBuf)]) -> anyhow::Result<()> {
    for (stamp, path) in journals {
        journal::read(path, |entry| oracle.record(stamp, &entry))?;
    }
    Ok(())
}
