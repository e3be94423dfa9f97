//! Levels of degradation: an operator sets them, and whether they come is asked of the proxies themselves.
//!
//! Invariant: a level that was waited for has been that of every proxy that was asked at one time.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use synaxis_routing::degradation::Level;
use tokio::time::sleep;

use crate::world::{Proxy, Stamp, World, get, put};

/// A level that an operator sets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Degraded {
    /// Position of the stamp.
    pub stamp: usize,
    /// Its name, or `auto` to leave it to what the proxies watch.
    pub level: String,
}

/// A level that must come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leveled {
    /// Position of the stamp; default: all of them.
    pub stamp: Option<usize>,
    /// Its name.
    pub level: String,
}

/// Longest wait for a level.
const COMING: Duration = Duration::from_secs(5);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

fn unknown(level: &str) -> Option<String> {
    let error = level.parse::<Level>().err()?;
    Some(format!("a fault names the level of degradation {level:?}: {error}"))
}

impl Degraded {
    pub(super) fn check(&self) -> Option<String> {
        unknown(&self.level).filter(|_| self.level != "auto")
    }
}

impl Leveled {
    pub(super) fn check(&self) -> Option<String> {
        unknown(&self.level)
    }
}

/// Sets a level at every proxy of a stamp, for longer than a run may last.
pub(super) async fn set(stamp: &Stamp, level: &str) -> anyhow::Result<()> {
    let document = match level {
        "auto" => serde_json::json!({ "level": level }),
        _ => serde_json::json!({ "level": level, "for": "24h" }),
    };
    for proxy in &stamp.proxies {
        let answer = put(proxy.admin(), "/degradation", document.to_string()).await?;
        let said = String::from_utf8_lossy(&answer.body);
        anyhow::ensure!(answer.status == 200, "{} refuses the level: {} {said}", proxy.process().name(), answer.status);
    }
    Ok(())
}

/// Waits until a level has come to every proxy that is meant; says how long that took.
pub(super) async fn reached(world: &World, wanted: &Leveled) -> anyhow::Result<String> {
    let level: Level = wanted.level.parse()?;
    let stamps = world.stamps.iter().enumerate().filter(|(at, _)| wanted.stamp.is_none_or(|stamp| stamp == *at));
    let proxies: Vec<&Proxy> = stamps.flat_map(|(_, stamp)| &stamp.proxies).collect();
    let begin = Instant::now();
    loop {
        let seen = join_all(proxies.iter().map(|proxy| level_of(proxy))).await;
        if seen.iter().all(|seen| seen.as_ref().is_ok_and(|seen| *seen == level)) {
            return Ok(format!("after {} ms", begin.elapsed().as_millis()));
        }
        anyhow::ensure!(begin.elapsed() < COMING, "not in {COMING:?}; the proxies say {seen:?}");
        sleep(LOOK).await;
    }
}

async fn level_of(proxy: &Proxy) -> anyhow::Result<Level> {
    let answer = get(proxy.admin(), "/degradation").await?;
    let shown: serde_json::Value = serde_json::from_slice(&answer.body)?;
    Ok(shown["level"].as_str().context("no level")?.parse()?)
}
