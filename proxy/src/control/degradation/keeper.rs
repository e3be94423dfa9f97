//! Keeps the level of one process: takes what changes, decides by [`Degradation`], publishes.
//!
//! Invariant: what requests go by, the gauge and what operators are shown come from the same look. Whoever changes an input
//! looks, and control does every [`TICK`], for breakers and what time alone changes.

mod shown;

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use synaxis_config::settings::{DegradationLevel, Dependency, Watched};
use synaxis_routing::degradation;

use super::{Cause, Degradation, Inputs, Level, Limits, Override, Trigger};
use crate::{
    control::probe::Failure,
    dataplane::{DataPlane, Snapshot, degradation::Standing},
    telemetry::labels::Asked,
    upstream::{
        guard::millis,
        health::checks::{self, Checks},
    },
};

pub use shown::Shown;

/// Longest between two looks.
pub const TICK: Duration = Duration::from_millis(250);

/// The level of one process, and all that decides it.
#[derive(Debug, Default)]
pub struct Keeper(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    degradation: Degradation,
    local: Option<Override>,
    /// What is known of the dependencies that are probed, by name.
    probed: HashMap<String, Probed>,
}

#[derive(Debug, Default)]
struct Probed {
    checks: Checks,
    last: Option<Last>,
}

/// How a probe went.
#[derive(Debug)]
struct Last {
    at: Instant,
    outcome: Result<Duration, Failure>,
}

/// The level that the settings name.
#[must_use]
pub fn level(asked: DegradationLevel) -> Level {
    match asked {
        DegradationLevel::AiDegraded => Level::AiDegraded,
        DegradationLevel::CacheDegraded => Level::CacheDegraded,
        DegradationLevel::ReadOnly => Level::ReadOnly,
        DegradationLevel::Maintenance => Level::Maintenance,
    }
}

impl Keeper {
    /// Takes the result of a probe: how long it took, or why it failed. Says whether the dependency passes from now on if
    /// that has changed.
    pub(in crate::control) fn record(
        &self,
        name: &str,
        outcome: Result<Duration, Failure>,
        limits: &checks::Limits,
        at: Instant,
    ) -> Option<bool> {
        let mut kept = self.lock();
        // a process that starts while names are not resolved yet must not refuse writes for its first slow probe
        let new = || Probed { checks: Checks::presumed_well(), last: None };
        let probed = kept.probed.entry(name.to_owned()).or_insert_with(new);
        let changed = probed.checks.record(outcome.is_ok(), limits);
        probed.last = Some(Last { at, outcome });
        changed
    }

    /// Forgets what probes have found, unless it is still asked.
    pub(in crate::control) fn keep(&self, is_asked: impl Fn(&str) -> bool) {
        self.lock().probed.retain(|name, _| is_asked(name));
    }

    /// How many dependencies are probed, and how many of them pass.
    pub(in crate::control) fn show(&self, plane: &DataPlane) {
        let kept = self.lock();
        let passing = kept.probed.values().filter(|probed| probed.checks.verdict() == Some(true)).count();
        plane.metrics.health(Asked::Dependency, kept.probed.len(), passing);
    }

    /// An operator sets a level for this process and for some time, or takes that back.
    pub fn tell(&self, plane: &DataPlane, told: Option<(Level, Duration)>) {
        let now = plane.clock.uptime(Instant::now());
        self.lock().local = told.map(|(level, time)| Override { level, until: now.saturating_add(millis(time)) });
        self.look(plane);
    }

    /// Looks at all inputs and publishes the level.
    pub fn look(&self, plane: &DataPlane) {
        let snapshot = plane.snapshot.load();
        let instant = Instant::now();
        let now = plane.clock.uptime(instant);
        let mut kept = self.lock();
        let Kept { degradation, local, probed } = &mut *kept;
        *local = local.filter(|local| now < local.until);
        let dependencies = &snapshot.settings.dependencies;
        let triggers: Vec<Trigger<'_>> = dependencies
            .iter()
            .map(|one| Trigger {
                name: &one.name,
                asks: level(one.on_failure),
                failing: is_down(one, &snapshot, probed, now),
            })
            .collect();
        let from_table = from_table(&snapshot, plane.clock.at(instant), now);
        // of two the higher holds, and of the same level the longer
        let local = from_table.stamp.into_iter().chain(*local).max_by_key(|told| (told.level, told.until));
        let inputs = Inputs { triggers: &triggers, fleet: from_table.fleet, local };
        let limits = Limits { leave_after_ms: millis(snapshot.settings.degradation.leave) };
        let change = degradation.update(now, &limits, &inputs);
        let standing = Standing { level: degradation.level(), fleet_wide: degradation.is_fleet_wide() };
        plane.degradation.set(standing);
        let Some(change) = change else { return };
        plane.metrics.degradation.set(f64::from(u8::from(change.to)));
        let told = matches!(change.why.first().map(|why| &why.cause), Some(Cause::Fleet { .. } | Cause::Stamp { .. }));
        let why: Vec<String> = change.why.iter().map(ToString::to_string).collect();
        let (from, to, why) = (change.from.as_str(), change.to.as_str(), why.join("; "));
        if change.to > change.from && !told {
            tracing::warn!(from, to, why, "the level of degradation has changed");
        } else {
            tracing::info!(from, to, why, "the level of degradation has changed");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_down(one: &Dependency, snapshot: &Snapshot, probed: &HashMap<String, Probed>, now: u64) -> bool {
    match &one.watched {
        Watched::Probe(_) => probed.get(&one.name).is_some_and(|probed| !probed.checks.is_usable()),
        // half-open is well: as long as its routes are refused, nobody would try whether it is
        Watched::Breaker(upstream) => {
            snapshot.apps.get(*upstream).is_some_and(|app| app.guard.breaker.state(now).is_open())
        }
    }
}

/// What the routing table says of this stamp, on the process's clock.
#[derive(Default)]
struct FromTable {
    fleet: Option<Override>,
    stamp: Option<Override>,
    /// Why, of each.
    reasons: [Option<String>; 2],
}

fn from_table(snapshot: &Snapshot, store_now: u64, now: u64) -> FromTable {
    let Some(table) = snapshot.fleet.as_ref().and_then(|fleet| fleet.placement.table().degradation.as_ref()) else {
        return FromTable::default();
    };
    let here = |told: &degradation::Override| Override {
        level: told.level,
        until: now.saturating_add(told.until.saturating_sub(store_now)),
    };
    let (fleet, stamp) = (table.of_fleet(store_now), table.stamps.get(&snapshot.settings.stamp.id));
    let stamp = stamp.filter(|told| told.is_in_force(store_now));
    FromTable {
        fleet: fleet.map(here),
        stamp: stamp.map(here),
        reasons: [fleet, stamp].map(|told| told.map(|told| told.reason.clone())),
    }
}
