//! Real processes: a redis-server, and for every stamp an origin and one or more proxies, started, waited for, broken,
//! torn down.
//!
//! Invariants: nothing outlives the world's [`Site`], not even when this process is killed; every address is chosen by the
//! system and then kept, so that a process that comes back is found where it was.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use synaxis_routing::{
    change::Fleet,
    id::{Region, StampId},
    store::Store,
};

use network::Place;

use crate::{
    balancer::{self, Balancer},
    chaos::Chaos,
    origin::Script,
};

mod admin;
pub mod binary;
mod config;
pub mod network;
mod origin;
mod process;
mod proxy;
mod redis;
mod site;
pub mod tables;

pub use admin::{get, put};
pub use binary::Binaries;
pub use network::{Network, Switch};
pub use origin::Origin;
pub use process::{Process, Registry, Usage, eventually, own_usage};
pub use proxy::Proxy;
pub use redis::Redis;
pub use site::Site;
pub use tables::{Epoch, Tables};

/// What a world consists of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Blueprint {
    /// Stamps, all Active.
    pub stamps: usize,
    /// Proxies of each stamp; more than one stand behind balancers.
    pub processes: usize,
    /// Whether balancers that follow `/readyz` stand before the proxies, on the edge and between stamps.
    pub balancers: bool,
    /// What lies between stamps, Redis and the generator.
    pub network: Network,
    /// Worker threads of a proxy.
    pub workers: usize,
    /// Whether a chaos proxy stands before Redis, between stamps (before each peer listener), before each origin, before each
    /// stamp's dependency.
    pub chaos: Vec<Wire>,
    /// Only these stamps, by their position, take tenants; the others stay Creating and only forward.
    pub takers: Option<Vec<usize>>,
    /// TOML that is added to every proxy's configuration.
    pub proxy: String,
    /// TOML that is added to the section of every proxy's app, `[upstreams.app]`.
    pub app: String,
    /// TOML that makes Redis a dependency of every stamp, by the section `[dependencies.redis]`.
    pub dependency: String,
    /// Whether the proxies keep answers with shared resources, in memory and for each stamp in Redis, as the preset
    /// `metadata` says.
    pub cache: bool,
    /// Behaviour of the origins from the begin.
    pub origin: Script,
    /// Position of a stamp whose proxies send to another stamp's app; a planted fault.
    pub crossed: Option<usize>,
}

/// Where a chaos proxy can stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wire {
    /// Before Redis.
    Redis,
    /// Before the peer listeners.
    Peers,
    /// Before the origins.
    Origins,
    /// Before what stamps depend on.
    Dependencies,
}

impl Default for Blueprint {
    /// Three stamps with one proxy of one worker each.
    fn default() -> Self {
        Self {
            stamps: 3,
            processes: 1,
            balancers: false,
            network: Network::Loopback,
            workers: 1,
            chaos: Vec::new(),
            takers: None,
            proxy: String::new(),
            app: String::new(),
            dependency: String::new(),
            cache: false,
            origin: Script::default(),
            crossed: None,
        }
    }
}

impl Blueprint {
    /// What is wrong with it, if anything is.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut faults: Vec<String> = self.origin.check().iter().map(|fault| format!("world.origin.{fault}")).collect();
        let mut demand = |holds: bool, fault: &str| {
            if !holds {
                faults.push(fault.to_owned());
            }
        };
        demand((1..=20).contains(&self.stamps), "world.stamps is 1 to 20");
        demand((1..=4).contains(&self.processes), "world.processes is 1 to 4");
        demand((1..=64).contains(&self.workers), "world.workers is 1 to 64");
        demand(self.processes == 1 || self.balancers, "world.processes above 1 need world.balancers = true");
        demand(
            !self.has(Wire::Dependencies) || !self.dependency.is_empty(),
            "a chaos proxy before `dependencies` needs world.dependency: what Redis is to them",
        );
        let between = self.balancers || !self.chaos.is_empty();
        demand(
            self.network == Network::Loopback || !between,
            "balancers and chaos proxies stand outside of the stamps: world.network = \"namespaces\" goes without both",
        );
        demand(
            !self.cache || !config::routes(&self.proxy),
            "world.cache writes the routes and what is kept: world.proxy goes without `routes` and `cache` then",
        );
        let known = |stamp: &usize| *stamp < self.stamps;
        demand(self.takers.iter().flatten().all(known), "world.takers are positions of stamps, from 0");
        demand(self.takers.as_ref().is_none_or(|takers| !takers.is_empty()), "world.takers names at least one");
        demand(self.crossed.iter().all(known), "world.crossed is the position of a stamp, from 0");
        demand(self.crossed.is_none() || self.stamps > 1, "world.crossed needs another stamp whose app can be taken");
        faults
    }

    fn has(&self, wire: Wire) -> bool {
        self.chaos.contains(&wire)
    }
}

/// One stamp.
pub struct Stamp {
    /// Its id.
    pub id: StampId,
    /// Its app.
    pub origin: Origin,
    /// Its proxies.
    pub proxies: Vec<Proxy>,
    /// The balancer before its edge listeners.
    pub edge: Option<Balancer>,
    /// The balancer before its peer listeners.
    pub peer: Option<Balancer>,
    /// The chaos proxy before its peer listeners.
    pub peer_chaos: Option<Chaos>,
    /// The chaos proxy before its app.
    pub origin_chaos: Option<Chaos>,
    /// The chaos proxy before its dependency.
    pub dependency_chaos: Option<Chaos>,
}

impl Stamp {
    /// Where clients of this stamp enter.
    #[must_use]
    pub fn entry(&self) -> SocketAddr {
        self.edge.as_ref().map_or_else(|| self.proxies[0].edge(), Balancer::address)
    }

    /// Where other stamps reach it.
    fn endpoint(&self) -> SocketAddr {
        let chaos = self.peer_chaos.as_ref().map(Chaos::address);
        chaos.or_else(|| self.peer.as_ref().map(Balancer::address)).unwrap_or_else(|| self.proxies[0].peer())
    }

    /// Tells the balancers which processes there are.
    pub fn balance(&self) {
        let backends = |traffic: fn(&Proxy) -> SocketAddr| {
            let backend = |proxy: &Proxy| balancer::Backend { traffic: traffic(proxy), readyz: proxy.admin() };
            self.proxies.iter().map(backend).collect::<Vec<_>>()
        };
        for (balancer, traffic) in [(&self.edge, Proxy::edge as fn(&Proxy) -> SocketAddr), (&self.peer, Proxy::peer)] {
            if let Some(balancer) = balancer {
                balancer.set(backends(traffic));
            }
        }
    }
}

/// The processes and everything between them.
pub struct World {
    /// The store of the routing table.
    pub redis: Redis,
    /// The chaos proxy before it.
    pub redis_chaos: Option<Chaos>,
    /// The network of its own, if it has one.
    pub switch: Option<Switch>,
    /// The stamps, in the order of their ids.
    pub stamps: Vec<Stamp>,
    /// What was published and when it was live.
    pub tables: Arc<Tables>,
    registry: Arc<Registry>,
}

/// The id of the stamp at a position.
///
/// # Errors
/// The position is beyond what ids can say.
pub fn stamp_id(position: usize) -> anyhow::Result<StampId> {
    StampId::parse(&format!("synaxis-weu-{:03}", position + 1)).context("a stamp's id")
}

/// How long a part may take until it serves.
pub const PATIENCE: Duration = Duration::from_secs(20);

impl World {
    /// Starts everything and returns once every proxy has applied the table. Call it inside a multi-threaded runtime.
    ///
    /// # Errors
    /// What did not start, with the end of its log.
    pub async fn start(blueprint: &Blueprint, binaries: &Binaries, site: &Site) -> anyhow::Result<Self> {
        let (path, registry) = (site.path(), site.registry());
        let switch = match blueprint.network {
            Network::Loopback => None,
            Network::Namespaces => Some(Switch::start(path, registry, blueprint.stamps).await?),
        };
        let place = |position: usize| switch.as_ref().map_or(Place::LOOPBACK, |switch| switch.place(position));
        let own = switch.as_ref().map_or(Place::LOOPBACK, Switch::own);
        let redis = Redis::start(path, registry, own.address).await?;
        let redis_chaos = match blueprint.has(Wire::Redis) {
            true => Some(Chaos::start(redis.address()).await?),
            false => None,
        };
        let store = redis_chaos.as_ref().map_or(redis.address(), Chaos::address);
        let mut origins = Vec::new();
        for position in 0..blueprint.stamps {
            let (id, place) = (stamp_id(position)?, place(position));
            let origin = Origin::start(path, registry, &binaries.loadtest, &id, place).await?;
            origin.set(&blueprint.origin).await?;
            origins.push(origin);
        }
        let mut apps = Vec::new();
        for origin in &origins {
            apps.push(match blueprint.has(Wire::Origins) {
                true => Some(Chaos::start(origin.address()).await?),
                false => None,
            });
        }
        let app = |position: usize| apps[position].as_ref().map_or(origins[position].address(), Chaos::address);
        let serves: Vec<SocketAddr> = (0..blueprint.stamps)
            .map(|position| {
                if blueprint.crossed == Some(position) { app((position + 1) % blueprint.stamps) } else { app(position) }
            })
            .collect();
        let mut stamps = Vec::new();
        for ((position, origin), origin_chaos) in origins.into_iter().enumerate().zip(apps) {
            let id = stamp_id(position)?;
            let dependency_chaos = match blueprint.has(Wire::Dependencies) {
                true => Some(Chaos::start(redis.address()).await?),
                false => None,
            };
            let dependency = dependency_chaos.as_ref().map_or(redis.address(), Chaos::address);
            let proxies = try_join_all((0..blueprint.processes).map(|process| {
                let written = config::Written {
                    id: &id,
                    process,
                    place: place(position),
                    store,
                    app: serves[position],
                    workers: blueprint.workers,
                    more: &blueprint.proxy,
                    more_of_app: &blueprint.app,
                    cache: blueprint.cache,
                    dependency: (dependency, &blueprint.dependency),
                };
                Proxy::start(path, registry, &binaries.proxy, written)
            }))
            .await?;
            let (mut edge, mut peer) = (None, None);
            if blueprint.balancers {
                edge = Some(Balancer::start(balancer::Settings::default()).await?);
                peer = Some(Balancer::start(balancer::Settings::default()).await?);
            }
            let before_peers = peer.as_ref().map_or_else(|| proxies[0].peer(), Balancer::address);
            let peer_chaos = match blueprint.has(Wire::Peers) {
                true => Some(Chaos::start(before_peers).await?),
                false => None,
            };
            let stamp = Stamp { id, origin, proxies, edge, peer, peer_chaos, origin_chaos, dependency_chaos };
            stamp.balance();
            stamps.push(stamp);
        }
        // the table's own way to Redis has no chaos proxy: it is the operator's
        let tables = Arc::new(Tables::new(Store::open(&format!("redis://{}/0", redis.address()), "synaxis")?));
        let world = Self { redis, redis_chaos, switch, stamps, tables, registry: Arc::clone(registry) };
        world.publish_first(blueprint).await?;
        Ok(world)
    }

    async fn publish_first(&self, blueprint: &Blueprint) -> anyhow::Result<()> {
        let region = Region::parse("weu").context("a region")?;
        let mut fleet = Fleet::blank(vec![region], synaxis_routing::table::Scope::Region, tables::SEED, 16)?;
        for (position, stamp) in self.stamps.iter().enumerate() {
            let endpoint = format!("http://{}", stamp.endpoint());
            let takes = blueprint.takers.as_ref().is_none_or(|takers| takers.contains(&position));
            fleet = tables::with_stamp(&fleet, &stamp.id, &endpoint, takes)?;
        }
        self.tables.init(&fleet).await?;
        self.applied().await?;
        for stamp in &self.stamps {
            self.ready(stamp).await?;
        }
        Ok(())
    }

    /// Waits until the balancers of a stamp know a process, if it has balancers.
    ///
    /// # Errors
    /// None became ready.
    pub async fn ready(&self, stamp: &Stamp) -> anyhow::Result<()> {
        let known = |balancer: &Option<Balancer>| {
            balancer.as_ref().is_none_or(|balancer| balancer.ready() == stamp.proxies.len())
        };
        process::eventually(PATIENCE, || async { known(&stamp.edge) && known(&stamp.peer) })
            .await
            .with_context(|| format!("the balancers of {} found no ready process", stamp.id))
    }

    /// Admin addresses of the proxies that are there to apply a table.
    async fn running(&self) -> Vec<SocketAddr> {
        let mut running = Vec::new();
        for proxy in self.stamps.iter().flat_map(|stamp| &stamp.proxies) {
            if proxy.process().is_running().await {
                running.push(proxy.admin());
            }
        }
        running
    }

    /// Waits until every proxy that runs has applied the newest table.
    ///
    /// # Errors
    /// One has not, in [`PATIENCE`].
    pub async fn applied(&self) -> anyhow::Result<()> {
        self.tables.applied(&self.running().await).await
    }

    /// Changes the newest table, publishes it, and waits until it is applied.
    ///
    /// # Errors
    /// The change or the publication was refused, or a proxy did not follow.
    pub async fn edit(
        &self,
        change: impl FnOnce(&Fleet, u64) -> Result<Fleet, synaxis_routing::change::Refused>,
    ) -> anyhow::Result<()> {
        let _turn = self.tables.writing.lock().await;
        self.tables.edit(change).await?;
        self.applied().await
    }

    /// Where clients enter, one address a stamp.
    #[must_use]
    pub fn entries(&self) -> Vec<SocketAddr> {
        self.stamps.iter().map(Stamp::entry).collect()
    }

    /// Every process that was ever started, in order.
    #[must_use]
    pub fn processes(&self) -> Vec<Arc<Process>> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The journals of all origins, by stamp.
    #[must_use]
    pub fn journals(&self) -> Vec<(String, PathBuf)> {
        self.stamps.iter().map(|stamp| (stamp.id.to_string(), stamp.origin.journal().to_owned())).collect()
    }
}
