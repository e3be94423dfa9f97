//! The life of a stamp: coming, going, its share, its level, and whether it is well.

use std::{str::FromStr, time::Duration};

use clap::Args as Group;
use synaxis_routing::{degradation::Level, id::Region, lifecycle::InvalidState, table::State};

use super::One;
use crate::{duration, names};

#[derive(Debug, Group)]
pub(crate) struct Ramped {
    #[command(flatten)]
    pub(crate) stamp: One,
    /// Over how long tenants move; 0s: at once
    #[arg(long, value_name = "DURATION", default_value = "300s", value_parser = duration::parse_seconds)]
    pub(crate) ramp: u32,
    /// Show progress until the ramp ends, also off a terminal
    #[arg(long)]
    pub(crate) watch: bool,
}

/// What goes below the minimum of Active stamps.
#[derive(Clone, Copy, Debug, Group)]
pub(crate) struct Below {
    /// Let fewer Active stamps remain than [guards] demand, in the fleet or in the region
    #[arg(long)]
    pub(crate) below_minimum: bool,
    /// Let no Active stamp remain at all
    #[arg(long)]
    pub(crate) last: bool,
}

#[derive(Debug, Group)]
pub(crate) struct Drain {
    #[command(flatten)]
    pub(crate) ramped: Ramped,
    /// At once: no ramp, and what is open may be cut; also ends a drain that is under way
    #[arg(long)]
    pub(crate) force: bool,
    /// How long connections and jobs may take, instead of 10 + 30 minutes
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) grace_period: Option<Duration>,
    #[command(flatten)]
    pub(crate) below: Below,
}

#[derive(Debug, Group)]
pub(crate) struct Isolate {
    #[command(flatten)]
    pub(crate) stamp: One,
    /// Let no Active stamp remain at all
    #[arg(long)]
    pub(crate) last: bool,
}

#[derive(Debug, Group)]
pub(crate) struct Standby {
    #[command(flatten)]
    pub(crate) stamp: One,
    /// Go on although its proxies still report connections or requests; kept as a warning
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Group)]
pub(crate) struct Delete {
    #[command(flatten)]
    pub(crate) stamp: One,
    /// Also a stamp that is draining: what it still serves is cut
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Group)]
pub(crate) struct Weight {
    #[command(flatten)]
    pub(crate) stamp: One,
    /// 0-1000; 0 takes no slots
    #[arg(value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub(crate) weight: u16,
    #[command(flatten)]
    pub(crate) below: Below,
}

#[derive(Debug, Group)]
#[command(group(clap::ArgGroup::new("whom").required(true).args(["of_stamp", "fleet"])))]
pub(crate) struct Degrade {
    /// 0-4 or full, ai-degraded, cache-degraded, read-only, maintenance; full is --clear
    #[arg(required_unless_present = "clear", conflicts_with = "clear")]
    pub(crate) level: Option<Level>,
    /// This stamp
    #[arg(id = "of_stamp", long = "stamp", value_name = "ID")]
    pub(crate) stamp: Option<String>,
    /// Region of a bare number, long or short
    #[arg(long, value_parser = names::region, conflicts_with = "fleet")]
    pub(crate) region: Option<Region>,
    /// Every stamp
    #[arg(long)]
    pub(crate) fleet: bool,
    /// For how long; at most 24h
    #[arg(long = "for", value_name = "DURATION", default_value = "30m", value_parser = duration::parse,
          conflicts_with = "clear")]
    pub(crate) lasts: Duration,
    /// Why; kept in the table, and in the history
    #[arg(long, value_name = "TEXT", default_value = "", conflicts_with = "clear")]
    pub(crate) reason: String,
    /// Take the level away that was set for the same
    #[arg(long)]
    pub(crate) clear: bool,
}

/// Where a stamp is asked.
#[derive(Debug, Group)]
pub(crate) struct At {
    /// Ask here instead of at its endpoint in the table: its peer listener through a port-forward
    #[arg(long, value_name = "URL", value_parser = super::url)]
    pub(crate) at: Option<url::Url>,
}

#[derive(Debug, Group)]
pub(crate) struct Health {
    #[command(flatten)]
    pub(crate) stamp: One,
    #[command(flatten)]
    pub(crate) at: At,
}

#[derive(Debug, Group)]
pub(crate) struct Wait {
    /// creating, active, draining, ready, failed, deleted, or healthy: the stamp itself says that its app is well
    #[arg(long = "for", value_name = "STATE")]
    pub(crate) goal: Goal,
    #[command(flatten)]
    pub(crate) stamp: One,
    #[command(flatten)]
    pub(crate) at: At,
}

/// What can be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// The table says so.
    State(State),
    /// The stamp says so.
    Healthy,
}

impl FromStr for Goal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("healthy") {
            return Ok(Self::Healthy);
        }
        text.parse().map(Self::State).map_err(|wrong: InvalidState| format!("{wrong}, or healthy"))
    }
}
