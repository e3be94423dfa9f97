//! Whose requests a fault can touch.
//!
//! Invariant: the narrowest that is true. What a fault declares excuses nobody else: a stamp that misbehaves while another
//! one is dead is a finding.

use super::Action;
use crate::world::Wire;

/// Whose requests a fault can touch. Stamps are named by their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concern {
    /// Everybody's.
    All,
    /// Those of the tenants that a stamp may serve at the time.
    Tenants(String),
    /// Those, and those of clients that enter by it.
    Stamp(String),
    /// Those of the tenants that either of two stamps may serve at the time, of clients that enter by the other.
    Between(String, String),
}

impl Concern {
    /// That of an action; `id` names the stamp at a position.
    pub(super) fn of(action: &Action, id: impl Fn(usize) -> String) -> Self {
        let all_or = |stamp: Option<usize>, one: fn(String) -> Self| stamp.map_or(Self::All, |stamp| one(id(stamp)));
        match action {
            // its proxies end, stand still or begin: whoever enters by them notices
            Action::KillStamp(one)
            | Action::StartStamp(one)
            | Action::HangStamp(one)
            | Action::ResumeStamp(one)
            | Action::KillProxies(one)
            | Action::StartProxies(one) => Self::Stamp(id(one.stamp)),
            Action::RollingRestart(some) => all_or(some.stamp, Self::Stamp),
            Action::ReloadStorm(storm) => all_or(storm.stamp, Self::Stamp),
            Action::Partition(parted) | Action::Heal(parted) => match parted.from {
                Some(from) => Self::Between(id(parted.stamp), id(from)),
                None => Self::Stamp(id(parted.stamp)),
            },
            // its proxies serve and forward as before
            Action::Drain(ramped) | Action::CancelDrain(ramped) => Self::Tenants(id(ramped.stamp)),
            Action::KillApp(one) | Action::StartApp(one) | Action::HangApp(one) | Action::ResumeApp(one) => {
                Self::Tenants(id(one.stamp))
            }
            Action::Degrade(degraded) => Self::Tenants(id(degraded.stamp)),
            Action::Level(leveled) => all_or(leveled.stamp, Self::Tenants),
            Action::App(scripted) => Self::Tenants(id(scripted.stamp)),
            Action::Chaos(toxic) if toxic.wire != Wire::Redis => all_or(toxic.stamp, Self::Tenants),
            Action::Cut(place) if place.wire != Wire::Redis => all_or(place.stamp, Self::Tenants),
            Action::Nothing
            | Action::Chaos(_)
            | Action::Cut(_)
            | Action::Calm
            | Action::RedisKill
            | Action::RedisStart
            | Action::RedisHang
            | Action::RedisResume
            | Action::RedisFlush
            | Action::Table(_)
            | Action::Recover
            | Action::SlowClients(_) => Self::All,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_concerns_no_more_than_it_can_touch() {
        let (one, whole) = (|| Concern::Tenants("1".into()), || Concern::Stamp("1".into()));
        for (action, concern) in [
            ("{ kill-stamp = { stamp = 1 } }", whole()),
            ("{ hang-stamp = { stamp = 1 } }", whole()),
            ("{ kill-proxies = { stamp = 1 } }", whole()),
            ("{ rolling-restart = { stamp = 1 } }", whole()),
            ("{ rolling-restart = {} }", Concern::All),
            ("{ reload-storm = { stamp = 1, count = 2, every = \"1s\" } }", whole()),
            ("{ partition = { stamp = 1 } }", whole()),
            ("{ heal = { stamp = 1, from = 2 } }", Concern::Between("1".into(), "2".into())),
            ("{ degrade = { stamp = 1, level = \"auto\" } }", one()),
            ("{ level = { level = \"full\" } }", Concern::All),
            ("{ kill-app = { stamp = 1 } }", one()),
            ("{ app = { stamp = 1 } }", one()),
            ("{ drain = { stamp = 1 } }", one()),
            ("{ cut = { wire = \"origins\", stamp = 1 } }", one()),
            ("{ cut = { wire = \"peers\", stamp = 1 } }", one()),
            ("{ cut = { wire = \"peers\" } }", Concern::All),
            ("{ chaos = { wire = \"redis\", stamp = 1, toxics = {} } }", Concern::All),
            ("\"redis-kill\"", Concern::All),
        ] {
            let text = format!("at = \"1s\"\ndo = {action}");
            let fault: super::super::Fault = toml::from_str(&text).unwrap();
            assert_eq!(Concern::of(&fault.action, |stamp| stamp.to_string()), concern, "{action}");
        }
    }
}
