//! Measures this proxy beside nginx and HAProxy in one run: CPU time per proxied request.
//!
//! The origin (nginx) and the load generator (wrk) share core 1; the proxy under test is alone on core 0 with one
//! worker. All contestants take turns, so that a noisy neighbour hits each of them; what counts is the ratio of two
//! measurements of the same round.

use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;

mod callgrind;
mod contestant;
mod load;
mod origin;
mod process;
mod report;
mod round;
mod settings;
mod statistics;
mod syscalls;
mod tools;

use contestant::Contestant;

/// CPU time per proxied request: this proxy, nginx and HAProxy, one worker each.
#[derive(Parser)]
struct Arguments {
    /// Counted rounds; one more goes before them to warm up.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds of load for each contestant in each round.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Keep-alive connections.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// A binary of this proxy as NAME=PATH, more than once to compare builds; default: builds this checkout.
    #[arg(long, value_parser = contestant::named)]
    proxy: Vec<(String, std::path::PathBuf)>,
    /// Adds a row for this proxy with its access log written to a file.
    #[arg(long)]
    access_log: bool,
    /// Counts system calls per request as well (needs strace).
    #[arg(long)]
    syscalls: bool,
    /// Counts instructions per request of this proxy as well (needs valgrind).
    #[arg(long)]
    callgrind: bool,
    /// Fails if this proxy costs more than this many times the better of nginx and HAProxy.
    #[arg(long, value_name = "RATIO")]
    gate: Option<f64>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    tools::check(arguments.syscalls, arguments.callgrind)?;
    let builds = if arguments.proxy.is_empty() { vec![contestant::build()?] } else { arguments.proxy.clone() };

    let folder = tempfile::tempdir()?;
    let origin = origin::start(folder.path())?;
    let mut contestants =
        vec![Contestant::nginx(folder.path(), &origin.ports)?, Contestant::haproxy(folder.path(), &origin.ports)?];
    for (name, path) in &builds {
        contestants.push(Contestant::synaxis(folder.path(), &origin.ports, name, path, false)?);
        if arguments.access_log {
            contestants.push(Contestant::synaxis(folder.path(), &origin.ports, name, path, true)?);
        }
    }
    let load = load::Load::new(folder.path(), arguments.connections, Duration::from_secs(arguments.seconds))?;

    let rounds = round::all(&contestants, &load, arguments.rounds)?;
    let table = report::Table::of(&contestants, &rounds);
    println!("{table}");
    if arguments.syscalls {
        println!("{}", syscalls::report(&contestants, &load)?);
    }
    if arguments.callgrind {
        for contestant in contestants.iter().filter(|contestant| contestant.is_ours()) {
            println!("{}", callgrind::report(contestant, folder.path())?);
        }
    }
    if let Some(gate) = arguments.gate {
        let worst = table.worst_ratio().context("no round without errors: there is no ratio")?;
        anyhow::ensure!(worst <= gate, "{worst:.2} times the better peer is above {gate:.2}");
    }
    Ok(())
}
