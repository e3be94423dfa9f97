//! What a run found: the document that is written as JSON, drawn as a page and compared with another run's.
//!
//! Invariant: everything that the page, the terminal and `compare` show stands in [`Report`]; none of them computes a
//! verdict of its own. Times are seconds since the begin of the load unless a name says otherwise; latencies are
//! milliseconds and count from the **intended** start of a request.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Version of the document; another one is refused by `compare`.
pub const FORMAT: u32 = 2;

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// What was run.
    pub scenario: Run,
    /// What it ran on.
    pub machine: Machine,
    /// Passed, failed or void.
    pub verdict: Verdict,
    /// Why the run says nothing about the system under test; empty unless void.
    pub void: Vec<String>,
    /// Every expectation with what was measured.
    pub checks: Vec<Check>,
    /// Intended and achieved.
    pub rate: Rate,
    /// Answers that the workload wanted, from the intended start to the last byte.
    pub latency: Percentiles,
    /// The same from the moment the request was really begun; what it lacks of `latency` the client waited by itself.
    pub service: Percentiles,
    /// How late the generator was: from the intended start to its begin.
    pub lag: Percentiles,
    /// How long requests waited for a connection, after the generator got to them.
    pub queue: Percentiles,
    /// Kept connections that were opened during the load, in place of others that had ended.
    pub opened_again: u64,
    /// Requests that were sent again because nothing of them had left, or the server said that it had not looked at them.
    pub sent_again: u64,
    /// Steps of the curve of `latency` at growing percentiles, for the percentile plot.
    pub curve: Vec<Step>,
    /// What the oracle found.
    pub oracle: Judgement,
    /// Requests for shared resources; `None` if there were none.
    pub shared: Option<Shared>,
    /// One row a second of the run.
    pub seconds: Vec<Second>,
    /// How requests ended, most frequent first.
    pub outcomes: Vec<Outcome>,
    /// Who served.
    pub stamps: Vec<StampShare>,
    /// What was done to the world, and when.
    pub faults: Vec<Mark>,
    /// What the processes cost.
    pub processes: Vec<Process>,
    /// What stood between them.
    pub relays: Vec<Relay>,
}

impl Report {
    /// How busy the generator's busiest thread was in its busiest second, 0 to 1.
    #[must_use]
    pub fn busiest(&self) -> f64 {
        self.seconds.iter().fold(0.0, |most, second| second.busy.max(most))
    }
}

/// What was run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Name of the scenario.
    pub name: String,
    /// What it is for, in a sentence.
    pub about: String,
    /// Seed of arrivals and workload: the same seed gives the same requests at the same intended times.
    pub seed: u64,
    /// Whether it is the short form.
    pub short: bool,
    /// The arguments that the program was given.
    pub arguments: Vec<String>,
    /// What they took away of the scenario beside what they ask for, in words.
    pub notes: Vec<String>,
    /// The scenario with every default and change, as TOML: whoever runs it runs the same.
    pub resolved: String,
    /// Commit of the checkout around the programs when the load began, with `+` when the work tree differed; `None` outside
    /// of one. The programs may have been built from another: `binaries` says which they are.
    pub checkout: Option<String>,
    /// The programs.
    pub binaries: Vec<Binary>,
    /// Threads of the client.
    pub threads: usize,
    /// Kept HTTP/1.1 connections, opened before the load began.
    pub connections: usize,
    /// HTTP/2 connections, at most.
    pub http2_connections: usize,
    /// Begin of the load, in milliseconds since the Unix epoch.
    pub began_ms: u64,
    /// Length of the load, in seconds.
    pub seconds: f64,
}

/// A program of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binary {
    /// What it was in the run: `proxy`, `app` or `generator`.
    pub role: String,
    /// Name of its file.
    pub file: String,
    /// XXH3, 64 bits, of its bytes, in hexadecimal.
    pub xxh3: String,
}

/// What it ran on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Cores that this process may use.
    pub cores: usize,
    /// Model of the processor.
    pub model: String,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// Kernel release.
    pub kernel: String,
}

/// What a run says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every expectation was met.
    Passed,
    /// At least one was not.
    Failed,
    /// The generator fell behind its schedule, or something else makes the figures worthless.
    Void,
}

/// One expectation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What is expected, such as `p99` or `lost`.
    pub name: String,
    /// The bound, as in `≤ 50 ms`.
    pub wanted: String,
    /// What was seen.
    pub measured: String,
    /// Whether it was met.
    pub passed: bool,
}

/// Requests per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// Seconds from the begin of the load to its end or, if that came later, to the end of its last request.
    pub elapsed: f64,
    /// What the schedule asked for.
    pub intended: f64,
    /// What was answered as wanted.
    pub achieved: f64,
    /// Share of what was answered as wanted that came by the end of the load, or a quarter of a second later.
    pub in_time: f64,
}

/// A distribution, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Figures in it.
    pub count: u64,
    /// Mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    pub p999: f64,
    /// Greatest.
    pub max: f64,
}

/// A step of the percentile curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Share of the requests, 0 to 1.
    pub quantile: f64,
    /// They took at most so many milliseconds.
    pub ms: f64,
}

/// What the oracle found by comparing both ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// Whether the origins' records were there to compare with; without them only the client's end was judged, and what
    /// is lost, duplicated, misrouted or invented is 0 because nobody looked.
    pub both_ends: bool,
    /// Whether answers had to echo their request; without that, cross-talk is 0 because nobody looked.
    pub echo: bool,
    /// Requests begun.
    pub sent: u64,
    /// Requests answered as wanted.
    pub answered: u64,
    /// Requests that the origins recorded.
    pub recorded: u64,
    /// How often the origins ran them.
    pub executions: u64,
    /// The client saw success, no origin has a record.
    pub lost: u64,
    /// A request that writes ran more than once, or one that reads more often than it may.
    pub duplicated: u64,
    /// The answer was another request's.
    pub cross_talk: u64,
    /// Served by a stamp that the table did not name at that time.
    pub misrouted: u64,
    /// Failed, and no declared fault explains it.
    pub unexplained: u64,
    /// Origins have a record of a request that nobody sent.
    pub invented: u64,
    /// A few of each, in words.
    pub examples: Vec<String>,
}

impl Judgement {
    /// Whether nothing was lost, ran twice, was mixed up, misrouted or invented. Errors are another matter: a late
    /// generator causes some by itself.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.cross_talk == 0 && self.misrouted == 0 && self.invented == 0
    }
}

/// Requests for shared resources, and who had their answers: by what the proxies say, but for `asked`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shared {
    /// Requests, from the first one on.
    pub requests: u64,
    /// Answered from the memory of a proxy (L1).
    pub memory: u64,
    /// Answered from what the processes of a stamp share (L2).
    pub store: u64,
    /// Answered with what was fetched for another request.
    pub collapsed: u64,
    /// Requests that came to an app, by its own record; `None` without records.
    pub asked: Option<u64>,
    /// Share of the requests that are in `memory`, 0 to 1.
    pub hits_memory: f64,
    /// Share of the requests that are in `memory` or `store`, 0 to 1.
    pub hits: f64,
}

/// One second of the run, by intended start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Which one, from 0.
    pub at: u32,
    /// Requests that were to begin in it.
    pub intended: u64,
    /// Requests that were answered as wanted **in** it, whenever they began.
    pub answered: u64,
    /// Median latency in milliseconds of the requests that were to begin in it and succeeded.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Greatest.
    pub max: f64,
    /// 99th percentile of how late the generator began them, in milliseconds.
    pub lag_p99: f64,
    /// Share of the second in which the busiest thread of the generator was at work or waited for a core, 0 to 1.
    pub busy: f64,
    /// How the requests that were to begin in it ended.
    pub outcomes: BTreeMap<String, u64>,
    /// How long those of each outcome took, from the intended start: as [`Outcome::histogram`], to two digits.
    pub histograms: BTreeMap<String, String>,
    /// Who served those that were answered.
    pub stamps: BTreeMap<String, u64>,
}

/// How requests ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// `ok`, a status with its reason token (`503 no_stamp`), or what happened to the connection (`reset`).
    pub name: String,
    /// How many.
    pub count: u64,
    /// How many of them a declared fault explains; of `ok` always all.
    pub explained: u64,
    /// Median of how long they took from the intended start to their end, in milliseconds.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Greatest.
    pub max: f64,
    /// All of it in microseconds, to three digits: an `HdrHistogram` in the compressed V2 format, as base64.
    pub histogram: String,
}

/// What one stamp served.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StampShare {
    /// Which stamp.
    pub id: String,
    /// Requests.
    pub served: u64,
    /// Of all that were answered, 0 to 1.
    pub share: f64,
}

/// Something done to the world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// When it began.
    pub at: f64,
    /// When it was over; `None` if it lasted to the end.
    pub until: Option<f64>,
    /// In words, such as `kill synaxis-weu-002`.
    pub what: String,
}

/// What a process cost during the load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Such as `proxy synaxis-weu-001/1`.
    pub name: String,
    /// Seconds of processor time.
    pub cpu_seconds: f64,
    /// Resident memory in KiB at the begin.
    pub rss_begin_kib: u64,
    /// The most it ever was.
    pub rss_max_kib: u64,
    /// At the end.
    pub rss_end_kib: u64,
    /// Open descriptors at the begin.
    pub descriptors_begin: u64,
    /// The most that was seen.
    pub descriptors_max: u64,
    /// At the end.
    pub descriptors: u64,
}

/// What became of the connections that came to a balancer or a chaos proxy, from its begin to the end of the load.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relay {
    /// Such as `balancer before the edge of synaxis-weu-001`.
    pub name: String,
    /// Passed on.
    pub relayed: u64,
    /// Closed because no process was ready.
    pub nobody_ready: u64,
    /// Reset because the chosen process did not take them.
    pub not_taken: u64,
    /// Closed because there were too many.
    pub above_cap: u64,
    /// Times that accepting failed.
    pub accept_errors: u64,
    /// Open when the load had ended.
    pub open: usize,
}

impl Relay {
    /// Connections that were not passed on.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.nobody_ready.saturating_add(self.not_taken).saturating_add(self.above_cap)
    }
}

pub mod compare;
mod figures;
mod file;
pub mod html;
mod plot;
pub mod terminal;
#[cfg(test)]
mod tests;
mod timeline;

pub use file::prepare;

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Void => "void",
        })
    }
}

impl Percentiles {
    /// Its parts with their names, in milliseconds.
    fn parts(&self) -> [(&'static str, f64); 6] {
        [
            ("mean", self.mean),
            ("p50", self.p50),
            ("p90", self.p90),
            ("p99", self.p99),
            ("p99.9", self.p999),
            ("max", self.max),
        ]
    }
}

impl Judgement {
    /// What must not be there, by name; `None` is what nobody looked at.
    fn findings(&self) -> [(&'static str, Option<u64>); 6] {
        let told = |judged: bool, count: u64| (judged || count > 0).then_some(count);
        [
            ("lost", told(self.both_ends, self.lost)),
            ("duplicated", told(self.both_ends, self.duplicated)),
            ("cross-talk", told(self.echo, self.cross_talk)),
            ("misrouted", told(self.both_ends, self.misrouted)),
            ("unexplained", Some(self.unexplained)),
            ("invented", told(self.both_ends, self.invented)),
        ]
    }
}
