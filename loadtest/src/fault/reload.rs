//! Configurations that are rewritten under running proxies, every other one invalid.
//!
//! Invariant: a proxy is asked to load one only after it has counted the one before, and the last one is the one it was
//! started with.

use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::try_join_all;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::{
    quantity,
    world::{self, PATIENCE, Proxy, World, eventually},
};

/// Reloads of the proxies of one stamp, or of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reloads {
    /// Its position; default: all.
    pub stamp: Option<usize>,
    /// How many of each proxy; every other one is of an invalid file.
    pub count: u32,
    /// Pause after each.
    #[serde(serialize_with = "quantity::serialize", deserialize_with = "quantity::duration")]
    pub every: Duration,
}

impl Reloads {
    pub(super) fn check(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if !(2..=100_000).contains(&self.count) {
            faults.push("reload-storm.count is 2 to 100,000".into());
        }
        if self.every > Duration::from_secs(60) {
            faults.push("reload-storm.every is a minute at most".into());
        }
        faults
    }

    /// Fewer in less time, at the same pace.
    pub(super) fn scale(&mut self, factor: f64) {
        self.count = ((f64::from(self.count) * factor) as u32).max(2);
    }
}

/// All proxies at the same time. Returns once each has said how its reloads ended.
///
/// # Errors
/// A proxy does not answer, applied an invalid file or refused a valid one.
pub(super) async fn storm(how: &Reloads, world: &World) -> anyhow::Result<String> {
    let stamps = world.stamps.iter().enumerate();
    let proxies = stamps
        .filter(|(position, _)| how.stamp.is_none_or(|wanted| wanted == *position))
        .flat_map(|(_, stamp)| &stamp.proxies);
    let counts = try_join_all(proxies.map(|proxy| reload(how, proxy))).await?;
    let sum = |which: fn(&Counts) -> u64| counts.iter().map(which).sum::<u64>();
    Ok(format!("{} applied, {} refused", sum(|counts| counts.applied), sum(|counts| counts.refused)))
}

async fn reload(how: &Reloads, proxy: &Proxy) -> anyhow::Result<Counts> {
    let first = proxy.configuration()?;
    let before = Counts::of(proxy).await?;
    for number in 0..how.count {
        ask(proxy, &text(&first, number)).await?;
        tokio::time::sleep(how.every).await;
    }
    ask(proxy, &first).await?;
    let after = Counts::of(proxy).await?;
    let counts = Counts {
        applied: after.applied - before.applied,
        unchanged: after.unchanged - before.unchanged,
        refused: after.refused - before.refused,
    };
    // a watch may see a file before the signal comes, so that it is counted twice
    let (valid, invalid) = (u64::from(how.count.div_ceil(2)), u64::from(how.count / 2));
    anyhow::ensure!(
        counts.applied > valid - 1 && counts.refused > invalid - 1,
        "{}: {counts:?} after {valid} valid and {invalid} invalid files",
        proxy.process().name()
    );
    Ok(counts)
}

/// Writes it, sends SIGHUP, and waits until the outcome is counted.
async fn ask(proxy: &Proxy, text: &str) -> anyhow::Result<()> {
    let before = Counts::of(proxy).await?.sum();
    proxy.configure(text)?;
    proxy.process().signal(Signal::HUP)?;
    eventually(PATIENCE, || async { Counts::of(proxy).await.is_ok_and(|counts| counts.sum() > before) })
        .await
        .with_context(|| format!("{} counts no reload", proxy.process().name()))
}

/// The configuration of one reload: each valid one differs from those around it, and invalid ones have faults of syntax,
/// of sections and of values in turn.
fn text(first: &str, number: u32) -> String {
    match number % 6 {
        1 => format!("{first}\n[nonsense]\n"),
        3 => format!("{first}\n= ["),
        5 => first.replace("workers = ", "workers = -"),
        _ => first.replacen("[server]", &format!("[server]\nconnections_max = {}", 50_000 + number % 10_000), 1),
    }
}

/// What a proxy has counted.
#[derive(Clone, Copy, Debug)]
struct Counts {
    applied: u64,
    unchanged: u64,
    refused: u64,
}

impl Counts {
    async fn of(proxy: &Proxy) -> anyhow::Result<Self> {
        let answer = world::get(proxy.admin(), "/metrics").await?;
        let metrics = String::from_utf8_lossy(&answer.body).into_owned();
        let count = |result: &str| {
            let series = format!("config_reloads_total{{result=\"{result}\"}} ");
            let value = metrics.lines().find_map(|line| line.strip_prefix(&series));
            value.and_then(|value| value.parse().ok()).with_context(|| format!("no {series}in the metrics"))
        };
        Ok(Self { applied: count("applied")?, unchanged: count("unchanged")?, refused: count("refused")? })
    }

    fn sum(self) -> u64 {
        self.applied + self.unchanged + self.refused
    }
}
