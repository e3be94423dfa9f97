//! What is done to a world while it is under load.
//!
//! Invariant: only what a fault declares explains an error, only of a request that it can have touched, and only from the
//! instant it begins until its time is over.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    chaos::{Direction, Toxics},
    origin::Script,
    quantity,
    world::{Blueprint, Network, Wire},
};

mod concern;
mod degrade;
mod perform;
mod reload;
mod slow;
mod table;
mod timeline;

pub use concern::Concern;
pub use degrade::{Degraded, Leveled};
pub(crate) use perform::calm;
pub use reload::Reloads;
pub use slow::Slowness;
pub use table::Lie;
pub(crate) use timeline::matches;
pub use timeline::{Timeline, Window};

/// One line of a timeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// When, after the begin of the load.
    #[serde(serialize_with = "quantity::serialize", deserialize_with = "quantity::duration")]
    pub at: Duration,
    /// How long it explains what it declares, from the instant it began; default: to the end of the run.
    #[serde(
        rename = "for",
        default,
        serialize_with = "quantity::serialize_optional",
        deserialize_with = "quantity::optional"
    )]
    pub lasts: Option<Duration>,
    /// What is done.
    #[serde(rename = "do")]
    pub action: Action,
    /// Outcomes that it explains, of requests that it concerns; `*` at the end stands for anything.
    #[serde(default)]
    pub errors: Vec<String>,
    /// The same of requests that write, beside those.
    #[serde(default)]
    pub write_errors: Vec<String>,
    /// Index of the tenant whose requests alone it concerns; default: of all that the action can touch.
    pub tenant: Option<u32>,
    /// How long other candidates than their owner may serve the tenants that it concerns, from the instant it began;
    /// default: never.
    #[serde(default, serialize_with = "quantity::serialize_optional", deserialize_with = "quantity::optional")]
    pub failover: Option<Duration>,
}

/// What can be done. Stamps are named by their position, from 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// Nothing: the load itself is what is wrong, and this declares what comes of it.
    Nothing,
    /// The operator drains a stamp.
    Drain(Ramped),
    /// The operator takes the drain back.
    CancelDrain(Ramped),
    /// All processes of a stamp are killed.
    KillStamp(One),
    /// They are started again.
    StartStamp(One),
    /// All processes of a stamp stand still.
    HangStamp(One),
    /// They go on.
    ResumeStamp(One),
    /// The proxies of a stamp are killed, its app is not.
    KillProxies(One),
    /// They are started again.
    StartProxies(One),
    /// The app of a stamp is killed.
    KillApp(One),
    /// It is started again.
    StartApp(One),
    /// The app stands still.
    HangApp(One),
    /// It goes on.
    ResumeApp(One),
    /// The app behaves differently.
    App(Scripted),
    /// The proxies of a stamp, or of all stamps one after the other, are asked to end and started again, one by one.
    RollingRestart(Restarted),
    /// The configuration of the proxies of a stamp, or of all, is rewritten and loaded again, every other one invalid.
    ReloadStorm(Reloads),
    /// Redis is killed.
    RedisKill,
    /// It is started again, empty.
    RedisStart,
    /// Redis stands still.
    RedisHang,
    /// It goes on.
    RedisResume,
    /// Redis forgets everything.
    RedisFlush,
    /// Somebody writes a table past every check.
    Table(Written),
    /// The operator puts the table back, in a new term.
    Recover,
    /// A chaos proxy misbehaves.
    Chaos(Toxic),
    /// Every connection through a chaos proxy is reset.
    Cut(Place),
    /// Chaos proxies behave.
    Calm,
    /// Nothing passes any more between a stamp and another one, or everybody, and nobody is told.
    Partition(Parted),
    /// It passes again.
    Heal(Parted),
    /// The operator sets a level of degradation at the proxies of a stamp.
    Degrade(Degraded),
    /// A level of degradation is waited for, and it is a fault of its own if it does not come.
    Level(Leveled),
    /// Clients that are slow on purpose come, and stay as long as the fault lasts.
    SlowClients(Slowness),
}

/// One stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct One {
    /// Its position.
    pub stamp: usize,
}

/// A stamp, and from whom it is parted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parted {
    /// Its position.
    pub stamp: usize,
    /// The position of the other; default: everybody, Redis and the generator too.
    pub from: Option<usize>,
}

/// The proxies of one stamp, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Restarted {
    /// Its position; default: all.
    pub stamp: Option<usize>,
}

/// A stamp, and how gradually.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ramped {
    /// Its position.
    pub stamp: usize,
    /// Length of the ramp, in whole seconds.
    #[serde(default, serialize_with = "quantity::serialize", deserialize_with = "quantity::duration")]
    pub ramp: Duration,
}

/// A stamp's app, and how it behaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scripted {
    /// Its position.
    pub stamp: usize,
    /// How.
    #[serde(default)]
    pub script: Script,
}

/// A table that nobody should believe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// What is wrong with it.
    pub lie: Lie,
}

/// A chaos proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Which kind.
    pub wire: Wire,
    /// Of which stamp; default: of all.
    pub stamp: Option<usize>,
}

/// A chaos proxy and what it does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Toxic {
    /// Which kind.
    pub wire: Wire,
    /// Of which stamp; default: of all.
    pub stamp: Option<usize>,
    /// To what passes which way.
    #[serde(default)]
    pub direction: Direction,
    /// What.
    pub toxics: Toxics,
}

impl Action {
    fn stamp(&self) -> Option<usize> {
        match self {
            Self::Drain(ramped) | Self::CancelDrain(ramped) => Some(ramped.stamp),
            Self::KillStamp(one)
            | Self::StartStamp(one)
            | Self::HangStamp(one)
            | Self::ResumeStamp(one)
            | Self::KillProxies(one)
            | Self::StartProxies(one)
            | Self::KillApp(one)
            | Self::StartApp(one)
            | Self::HangApp(one)
            | Self::ResumeApp(one) => Some(one.stamp),
            Self::App(scripted) => Some(scripted.stamp),
            Self::RollingRestart(some) => some.stamp,
            Self::ReloadStorm(storm) => storm.stamp,
            Self::Chaos(toxic) => toxic.stamp,
            Self::Cut(place) => place.stamp,
            Self::Partition(parted) | Self::Heal(parted) => Some(parted.stamp),
            Self::Degrade(degraded) => Some(degraded.stamp),
            Self::Level(leveled) => leveled.stamp,
            Self::Nothing
            | Self::RedisKill
            | Self::RedisStart
            | Self::RedisHang
            | Self::RedisResume
            | Self::RedisFlush
            | Self::Table(_)
            | Self::Recover
            | Self::Calm
            | Self::SlowClients(_) => None,
        }
    }

    fn wire(&self) -> Option<Wire> {
        match self {
            Self::Chaos(toxic) => Some(toxic.wire),
            Self::Cut(place) => Some(place.wire),
            _ => None,
        }
    }
}

impl Parted {
    fn check(self, world: &Blueprint) -> Vec<String> {
        let mut faults = Vec::new();
        if world.network == Network::Loopback {
            faults.push("a fault parts stamps: it needs world.network = \"namespaces\"".into());
        }
        if self.from.is_some_and(|from| from == self.stamp || from >= world.stamps) {
            faults.push("a fault parts a stamp `from` another one's position".into());
        }
        faults
    }
}

impl Fault {
    /// What is wrong with it in this world, if anything is.
    pub(crate) fn check(&self, world: &Blueprint, tenants: u32, length: Duration) -> Vec<String> {
        let mut faults = Vec::new();
        if self.at >= length {
            faults.push(format!("a fault at {:?} comes after the load has ended", self.at));
        }
        let ramp = match self.action {
            Action::Drain(ramped) | Action::CancelDrain(ramped) => Some(ramped.ramp),
            _ => None,
        };
        for (name, time) in [("for", self.lasts), ("failover", self.failover), ("ramp", ramp)] {
            if time.is_some_and(|time| time > quantity::DAY) {
                faults.push(format!("`{name}` of a fault is a day at most"));
            }
        }
        if let Some(stamp) = self.action.stamp().filter(|stamp| *stamp >= world.stamps) {
            faults.push(format!("a fault names the stamp {stamp}; positions are 0 to {}", world.stamps - 1));
        }
        let failing = match &self.action {
            Action::App(scripted) => scripted.script.errors.and_then(|errors| errors.tenant),
            _ => None,
        };
        if let Some(tenant) = [self.tenant, failing].into_iter().flatten().find(|tenant| *tenant >= tenants) {
            faults.push(format!("a fault names the tenant {tenant}; indices are 0 to {}", tenants.saturating_sub(1)));
        }
        if let Some(wire) = self.action.wire().filter(|wire| !world.chaos.contains(wire)) {
            faults.push(format!("a fault needs world.chaos to name {wire:?}").to_lowercase());
        }
        match &self.action {
            Action::App(scripted) => faults.extend(scripted.script.check()),
            Action::ReloadStorm(storm) => faults.extend(storm.check()),
            Action::SlowClients(slow) => {
                faults.extend(slow.check(self.lasts));
                if self.at < length && self.lasts.is_some_and(|lasts| self.at.saturating_add(lasts) >= length) {
                    faults
                        .push(format!("slow-clients at {:?} must go before the load ends: `for` is too long", self.at));
                }
            }
            Action::Degrade(degraded) => faults.extend(degraded.check()),
            Action::Level(leveled) => faults.extend(leveled.check()),
            Action::Partition(parted) | Action::Heal(parted) => faults.extend(parted.check(world)),
            Action::Table(Written { lie: Lie::Shrunk }) if world.stamps == 1 => {
                faults.push("the lie `shrunk` leaves one stamp: it needs a world of more".into());
            }
            _ => {}
        }
        faults
    }

    /// Multiplies its times.
    pub(crate) fn scale(&mut self, factor: f64) {
        self.at = self.at.mul_f64(factor);
        self.lasts = self.lasts.map(|lasts| lasts.mul_f64(factor));
        self.failover = self.failover.map(|failover| failover.mul_f64(factor));
        if let Action::Drain(ramped) | Action::CancelDrain(ramped) = &mut self.action {
            ramped.ramp = ramped.ramp.mul_f64(factor);
        }
        if let Action::ReloadStorm(storm) = &mut self.action {
            storm.scale(factor);
        }
    }
}
