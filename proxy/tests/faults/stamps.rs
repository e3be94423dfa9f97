//! A few stamps on one table: proxies in front of apps of the test, and whatever else listens as a peer.

use std::net::SocketAddr;

use synaxis_proxy::server::Running;
use synaxis_routing::{
    bundle::Bundle,
    id::{StampId, TenantId},
    placement::RegionIndex,
    store::{LogEntry, Mode, Store},
};

use super::config;
use crate::world::{eventually, free_port, proxy, stop, table};

/// What a stamp is.
pub enum Member {
    /// A proxy in front of this app.
    Proxy(SocketAddr),
    /// A peer listener without one.
    Bare(SocketAddr),
}

pub struct Stamps {
    /// The proxies, by stamp.
    pub proxies: Vec<Option<Running>>,
    _folder: tempfile::TempDir,
}

fn stamp(index: usize) -> StampId {
    StampId::parse(&format!("synaxis-weu-{:03}", index + 1)).unwrap()
}

impl Stamps {
    /// All Active, the table applied; `upstream` are lines of each app, `more` sections of each configuration.
    pub fn start(members: &[Member], upstream: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = format!("file:{}", folder.path().join("store").display());
        let ports: Vec<u16> = members
            .iter()
            .map(|member| match member {
                Member::Proxy(_) => free_port(),
                Member::Bare(address) => address.port(),
            })
            .collect();
        let named: Vec<(StampId, u16)> = ports.iter().enumerate().map(|(index, port)| (stamp(index), *port)).collect();
        publish(&store, &table::active(&named));
        let boot = |(index, member): (usize, &Member)| {
            let Member::Proxy(app) = member else { return None };
            let fleet = format!(
                "{more}\n[[listeners]]\nkind = \"peer\"\naddress = \"127.0.0.1:{}\"\n\
                 [routing]\nstore = \"{store}\"\npoll = \"50ms\"\nack = \"500ms\"\n",
                ports[index]
            );
            Some(proxy(&config(&[*app], upstream, &fleet).replace("synaxis-weu-001", stamp(index).as_str())))
        };
        let proxies: Vec<Option<Running>> = members.iter().enumerate().map(boot).collect();
        for proxy in proxies.iter().flatten() {
            eventually("the table is applied", || proxy.plane().snapshot.load().fleet.is_some());
        }
        Self { proxies, _folder: folder }
    }

    pub fn proxy(&self, index: usize) -> &Running {
        self.proxies[index].as_ref().unwrap()
    }

    /// So many tenants of a stamp.
    pub fn tenants(&self, owner: usize, count: usize) -> Vec<String> {
        let proxy = self.proxies.iter().flatten().next().unwrap();
        let snapshot = proxy.plane().snapshot.load();
        let placement = &snapshot.fleet.as_ref().unwrap().placement;
        let now = proxy.plane().clock.at(std::time::Instant::now());
        let is_owned = |tenant: &String| {
            let id = TenantId::parse(tenant.as_bytes()).unwrap();
            let named = placement.owner(&id, RegionIndex(0), now).unwrap();
            placement.stamp(named).id == stamp(owner)
        };
        (0..).map(|index| format!("tenant-{index}")).filter(is_owned).take(count).collect()
    }

    pub fn stop(self) {
        self.proxies.into_iter().flatten().for_each(stop);
    }
}

fn publish(store: &str, fleet: &synaxis_routing::change::Fleet) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = Store::open(store, "synaxis").unwrap();
    let bundle = Bundle::encode(&fleet.table, &fleet.tenants, "test").unwrap();
    let (who, what, why) = ("test".into(), "start".into(), String::new());
    let entry = LogEntry { at: 0, who, what, why, version: fleet.version() };
    runtime.block_on(store.publish(None, &bundle, &entry, Mode::Init)).unwrap();
}
