//! Measures this proxy beside other proxies in one run; what is asked for is in [`arguments`].
//!
//! The origin (nginx) and the load generator (wrk) share core 1; the proxy under test is alone on core 0 with one
//! worker. All contestants take turns, so that a noisy neighbour hits each of them; what counts is the ratio of two
//! measurements of the same round.

use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;

mod arguments;
mod baseline;
mod build;
mod callgrind;
mod contestant;
mod descriptors;
mod exchange;
mod fleet;
mod group;
mod growth;
mod idle;
mod interrupt;
mod kept;
mod latency;
mod load;
mod machine;
mod origin;
mod ours;
mod peer;
mod plot;
mod process;
mod report;
mod round;
mod scene;
mod settings;
mod statistics;
mod syscalls;
mod tools;
mod usage;
mod window;

use arguments::Arguments;
use callgrind::Asks;
use contestant::{Contestant, Kind};
use load::{Load, Tenants};
use ours::Build;
use peer::{Installed, POOL, Peer};
use plot::Plots;
use scene::Scene;

/// The unit of the first tables.
const MICROS: &str = "CPU µs per request";

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let peers = tools::check(&arguments)?;
    let open_files = descriptors::allow(arguments.connections_max())?;
    let scratch = kept::scratch(arguments.cache)?;
    interrupt::clean_up(scratch.path())?;

    let install = |peer: Peer| peer.install(arguments.envoy.as_deref());
    let peers: Vec<Installed> = peers.into_iter().map(install).collect::<anyhow::Result<_>>()?;
    let named = arguments.proxy.iter().map(|(name, binary)| Build { name: name.clone(), binary: binary.clone() });
    let builds: Vec<Build> = if arguments.proxy.is_empty() { vec![build::checkout()?] } else { named.collect() };
    let older = arguments.baseline.as_deref().map(|revision| baseline::build(scratch.path(), revision)).transpose()?;
    let plots = Plots::into(arguments.plots.clone())?;

    let scene = Scene::set(scratch.path(), arguments.connections_max())?;
    let contestants = if arguments.cache {
        keeping(&arguments, &scene, &peers, &builds, older.as_ref())?
    } else {
        contestants(&arguments, &scene, &peers, &builds, older.as_ref())?
    };
    println!("{}", machine::heading(&arguments, &peers));
    let worst = ask(&arguments, &scene, &contestants, &plots)?;
    if arguments.growth {
        grow(&arguments, &scene, &builds[0], descriptors::pairs(open_files), &plots)?;
    }
    if let Some(gate) = arguments.gate {
        let worst = worst.context("no round without errors: there is no ratio")?;
        anyhow::ensure!(worst <= gate, "{worst:.2} times the best peer is above {gate:.2}");
    }
    Ok(())
}

/// Everybody, in the order in which they take turns.
fn contestants(
    arguments: &Arguments,
    scene: &Scene,
    peers: &[Installed],
    builds: &[Build],
    older: Option<&Build>,
) -> anyhow::Result<Vec<Contestant>> {
    let mut contestants = Vec::new();
    for peer in peers {
        contestants.push(peer.contestant(scene, arguments.connections_max(), POOL)?);
        if arguments.limits {
            contestants.extend(peer.limited(scene, arguments.connections_max(), POOL)?);
        }
    }
    if let Some(older) = older {
        contestants.push(older.alone(scene, Kind::Baseline, POOL)?);
    }
    for build in builds {
        contestants.push(build.alone(scene, Kind::Ours, POOL)?);
        if arguments.access_log {
            contestants.push(build.alone(scene, Kind::Logging, POOL)?);
        }
        if arguments.limits {
            contestants.push(build.alone(scene, Kind::Limited, POOL)?);
        }
        if arguments.forwarded {
            contestants.push(build.forwarded(scene)?);
        }
    }
    Ok(contestants)
}

/// Everybody who keeps answers, in the order in which they take turns.
fn keeping(
    arguments: &Arguments,
    scene: &Scene,
    peers: &[Installed],
    builds: &[Build],
    older: Option<&Build>,
) -> anyhow::Result<Vec<Contestant>> {
    let mut contestants = Vec::new();
    for peer in peers {
        contestants.extend(peer.keeping(scene, arguments.connections_max(), POOL)?);
    }
    if let Some(older) = older {
        contestants.push(older.keeping(scene, Kind::Baseline, POOL)?);
    }
    for build in builds {
        contestants.push(build.keeping(scene, Kind::Ours, POOL)?);
    }
    Ok(contestants)
}

/// One question after the other, each with its table. Returns the ratio that a gate judges.
fn ask(arguments: &Arguments, scene: &Scene, contestants: &[Contestant], plots: &Plots) -> anyhow::Result<Option<f64>> {
    let duration = Duration::from_secs(arguments.seconds);
    let keys = kept::keys();
    let (tenants, asks) = match (arguments.cache, arguments.limits) {
        (true, _) => (Tenants::Kept(&keys), Asks::ForKept),
        (false, true) => (Tenants::WithUsers, Asks::AsUsers),
        (false, false) => (Tenants::Prepared, Asks::Plainly),
    };
    let load = Load::new(&scene.folder, &tenants, arguments.connections, duration)?;
    let mut worst = None;
    if !arguments.without_cost {
        let rounds = round::all(contestants, &load, &scene.origin, arguments.rounds)?;
        let tables = report::tables(contestants, &rounds, arguments.cache);
        for table in &tables {
            println!("{table}");
            plots.bars(table.title(), MICROS, &table.bars())?;
        }
        worst = tables.first().and_then(report::Table::worst_ratio);
    }
    if let Some(connections) = arguments.idle {
        let alone =
            contestants.iter().filter(|contestant| matches!(contestant.kind, Kind::Peer | Kind::Ours | Kind::Baseline));
        let table = idle::measure(&alone.cloned().collect::<Vec<_>>(), connections, arguments.rounds)?;
        println!("{table}");
        plots.bars(&table.title(), "KiB per connection", &table.bars())?;
    }
    if let Some(rate) = arguments.latency {
        let effort = latency::Effort { rate, rounds: arguments.rounds, duration, connections: arguments.connections };
        let quiet = contestants
            .iter()
            .filter(|contestant| !matches!(contestant.kind, Kind::Logging | Kind::Limited | Kind::LimitedPeer));
        let table = latency::measure(&quiet.cloned().collect::<Vec<_>>(), scene.origins[0], effort)?;
        println!("{table}");
        plots.bars(&table.title(), "p99 in µs", &table.bars())?;
    }
    if arguments.syscalls {
        println!("{}", syscalls::report(contestants, &load)?);
    }
    if arguments.callgrind {
        println!("{}", callgrind::report(contestants, &scene.folder, asks)?);
    }
    Ok(worst)
}

/// The curves, last because they take longest.
fn grow(arguments: &Arguments, scene: &Scene, build: &Build, pairs: u32, plots: &Plots) -> anyhow::Result<()> {
    let duration = Duration::from_secs(arguments.seconds);
    let effort = growth::Effort { rounds: arguments.rounds, duration, connections: arguments.connections, pairs };
    for curve in growth::measure(scene, build, &Peer::Nginx.install(None)?, effort)? {
        println!("{curve}");
        plots.lines(&curve.title(), curve.of, MICROS, &curve.lines())?;
    }
    Ok(())
}
