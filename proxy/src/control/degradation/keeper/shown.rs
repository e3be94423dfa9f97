//! The level of degradation as operators are shown it: what holds, why, and how everything is that is watched.

use std::{collections::HashMap, time::Instant};

use serde::Serialize;
use synaxis_config::settings::{Dependency, Watched};

use super::{Keeper, Limits, Override, Probed, from_table, is_down};
use crate::{
    control::probe::Failure,
    dataplane::{DataPlane, Snapshot},
    upstream::guard::{millis, state_name},
};

/// What operators are shown.
#[derive(Debug, Serialize)]
pub struct Shown {
    level: &'static str,
    /// Whether it is the whole fleet's.
    fleet_wide: bool,
    /// All that asks for a level, first what decides.
    why: Vec<String>,
    overrides: Overrides,
    dependencies: Vec<Watching>,
}

/// What operators have set.
#[derive(Debug, Default, Serialize)]
struct Overrides {
    /// In the routing table, for every stamp.
    fleet: Option<Set>,
    /// In the routing table, for this stamp.
    stamp: Option<Set>,
    /// Here, for this process.
    process: Option<Set>,
}

#[derive(Debug, Serialize)]
struct Set {
    level: &'static str,
    seconds_left: u64,
    reason: Option<String>,
}

/// One dependency.
#[derive(Debug, Serialize)]
struct Watching {
    name: String,
    /// Whom a probe asks, or whose breaker.
    watches: String,
    on_failure: &'static str,
    down: bool,
    /// What its last probe has found, or the breaker's state.
    last: Option<String>,
    latency_ms: Option<f64>,
    seconds_ago: Option<f64>,
}

impl Keeper {
    /// What operators are shown.
    #[must_use]
    pub fn shown(&self, plane: &DataPlane) -> Shown {
        let snapshot = plane.snapshot.load();
        let instant = Instant::now();
        let now = plane.clock.uptime(instant);
        let kept = self.lock();
        let limits = Limits { leave_after_ms: millis(snapshot.settings.degradation.leave) };
        let set = |told: Override, reason: Option<String>| Set {
            level: told.level.as_str(),
            seconds_left: told.until.saturating_sub(now).div_ceil(1_000),
            reason: reason.filter(|reason| !reason.is_empty()),
        };
        let table = from_table(&snapshot, plane.clock.at(instant), now);
        let local = kept.local.filter(|local| now < local.until);
        Shown {
            level: kept.degradation.level().as_str(),
            fleet_wide: kept.degradation.is_fleet_wide(),
            why: kept.degradation.why(now, &limits).iter().map(ToString::to_string).collect(),
            overrides: Overrides {
                fleet: table.fleet.map(|told| set(told, table.reasons[0].clone())),
                stamp: table.stamp.map(|told| set(told, table.reasons[1].clone())),
                process: local.map(|told| set(told, None)),
            },
            dependencies: snapshot
                .settings
                .dependencies
                .iter()
                .map(|one| watching(one, &snapshot, &kept.probed, instant, now))
                .collect(),
        }
    }
}

fn watching(
    one: &Dependency,
    snapshot: &Snapshot,
    probed: &HashMap<String, Probed>,
    instant: Instant,
    now: u64,
) -> Watching {
    let (watches, last, latency, at) = match &one.watched {
        Watched::Probe(probe) => {
            let last = probed.get(&one.name).and_then(|probed| probed.last.as_ref());
            let word = last.map(|last| last.outcome.as_ref().err().map_or("passed".to_owned(), ToString::to_string));
            let took = last.and_then(|last| match &last.outcome {
                Ok(took) | Err(Failure::Slow { took, .. }) => Some(*took),
                Err(_) => None,
            });
            (probe.url.to_string(), word, took, last.map(|last| last.at))
        }
        Watched::Breaker(upstream) => {
            let state = snapshot.apps.get(*upstream).map(|app| state_name(app.guard.breaker.state(now)).to_owned());
            let name = snapshot.settings.upstreams.get(*upstream).map(|upstream| upstream.name.as_str());
            (format!("breaker of {}", name.unwrap_or_default()), state, None, None)
        }
    };
    Watching {
        name: one.name.clone(),
        watches,
        on_failure: one.on_failure.as_str(),
        down: is_down(one, snapshot, probed, now),
        last,
        latency_ms: latency.map(|latency| latency.as_secs_f64() * 1e3),
        seconds_ago: at.map(|at| instant.duration_since(at).as_secs_f64()),
    }
}
