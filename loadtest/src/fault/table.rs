//! Tables that nobody should believe, written past every check as a broken or hostile writer would.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use synaxis_routing::{
    bundle::{Bundle, Head},
    change::Fleet,
    table::Previous,
};
use tokio::time::sleep;

use crate::world::{PATIENCE, Proxy, World, get};

/// What is wrong with a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lie {
    /// The head is no document.
    Garbage,
    /// The table is not the one that the head names.
    WrongHash,
    /// Its epoch is older than the applied one.
    Stale,
    /// The version that is applied, with another content.
    Conflict,
    /// A stamp's endpoint is the cloud's metadata service.
    ForeignEndpoint,
    /// All stamps but one are gone.
    Shrunk,
    /// Nobody takes tenants.
    NoTakers,
}

impl Lie {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Garbage => "its head is no document",
            Self::WrongHash => "not what its head names",
            Self::Stale => "an older epoch",
            Self::Conflict => "the applied version with another content",
            Self::ForeignEndpoint => "an endpoint of the metadata service",
            Self::Shrunk => "all stamps but one are gone",
            Self::NoTakers => "nobody takes tenants",
        }
    }

    /// The reason token with which it is to be refused.
    fn reason(self) -> &'static str {
        match self {
            Self::Garbage => "parse",
            Self::WrongHash => "hash_mismatch",
            Self::Stale => "stale",
            Self::Conflict => "digest_conflict",
            Self::ForeignEndpoint => "endpoint_forbidden",
            Self::Shrunk => "shrink",
            Self::NoTakers => "no_takers",
        }
    }

    fn tell(self, honest: &Fleet) -> Fleet {
        let mut fleet = honest.clone();
        fleet.table.epoch += 1;
        match self {
            Self::Garbage | Self::WrongHash => {}
            Self::Stale => fleet.table.epoch = 1,
            Self::Conflict => {
                fleet.table.epoch -= 1;
                if let Some(stamp) = fleet.table.stamps.last_mut() {
                    stamp.weight += 1;
                }
            }
            Self::ForeignEndpoint => {
                if let Some(stamp) = fleet.table.stamps.last_mut() {
                    stamp.endpoint = "https://169.254.169.254:8443".into();
                }
            }
            Self::Shrunk => {
                let takers = u32::try_from(honest.table.takers().count()).unwrap_or(u32::MAX);
                fleet.table.previous = Previous { epoch: honest.table.epoch, takers };
                fleet.table.stamps.truncate(1);
            }
            Self::NoTakers => fleet.table.stamps.iter_mut().for_each(|stamp| stamp.weight = 0),
        }
        fleet
    }
}

/// Writes it and waits until every proxy has refused it for its reason, by its own count.
pub(super) async fn write(world: &World, lie: Lie) -> anyhow::Result<()> {
    let _turn = world.tables.writing.lock().await;
    let proxies: Vec<&Proxy> = world.stamps.iter().flat_map(|stamp| &stamp.proxies).collect();
    let before = join_all(proxies.iter().map(|proxy| refusals(proxy.admin(), lie.reason()))).await;
    overwrite(world, lie).await?;
    let end = Instant::now() + PATIENCE;
    for (proxy, before) in proxies.iter().zip(before) {
        while refusals(proxy.admin(), lie.reason()).await <= before {
            anyhow::ensure!(Instant::now() < end, "{} did not refuse it as {}", proxy.process().name(), lie.reason());
            sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}

async fn overwrite(world: &World, lie: Lie) -> anyhow::Result<()> {
    let told = lie.tell(&world.tables.newest()?);
    let bundle = Bundle::encode(&told.table, &told.tenants, "hostile")?;
    let head = Head::parse(&bundle.head)?;
    let table: &[u8] = if lie == Lie::WrongHash { b"{}" } else { &bundle.table };
    let shown: &[u8] = if lie == Lie::Garbage { b"not a head" } else { &bundle.head };
    let client = redis::Client::open(format!("redis://{}/0", world.redis.address()))?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let mut pipe = redis::pipe();
    pipe.atomic()
        .set(format!("{{synaxis:rt}}:table:{}", told.table.epoch), table)
        .set(format!("{{synaxis:rt}}:tenants:{}", head.tenants_hash), &bundle.tenants[..])
        .set("{synaxis:rt}:head", shown);
    let () = pipe.query_async(&mut connection).await.context("the table cannot be written")?;
    Ok(())
}

/// How many tables a proxy has refused for a reason.
async fn refusals(admin: SocketAddr, reason: &str) -> u64 {
    let answer = get(admin, "/metrics").await.map(|answer| answer.body).unwrap_or_default();
    let series = format!("routing_refusals_total{{reason=\"{reason}\"}} ");
    let text = String::from_utf8_lossy(&answer);
    text.lines().find_map(|line| line.strip_prefix(&series)?.trim().parse().ok()).unwrap_or_default()
}
