//! A scenario: a world, a load, what is done to the world meanwhile, and what is expected all the same.
//!
//! Invariant: a scenario that [`Scenario::parse`] returned can be run; every fault of the file is named at once.

use std::{fs, num::NonZeroUsize, path::Path, time::Duration};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::{
    arrival::{Phase, Process, Schedule},
    fault::Fault,
    quantity,
    workload::{self, Mix, Workload},
    world::Blueprint,
};

mod expect;
mod flags;
mod shipped;
#[cfg(test)]
mod tests;

pub use expect::{Expect, Outcomes, Share, Unmoved};
pub use flags::Flags;
pub use shipped::SHIPPED;

/// Most requests of a load.
const REQUESTS_MAX: f64 = 50e6;

/// A scenario as written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What it is for, in a sentence.
    pub about: String,
    /// Seed of arrivals and workload.
    #[serde(default = "seed")]
    pub seed: u64,
    /// The processes that are started; ignored when there are targets.
    #[serde(default)]
    pub world: Blueprint,
    /// Addresses of servers that are already there, instead of a world.
    #[serde(default)]
    pub targets: Vec<std::net::SocketAddr>,
    /// When requests come.
    pub load: Load,
    /// What they are.
    #[serde(default)]
    pub workload: Mix,
    /// What is done meanwhile.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// What must hold.
    #[serde(default)]
    pub expect: Expect,
    /// How the short form differs.
    #[serde(default)]
    pub short: Short,
}

fn seed() -> u64 {
    1
}

/// When requests come, and over what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// How they are spread in time.
    #[serde(default)]
    pub arrival: Process,
    /// One after the other.
    pub phases: Vec<Phase>,
    /// Kept HTTP/1.1 connections in all.
    #[serde(default = "connections")]
    pub connections: usize,
    /// HTTP/2 connections in all, for a workload that has a share of HTTP/2.
    #[serde(default = "http2_connections")]
    pub http2_connections: usize,
    /// Longest time that a request may take.
    #[serde(default = "timeout", serialize_with = "quantity::serialize", deserialize_with = "quantity::duration")]
    pub timeout: Duration,
    /// Threads of the client; default: one a core, see [`Scenario::threads`].
    pub threads: Option<NonZeroUsize>,
    /// The run is void when one request in a hundred, in all or in more than one second of twenty, began later than this
    /// after its intended start.
    #[serde(default = "lag_max", serialize_with = "quantity::serialize", deserialize_with = "quantity::duration")]
    pub lag_max: Duration,
    /// The run is void when a thread of the client was at work, or waited for a core, for a greater share of any second,
    /// 0 to 1. The short form does not look, because it judges stalls only.
    #[serde(default = "busy_max")]
    pub busy_max: f64,
    /// Position of the stamps through which clients enter; default: all.
    pub entries: Option<Vec<usize>>,
    /// Whether answers must echo their request; false for targets that are not this harness's origins.
    #[serde(default = "echo")]
    pub echo: bool,
}

fn connections() -> usize {
    64
}

fn http2_connections() -> usize {
    16
}

fn timeout() -> Duration {
    Duration::from_secs(10)
}

/// By how much the generator of a short form may be late: such a form proves what became of each request, not how long it took,
/// and machines that build at the same time have stood still for more than half a second.
pub const SHORT_LAG: Duration = Duration::from_secs(2);

fn lag_max() -> Duration {
    Duration::from_millis(10)
}

fn busy_max() -> f64 {
    0.9
}

fn echo() -> bool {
    true
}

/// How the short form differs from the long one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Short {
    /// Every time of the scenario is multiplied by this.
    pub time: f64,
    /// Every rate.
    pub rate: f64,
    /// Connections are this many at most.
    pub connections: usize,
}

impl Default for Short {
    fn default() -> Self {
        Self { time: 0.2, rate: 0.25, connections: 32 }
    }
}

impl Scenario {
    /// Reads a scenario by the name of a shipped one, or from a file.
    ///
    /// # Errors
    /// There is none, or what is wrong with it.
    pub fn load(name: &str) -> anyhow::Result<Self> {
        if let Some((_, text)) = SHIPPED.iter().find(|(shipped, _)| *shipped == name) {
            return Self::parse(text);
        }
        let text = fs::read_to_string(name).with_context(|| {
            format!("{name} is neither a file nor a shipped scenario; `synaxis-loadtest list` shows those")
        })?;
        Self::parse(&text).with_context(|| Path::new(name).display().to_string())
    }

    /// Reads a scenario.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let scenario: Self = toml::from_str(text).context("the scenario does not parse")?;
        scenario.sound()?;
        Ok(scenario)
    }

    /// It as TOML, with every default and change: what [`Scenario::parse`] reads as the same scenario.
    ///
    /// # Errors
    /// It holds what TOML cannot say; one that is [`sound`](Self::sound) does not.
    pub fn text(&self) -> anyhow::Result<String> {
        toml::to_string(self).context("the scenario cannot be written")
    }

    /// Whether it can be run; to be asked again after it was changed.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn sound(&self) -> anyhow::Result<()> {
        let faults = self.check();
        anyhow::ensure!(faults.is_empty(), "the scenario cannot be run: {}", faults.join("; "));
        Ok(())
    }

    /// Length of the load.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.load.phases.iter().map(|phase| phase.duration).fold(Duration::ZERO, Duration::saturating_add)
    }

    /// When its requests begin.
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        Schedule::new(self.load.arrival, self.load.phases.clone(), self.seed)
    }

    /// What its requests are.
    #[must_use]
    pub fn workload(&self) -> Workload {
        let workload = Workload::new(self.workload.clone(), self.seed);
        if self.load.phases.iter().all(|phase| phase.noisy == 0.0) {
            return workload;
        }
        let shares = self.load.phases.iter().map(|phase| phase.noisy);
        workload.with_noise(self.schedule().firsts().into_iter().zip(shares).collect())
    }

    /// How many addresses clients enter through.
    #[must_use]
    pub fn entries(&self) -> usize {
        match &self.load.entries {
            _ if !self.targets.is_empty() => self.targets.len(),
            Some(entries) => entries.len(),
            None => self.world.stamps,
        }
    }

    /// Threads of the client: those of the scenario, or one a core, but no more than leave each of them a connection of every
    /// kind to each entry, so that exactly as many are opened as the scenario says.
    #[must_use]
    pub fn threads(&self, cores: NonZeroUsize) -> NonZeroUsize {
        let most = self.shared().map(|(_, connections)| connections / self.entries().max(1)).min();
        let fitting = most.and_then(NonZeroUsize::new).unwrap_or(cores).min(cores);
        self.load.threads.unwrap_or(fitting)
    }

    /// The connections that requests share, by kind, as far as there are any.
    fn shared(&self) -> impl Iterator<Item = (&'static str, usize)> {
        let kept = (self.load.connections > 0).then_some(("connections", self.load.connections));
        let http2 = (self.workload.http2 > 0.0).then_some(("http2_connections", self.load.http2_connections));
        kept.into_iter().chain(http2)
    }

    fn check(&self) -> Vec<String> {
        let mut faults = workload::check(&self.workload);
        faults.extend(self.world.check());
        let mut demand = |holds: bool, fault: &str| {
            if !holds {
                faults.push(fault.to_owned());
            }
        };
        let letters = self.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        demand(
            letters && (1..=64).contains(&self.name.len()),
            "name is made of a-z, 0-9 and -: it becomes a file's name",
        );
        demand(i64::try_from(self.seed).is_ok(), "seed is below 2^63, where TOML's numbers end");
        let Load { phases, connections, http2_connections, entries, timeout, .. } = &self.load;
        demand(
            (Duration::from_millis(1)..=Duration::from_secs(600)).contains(timeout),
            "load.timeout is 1 ms to 10 minutes",
        );
        demand(!phases.is_empty(), "load.phases has at least one");
        for phase in phases {
            let rates = [Some(phase.rate), phase.to];
            demand(rates.iter().flatten().all(|rate| (0.0..=1e6).contains(rate)), "a rate is 0 to 1,000,000");
            demand(!phase.duration.is_zero(), "a phase lasts longer than nothing");
            demand((0.0..=1.0).contains(&phase.noisy), "a phase's `noisy` is a share, 0 to 1");
            let every = phase.burst.as_ref().map_or(Duration::ZERO, |burst| burst.every);
            demand(every <= quantity::DAY, "a burst's `every` is a day at most");
            let burst = phase
                .burst
                .as_ref()
                .is_none_or(|burst| burst.every >= Duration::from_millis(1) && (1..=100_000).contains(&burst.requests));
            demand(burst, "a burst has 1 to 100,000 requests, and at least a millisecond before the next");
        }
        demand(self.length() <= quantity::DAY, "the load lasts a day at most");
        let requests: f64 = phases.iter().map(Phase::expected).sum();
        demand(
            (0.0..=REQUESTS_MAX).contains(&requests),
            &format!(
                "the load has {requests:.0} requests; {REQUESTS_MAX:.0} are the most, because each is kept in memory"
            ),
        );
        demand(
            (usize::from(self.workload.keeps())..=100_000).contains(connections),
            "load.connections is 1 to 100,000, or 0 where every request takes HTTP/2 or a connection of its own",
        );
        demand((1..=10_000).contains(http2_connections), "load.http2_connections is 1 to 10,000");
        for (name, connections) in self.shared() {
            let least = self.entries().saturating_mul(self.load.threads.map_or(1, Into::into));
            demand(connections >= least, &format!("load.{name} is {least} or more: one for each entry and thread"));
        }
        let known = |stamp: &usize| *stamp < self.world.stamps;
        let entered = entries.as_ref().is_none_or(|entries| !entries.is_empty() && entries.iter().all(known));
        demand(entered, "load.entries are positions of stamps, from 0, at least one");
        demand(
            self.targets.is_empty() || self.faults.is_empty(),
            "targets are not this harness's to break: no faults with them",
        );
        demand(self.targets.is_empty() || self.load.entries.is_none(), "targets are their own entries");
        let shares = [self.load.busy_max, self.expect.in_time];
        let shares = shares.iter().all(|share| (0.0..=1.0).contains(share));
        demand(shares, "load.busy_max and expect.in_time are shares, 0 to 1");
        demand(
            self.load.echo || self.workload.websockets == 0.0,
            "a WebSocket is judged by its echo: workload.websockets needs load.echo",
        );
        let times = [self.short.time, self.short.rate];
        demand(
            times.iter().all(|factor| *factor > 0.0 && *factor <= 1.0),
            "short.time and short.rate are above 0, at most 1",
        );
        demand(self.short.connections > 0 || *connections == 0, "short.connections is at least 1");
        let hits = self.expect.hits_memory.or(self.expect.hits);
        demand(
            hits.is_none() || self.workload.shared.share > 0.0,
            "expect.hits_memory and expect.hits are of requests for shared resources: workload.shared.share",
        );
        demand(
            hits.is_none() || self.world.cache || !self.targets.is_empty(),
            "expect.hits_memory and expect.hits need world.cache = true",
        );
        faults.extend(self.expect.check(self.world.stamps, self.workload.tenants));
        for fault in &self.faults {
            faults.extend(fault.check(&self.world, self.workload.tenants, self.length()));
        }
        faults
    }

    /// Its short form: less time and a lower rate, and bounds that only a stall exceeds, because it runs beside others. What
    /// must never happen must not happen in it either.
    #[must_use]
    pub fn shortened(mut self) -> Self {
        let Short { time, rate, connections } = self.short;
        for phase in &mut self.load.phases {
            phase.duration = phase.duration.mul_f64(time);
            phase.rate *= rate;
            phase.to = phase.to.map(|to| to * rate);
            if let Some(burst) = &mut phase.burst {
                burst.every = burst.every.mul_f64(time);
                // its own rate is requests / every
                burst.scale(time * rate);
            }
        }
        self.faults.iter_mut().for_each(|fault| fault.scale(time));
        self.load.connections = self.load.connections.min(connections);
        self.load.lag_max = self.load.lag_max.max(SHORT_LAG);
        self.load.busy_max = 1.0;
        self.expect.shorten(time);
        self
    }

    /// The same at another rate: every phase's and burst's is multiplied by the same factor, so that the first begins with
    /// `rate`.
    ///
    /// # Errors
    /// The first phase has no rate to go by.
    pub fn at_rate(mut self, rate: f64) -> anyhow::Result<Self> {
        let first = self.load.phases.first().map_or(0.0, |phase| phase.rate);
        anyhow::ensure!(
            first > 0.0 && (1.0..=1e6).contains(&rate),
            "a rate is 1 to 1,000,000, in place of one above 0"
        );
        for phase in &mut self.load.phases {
            phase.rate *= rate / first;
            phase.to = phase.to.map(|to| to * rate / first);
            phase.burst.iter_mut().for_each(|burst| burst.scale(rate / first));
        }
        Ok(self)
    }
}
