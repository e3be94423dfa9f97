//! Latency at a fixed rate: an open loop beside the origin, each contestant in turn, and the origin without a proxy.
//!
//! Invariant: a latency counts from the intended start of its request. A round in which the generator fell behind its
//! schedule, or in which a request failed, is void.

use std::{fmt, net::Ipv4Addr, num::NonZeroUsize, time::Duration};

use anyhow::Context as _;
use rustix::thread::{CpuSet, sched_setaffinity};
use synaxis_loadtest::{
    arrival::{Phase, Process, Schedule},
    client::{self, Client, OK, Plan, Samples},
    workload::{Mix, Workload},
};

use crate::{
    contestant::{Contestant, Kind},
    origin,
    plot::Bar,
    statistics::{Spread, cell},
};

/// The row of the origin without a proxy.
const DIRECT: &str = "no proxy";
/// A generator that begins one request in a hundred later than this has not kept its schedule.
const LAG_MAX: Duration = Duration::from_millis(2);
/// Tenants of the load.
const TENANTS: u32 = 1_000;

/// How it is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Requests a second.
    pub(crate) rate: u32,
    pub(crate) rounds: u32,
    pub(crate) duration: Duration,
    pub(crate) connections: u32,
}

/// Percentiles of one round in microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Seen {
    p50: f64,
    p99: f64,
    p999: f64,
}

/// The result.
pub(crate) struct Table {
    rate: u32,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    kind: Option<Kind>,
    seen: [Option<Spread>; 3],
    /// Median over that of the origin in the same round.
    added: Option<Spread>,
    /// 99th percentile in relation to nginx's in the same round.
    to_nginx: Option<Spread>,
    void: usize,
}

/// Measures everybody in turn, round by round.
pub(crate) fn measure(contestants: &[Contestant], origin: u16, effort: Effort) -> anyhow::Result<Table> {
    // the client's threads inherit where this one may run: beside the origin, never beside the proxy
    let mut core = CpuSet::new();
    core.set(usize::from(origin::CORE));
    sched_setaffinity(None, &core).context("the generator's core")?;
    let mut rounds = Vec::new();
    for index in 0..=effort.rounds {
        let mut round = vec![told(index, DIRECT, load(origin, effort, index)?)];
        for contestant in contestants {
            let servers = contestant.start()?;
            round.push(told(index, &contestant.name, load(contestant.port, effort, index)?));
            drop(servers);
        }
        if index > 0 {
            rounds.push(round);
        }
    }
    let names = contestants.iter().map(|contestant| (contestant.name.clone(), Some(contestant.kind)));
    Ok(table(std::iter::once((DIRECT.to_owned(), None)).chain(names).collect(), effort.rate, &rounds))
}

fn told(index: u32, name: &str, seen: Option<Seen>) -> Option<Seen> {
    let which = if index == 0 { "warm-up".to_owned() } else { format!("round {index}") };
    match seen {
        Some(Seen { p50, p99, .. }) => eprintln!("{which}: {name} p50 {p50:.0} µs, p99 {p99:.0} µs"),
        None => eprintln!("{which}: {name} is void"),
    }
    seen
}

/// The same requests at the same intended times for everybody of a round.
fn load(port: u16, effort: Effort, round: u32) -> anyhow::Result<Option<Seen>> {
    let phase = Phase { duration: effort.duration, rate: f64::from(effort.rate), to: None, burst: None, noisy: 0.0 };
    let mix = Mix { tenants: TENANTS, zipf: 0.0, reads: 1.0, ..Mix::default() };
    let seed = u64::from(round);
    let plan = Plan {
        schedule: Schedule::new(Process::Poisson, vec![phase], seed),
        workload: Workload::new(mix, seed),
        tenants: client::tenants(TENANTS),
        entries: vec![(Ipv4Addr::LOCALHOST, port).into()],
        connections: usize::try_from(effort.connections)?,
        http2_connections: 1,
        timeout: Duration::from_secs(5),
        threads: NonZeroUsize::MIN,
        // nginx echoes nothing
        echo: false,
    };
    Ok(seen(&Client::start(&plan)?.wait()?))
}

fn seen(samples: &Samples) -> Option<Seen> {
    let sorted = |each: fn(&client::Sample) -> u64| {
        let mut micros: Vec<u64> = samples.samples.iter().map(each).collect();
        micros.sort_unstable();
        micros
    };
    let lag = sorted(|sample| sample.launched.saturating_sub(sample.intended));
    let sound = samples.samples.iter().all(|sample| sample.outcome == OK);
    if !sound || Duration::from_micros(quantile(&lag, 0.99)?) > LAG_MAX {
        return None;
    }
    let latency = sorted(|sample| sample.ended - sample.intended);
    #[expect(clippy::cast_precision_loss, reason = "microseconds of seconds")]
    let at = |share: f64| quantile(&latency, share).map(|micros| micros as f64);
    Some(Seen { p50: at(0.5)?, p99: at(0.99)?, p999: at(0.999)? })
}

/// The value that so large a share does not exceed.
fn quantile(sorted: &[u64], share: f64) -> Option<u64> {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index"
    )]
    let at = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(at.saturating_sub(1)).copied()
}

fn table(names: Vec<(String, Option<Kind>)>, rate: u32, rounds: &[Vec<Option<Seen>>]) -> Table {
    let nginx = names.iter().position(|(name, _)| name == "nginx");
    let rows = names.into_iter().enumerate().map(|(index, (name, kind))| {
        let of =
            |figure: fn(&Seen) -> f64| Spread::of(rounds.iter().filter_map(|round| round[index].as_ref().map(figure)));
        let added = rounds.iter().filter_map(|round| Some(round[index]?.p50 - round[0]?.p50));
        let ratios = rounds.iter().filter_map(|round| Some(round[index]?.p99 / round[nginx?]?.p99));
        Row {
            name,
            kind,
            seen: [of(|seen| seen.p50), of(|seen| seen.p99), of(|seen| seen.p999)],
            added: Spread::of(added),
            to_nginx: Spread::of(ratios),
            void: rounds.iter().filter(|round| round[index].is_none()).count(),
        }
    });
    Table { rate, rows: rows.collect() }
}

impl Table {
    pub(crate) fn title(&self) -> String {
        format!("Latency at a fixed rate, {} requests a second in an open loop", self.rate)
    }

    /// The 99th percentiles as bars of a plot.
    pub(crate) fn bars(&self) -> Vec<Bar> {
        let ours = |kind: Option<Kind>| !matches!(kind, None | Some(Kind::Peer));
        let bar = |row: &Row| Some(Bar { name: row.name.clone(), figure: row.seen[1]?, ours: ours(row.kind) });
        self.rows.iter().filter_map(bar).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "## {}\n", self.title())?;
        writeln!(f, "| proxy | p50 µs | added p50 µs | p99 µs | p99 × nginx | p99.9 µs | void rounds |")?;
        writeln!(f, "| --- | --- | --- | --- | --- | --- | --- |")?;
        let whole = |spread: Option<Spread>| match spread {
            Some(Spread { median, min, max }) => format!("{median:.0} ({min:.0}–{max:.0})"),
            None => "–".to_owned(),
        };
        for row in &self.rows {
            let [p50, p99, p999] = row.seen.map(whole);
            let (added, ratio) = (whole(row.added), cell(row.to_nginx));
            writeln!(f, "| {} | {p50} | {added} | {p99} | {ratio} | {p999} | {} |", row.name, row.void)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(p50: f64, p99: f64) -> Option<Seen> {
        Some(Seen { p50, p99, p999: 2.0 * p99 })
    }

    #[test]
    fn what_a_proxy_adds_is_paired_with_the_origin_of_the_same_round() {
        let names = vec![
            (DIRECT.to_owned(), None),
            ("nginx".to_owned(), Some(Kind::Peer)),
            ("ours".to_owned(), Some(Kind::Ours)),
        ];
        let rounds = [
            vec![seen(100.0, 200.0), seen(200.0, 400.0), seen(180.0, 800.0)],
            vec![seen(300.0, 600.0), seen(400.0, 900.0), seen(390.0, 1_800.0)],
            vec![seen(100.0, 200.0), None, seen(150.0, 300.0)],
        ];
        let text = table(names, 5_000, &rounds).to_string();
        assert!(text.contains("| ours | 180 (150–390) | 80 (50–90) | 800 (300–1800) | 2.00 (2.00–2.00) |"), "{text}");
        assert!(
            text.contains(
                "| nginx | 300 (200–400) | 100 (100–100) | 650 (400–900) | 1.00 (1.00–1.00) | 1300 (800–1800) | 1 |"
            ),
            "{text}"
        );
    }

    #[test]
    fn a_quantile_is_a_value_that_occurred() {
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!([0.5, 0.99, 0.999].map(|share| quantile(&hundred, share)), [Some(50), Some(99), Some(100)]);
        assert_eq!(quantile(&[], 0.5), None);
    }
}
