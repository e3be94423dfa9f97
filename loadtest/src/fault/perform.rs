//! Each fault, done.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use rustix::process::Signal;
use synaxis_routing::change::{Drain, Guards, Overrides};

use super::{Action, Fault, Place, degrade, reload, slow, table};
use crate::{
    chaos::Chaos,
    world::{PATIENCE, Stamp, Switch, Wire, World},
};

/// Longest time that a proxy may take to end when it is asked to.
const STOP: Duration = Duration::from_secs(60);

/// A fault in words.
pub(super) fn words(action: &Action, world: &World) -> String {
    let name = |position: usize| world.stamps.get(position).map_or("?", |stamp| stamp.id.as_str());
    let of = |stamp: Option<usize>| stamp.map_or("every stamp", name);
    let whom = |stamp: Option<usize>| stamp.map_or("everybody", name);
    match action {
        Action::Nothing => "the load itself".into(),
        Action::Drain(ramped) => format!("drain {} over {} s", name(ramped.stamp), seconds(ramped.ramp)),
        Action::CancelDrain(ramped) => format!("take back the drain of {}", name(ramped.stamp)),
        Action::KillStamp(one) => format!("kill {}", name(one.stamp)),
        Action::StartStamp(one) => format!("start {}", name(one.stamp)),
        Action::HangStamp(one) => format!("hang {}", name(one.stamp)),
        Action::ResumeStamp(one) => format!("resume {}", name(one.stamp)),
        Action::KillProxies(one) => format!("kill the proxies of {}", name(one.stamp)),
        Action::StartProxies(one) => format!("start the proxies of {}", name(one.stamp)),
        Action::KillApp(one) => format!("kill the app of {}", name(one.stamp)),
        Action::StartApp(one) => format!("start the app of {}", name(one.stamp)),
        Action::HangApp(one) => format!("hang the app of {}", name(one.stamp)),
        Action::ResumeApp(one) => format!("resume the app of {}", name(one.stamp)),
        Action::App(scripted) => format!("the app of {} changes", name(scripted.stamp)),
        Action::RollingRestart(some) => format!("rolling restart of {}", of(some.stamp)),
        Action::ReloadStorm(storm) => format!("{} reloads of each proxy of {}", storm.count, of(storm.stamp)),
        Action::RedisKill => "kill Redis".into(),
        Action::RedisStart => "start Redis, empty".into(),
        Action::RedisHang => "hang Redis".into(),
        Action::RedisResume => "resume Redis".into(),
        Action::RedisFlush => "flush Redis".into(),
        Action::Table(written) => format!("hostile table: {}", written.lie.words()),
        Action::Recover => "recover the table".into(),
        Action::Chaos(toxic) => format!("chaos before {:?} of {}", toxic.wire, of(toxic.stamp)).to_lowercase(),
        Action::Cut(place) => format!("cut {:?} of {}", place.wire, of(place.stamp)).to_lowercase(),
        Action::Calm => "chaos ends".into(),
        Action::Degrade(degraded) => format!("set {} at {}", degraded.level, name(degraded.stamp)),
        Action::Level(leveled) => format!("{} at {}", leveled.level, of(leveled.stamp)),
        Action::Partition(parted) => format!("part {} from {}", name(parted.stamp), whom(parted.from)),
        Action::Heal(parted) => format!("join {} with {}", name(parted.stamp), whom(parted.from)),
        Action::SlowClients(slow) => slow.words(),
    }
}

/// Makes every chaos proxy behave.
pub(crate) fn calm(world: &World) {
    for wire in [Wire::Redis, Wire::Peers, Wire::Origins, Wire::Dependencies] {
        places(world, Place { wire, stamp: None }).for_each(Chaos::clear);
    }
}

/// Does it, and returns once it has happened, with more words if there is more to tell.
pub(super) async fn perform(fault: &Fault, world: &Arc<World>) -> anyhow::Result<Option<String>> {
    let stamp = |position: usize| &world.stamps[position];
    let done: anyhow::Result<()> = match &fault.action {
        Action::Nothing => Ok(()),
        Action::Drain(ramped) => {
            let how = Drain {
                ramp_seconds: seconds(ramped.ramp),
                // the fleets of a harness are as small as they can be
                overrides: Overrides { below_minimum: true, last: false },
                ..Drain::default()
            };
            let id = &stamp(ramped.stamp).id;
            world.edit(|fleet, now| Ok(fleet.drain(id, how, &Guards::default(), now)?.fleet)).await
        }
        Action::CancelDrain(ramped) => {
            let id = &stamp(ramped.stamp).id;
            world.edit(|fleet, now| Ok(fleet.cancel_drain(id, seconds(ramped.ramp), now)?.fleet)).await
        }
        Action::KillStamp(one) => {
            let stamp = stamp(one.stamp);
            signal_proxies(stamp, Signal::KILL)?;
            stamp.origin.kill().await?;
            gone(stamp).await
        }
        Action::StartStamp(one) => {
            stamp(one.stamp).origin.restart().await?;
            start_proxies(world, stamp(one.stamp)).await
        }
        Action::HangStamp(one) => {
            signal_proxies(stamp(one.stamp), Signal::STOP)?;
            stamp(one.stamp).origin.signal(Signal::STOP).await
        }
        Action::ResumeStamp(one) => {
            stamp(one.stamp).origin.signal(Signal::CONT).await?;
            signal_proxies(stamp(one.stamp), Signal::CONT)
        }
        Action::KillProxies(one) => {
            signal_proxies(stamp(one.stamp), Signal::KILL)?;
            gone(stamp(one.stamp)).await
        }
        Action::StartProxies(one) => start_proxies(world, stamp(one.stamp)).await,
        Action::KillApp(one) => stamp(one.stamp).origin.kill().await,
        Action::StartApp(one) => stamp(one.stamp).origin.restart().await,
        Action::HangApp(one) => stamp(one.stamp).origin.signal(Signal::STOP).await,
        Action::ResumeApp(one) => stamp(one.stamp).origin.signal(Signal::CONT).await,
        Action::App(scripted) => stamp(scripted.stamp).origin.set(&scripted.script).await,
        Action::RollingRestart(some) => {
            let chosen = world.stamps.iter().enumerate();
            for (_, stamp) in chosen.filter(|(position, _)| some.stamp.is_none_or(|wanted| wanted == *position)) {
                for proxy in &stamp.proxies {
                    proxy.stop(STOP).await?;
                    proxy.restart().await?;
                    world.ready(stamp).await?;
                }
            }
            Ok(())
        }
        Action::ReloadStorm(storm) => return reload::storm(storm, world).await.map(Some),
        Action::RedisKill => world.redis.kill().await,
        Action::RedisStart => world.redis.restart().await,
        Action::RedisHang => world.redis.signal(Signal::STOP),
        Action::RedisResume => world.redis.signal(Signal::CONT),
        Action::RedisFlush => world.redis.flush().await,
        Action::Table(written) => table::write(world, written.lie).await,
        Action::Recover => {
            let _turn = world.tables.writing.lock().await;
            world.tables.recover().await?;
            world.applied().await
        }
        Action::Chaos(toxic) => {
            let place = Place { wire: toxic.wire, stamp: toxic.stamp };
            places(world, place).for_each(|chaos| chaos.set(toxic.direction, toxic.toxics.clone()));
            Ok(())
        }
        Action::Cut(place) => {
            places(world, *place).for_each(Chaos::cut);
            Ok(())
        }
        Action::Calm => {
            calm(world);
            Ok(())
        }
        Action::Degrade(degraded) => degrade::set(stamp(degraded.stamp), &degraded.level).await,
        Action::Level(leveled) => return degrade::reached(world, leveled).await.map(Some),
        Action::Partition(parted) => network(world)?.part(parted.stamp, parted.from).await,
        Action::Heal(parted) => network(world)?.heal(parted.stamp, parted.from).await,
        Action::SlowClients(how) => {
            return slow::come(how, &world.entries(), fault.lasts.unwrap_or_default()).await.map(Some);
        }
    };
    done.map(|()| None)
}

fn network(world: &World) -> anyhow::Result<&Switch> {
    world.switch.as_ref().context("the world has no network of its own")
}

/// Ramps are whole seconds; a short form rounds up, so that a ramp stays one.
fn seconds(ramp: Duration) -> u32 {
    let whole = ramp.as_secs() + u64::from(ramp.subsec_nanos() > 0);
    u32::try_from(whole).unwrap_or(u32::MAX)
}

fn signal_proxies(stamp: &Stamp, signal: Signal) -> anyhow::Result<()> {
    stamp.proxies.iter().try_for_each(|proxy| proxy.process().signal(signal))
}

/// Waits until the killed proxies of a stamp have ended.
async fn gone(stamp: &Stamp) -> anyhow::Result<()> {
    for proxy in &stamp.proxies {
        proxy.process().wait(PATIENCE).await?;
    }
    Ok(())
}

async fn start_proxies(world: &World, stamp: &Stamp) -> anyhow::Result<()> {
    for proxy in &stamp.proxies {
        proxy.restart().await?;
    }
    world.ready(stamp).await
}

/// The chaos proxies of a kind.
fn places(world: &World, place: Place) -> impl Iterator<Item = &Chaos> {
    let of_redis = world.redis_chaos.iter().filter(move |_| place.wire == Wire::Redis);
    let of_stamps = world
        .stamps
        .iter()
        .enumerate()
        .filter(move |(position, _)| place.stamp.is_none_or(|wanted| wanted == *position));
    let of_stamps = of_stamps.filter_map(move |(_, stamp)| match place.wire {
        Wire::Redis => None,
        Wire::Peers => stamp.peer_chaos.as_ref(),
        Wire::Origins => stamp.origin_chaos.as_ref(),
        Wire::Dependencies => stamp.dependency_chaos.as_ref(),
    });
    of_redis.chain(of_stamps)
}
