//! Three stamps with their origins and proxies, and the store they share.

use std::collections::HashMap;

use synaxis_proxy::server::Running;
use synaxis_routing::{
    bundle::{Bundle, Head},
    change::{Changed, Fleet},
    id::{StampId, TenantId},
    placement::RegionIndex,
    store::{LogEntry, Mode, Store},
    table::Millis,
};

use crate::world::{Answer, Client, Origin, Redis, eventually, free_port, proxy, stop, table};

pub(super) const TENANTS: usize = 1_000;

/// Three stamps with their origins and proxies, and the store they share.
pub(super) struct World {
    pub(super) redis: Redis,
    pub(super) origins: Vec<Origin>,
    pub(super) proxies: Vec<Option<Running>>,
    peers: Vec<u16>,
    /// The end of every proxy's configuration; `STORE` in it is the URL of the store.
    more: &'static str,
    is_logged: bool,
    pub(super) folder: tempfile::TempDir,
    pub(super) runtime: tokio::runtime::Runtime,
}

pub(super) fn stamp(index: usize) -> StampId {
    StampId::parse(&format!("synaxis-weu-{:03}", index + 1)).unwrap()
}

pub(super) fn tenant(index: usize) -> String {
    format!("tenant-{index}")
}

impl World {
    /// Three Active stamps whose proxies have all applied the table.
    pub(super) fn start() -> Self {
        Self::start_with("")
    }

    /// The same with more lines of configuration.
    pub(super) fn start_with(more: &'static str) -> Self {
        Self::start_as(more, false)
    }

    /// The same with access logs.
    pub(super) fn start_logged(more: &'static str) -> Self {
        Self::start_as(more, true)
    }

    fn start_as(more: &'static str, is_logged: bool) -> Self {
        let mut world = Self {
            redis: Redis::start(),
            origins: (0..3).map(|index| Origin::start(stamp(index).as_str())).collect(),
            proxies: vec![None, None, None],
            peers: (0..3).map(|_| free_port()).collect(),
            more,
            is_logged,
            folder: tempfile::tempdir().unwrap(),
            runtime: tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap(),
        };
        let fleet = table::active(&[0, 1, 2].map(|index| (stamp(index), world.peers[index])));
        world.publish(&fleet, Mode::Init);
        for index in 0..3 {
            world.boot(index);
        }
        world.applied_everywhere();
        world
    }

    pub(super) fn store(&self) -> Store {
        Store::open(&self.redis.url(), "synaxis").unwrap()
    }

    pub(super) fn snapshot(&self, index: usize) -> std::path::PathBuf {
        self.folder.path().join(format!("{index}.json"))
    }

    /// The access log of a proxy, if there is one.
    pub(super) fn log(&self, index: usize) -> std::path::PathBuf {
        self.folder.path().join(format!("{index}.log"))
    }

    pub(super) fn config(&self, index: usize) -> String {
        let bootstrap: Vec<String> = (0..3)
            .filter(|other| *other != index)
            .map(|other| format!("\"http://127.0.0.1:{}\"", self.peers[other]))
            .collect();
        format!(
            r#"
[stamp]
id = "{id}"
[server]
workers = 1
[[listeners]]
kind = "edge"
address = "127.0.0.1:0"
trust_header = true
[[listeners]]
kind = "peer"
address = "127.0.0.1:{peer}"
[admin]
address = "127.0.0.1:0"
[routing]
store = "{store}"
snapshot = "{snapshot}"
poll = "200ms"
ack = "500ms"
bootstrap = [{bootstrap}]
[upstreams.app]
endpoints = ["http://{origin}"]
[access_log]
output = "{log}"
[shutdown]
lame_duck = "50ms"
client_keepalive = "50ms"
drain = "2s"
{more}
"#,
            id = stamp(index),
            peer = self.peers[index],
            store = self.redis.url(),
            snapshot = self.snapshot(index).display(),
            bootstrap = bootstrap.join(", "),
            origin = self.origins[index].address,
            log = if self.is_logged { self.log(index).display().to_string() } else { "off".to_owned() },
            more = self.more.replace("STORE", &self.redis.url()),
        )
    }

    pub(super) fn boot(&mut self, index: usize) {
        self.proxies[index] = Some(proxy(&self.config(index)));
    }

    pub(super) fn halt(&mut self, index: usize) {
        if let Some(proxy) = self.proxies[index].take() {
            proxy.cut();
            proxy.wait();
        }
    }

    pub(super) fn running(&self) -> impl Iterator<Item = &Running> {
        self.proxies.iter().flatten()
    }

    pub(super) fn edge(&self, index: usize) -> Client {
        Client::connect(self.proxies[index].as_ref().unwrap().edges[0])
    }

    /// The newest table in the store.
    pub(super) fn current(&self) -> (Fleet, bytes::Bytes) {
        let store = self.store();
        self.runtime.block_on(async {
            let bytes = store.glance().await.unwrap().head.unwrap();
            let head = Head::parse(&bytes).unwrap();
            let decoded = store.fetch(&head, &bytes, None).await.unwrap().decode().unwrap();
            (Fleet { table: decoded.table, tenants: decoded.tenants }, bytes)
        })
    }

    pub(super) fn publish(&self, fleet: &Fleet, mode: Mode) {
        let store = self.store();
        self.runtime.block_on(async {
            let expected = store.glance().await.unwrap().head;
            let write_id = format!("test-{}", fleet.version());
            let bundle = Bundle::encode(&fleet.table, &fleet.tenants, &write_id).unwrap();
            let entry = LogEntry {
                at: 0,
                who: "test".into(),
                what: "change".into(),
                why: String::new(),
                version: fleet.version(),
            };
            store.publish(expected.as_ref(), &bundle, &entry, mode).await.unwrap();
        });
    }

    pub(super) fn now(&self) -> Millis {
        let store = self.store();
        self.runtime.block_on(async { store.glance().await.unwrap().now.unwrap() })
    }

    /// Edits the newest table, publishes it and waits until every running proxy has applied it.
    pub(super) fn edit(&self, change: impl FnOnce(&Fleet, Millis) -> Changed) {
        let (fleet, _) = self.current();
        let changed = change(&fleet, self.now());
        self.publish(&changed.fleet, Mode::NoProxies);
        self.applied_everywhere();
    }

    pub(super) fn applied_everywhere(&self) {
        let version = self.current().0.version();
        eventually("every proxy applies the table", || {
            self.running().all(|proxy| {
                let snapshot = proxy.plane().snapshot.load();
                snapshot.fleet.as_ref().is_some_and(|fleet| fleet.placement.version() == version)
            })
        });
    }

    /// Which stamp answers every tenant, by entry.
    pub(super) fn owners(&self, entry: usize) -> HashMap<String, String> {
        let mut client = self.edge(entry);
        (0..TENANTS)
            .map(|index| {
                let tenant = tenant(index);
                let answer = client.get(&tenant, "/who");
                assert_eq!(answer.status, 200, "{tenant}: {}", answer.text());
                let json = answer.json();
                assert_eq!(json["tenant"], tenant.as_str());
                (tenant, json["stamp"].as_str().unwrap().to_owned())
            })
            .collect()
    }

    /// What placement says about every tenant, from one proxy's own table.
    pub(super) fn placed(&self, entry: usize) -> HashMap<String, String> {
        let proxy = self.proxies[entry].as_ref().unwrap();
        let snapshot = proxy.plane().snapshot.load();
        let placement = &snapshot.fleet.as_ref().unwrap().placement;
        let now = proxy.plane().clock.at(std::time::Instant::now());
        (0..TENANTS)
            .map(|index| {
                let id = TenantId::parse(tenant(index).as_bytes()).unwrap();
                let owner = placement.owner(&id, RegionIndex(0), now).unwrap();
                (tenant(index), placement.stamp(owner).id.to_string())
            })
            .collect()
    }

    /// Every tenant's candidates in order of choice, from one proxy's own table.
    pub(super) fn candidates(&self, entry: usize) -> HashMap<String, Vec<String>> {
        let proxy = self.proxies[entry].as_ref().unwrap();
        let snapshot = proxy.plane().snapshot.load();
        let placement = &snapshot.fleet.as_ref().unwrap().placement;
        let now = proxy.plane().clock.at(std::time::Instant::now());
        let hand = |index: usize| {
            let id = TenantId::parse(tenant(index).as_bytes()).unwrap();
            let hand = placement.hand(&id, RegionIndex(0), now).unwrap();
            (tenant(index), hand.iter().map(|candidate| placement.stamp(candidate.stamp).id.to_string()).collect())
        };
        (0..TENANTS).map(hand).collect()
    }

    /// What one proxy's admin listener answers.
    pub(super) fn ask(&self, index: usize, target: &str) -> Answer {
        let mut client = Client::connect(self.proxies[index].as_ref().unwrap().admin);
        client.exchange(format!("GET {target} HTTP/1.1\r\nHost: admin\r\n\r\n").as_bytes()).unwrap()
    }

    /// The reason for which `/readyz?verbose` says that a table was refused. Refusing one makes nobody unready.
    pub(super) fn refused(&self, index: usize) -> Option<String> {
        let answer = self.ask(index, "/readyz?verbose");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let text = answer.text();
        let reason = text.lines().find_map(|line| line.strip_prefix("[-] table refused: "));
        reason.and_then(|rest| rest.split(' ').next()).map(str::to_owned)
    }

    /// Whom `/routing/explain` names for every tenant.
    pub(super) fn explained(&self, index: usize) -> HashMap<String, String> {
        let mut client = Client::connect(self.proxies[index].as_ref().unwrap().admin);
        let mut ask = |tenant: String| {
            let target = format!("/routing/explain?tenant={tenant}&format=json");
            let answer = client.exchange(format!("GET {target} HTTP/1.1\r\nHost: admin\r\n\r\n").as_bytes()).unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
            (tenant, answer.json()["choice"].as_str().unwrap().to_owned())
        };
        (0..TENANTS).map(|index| ask(tenant(index))).collect()
    }

    pub(super) fn stop(mut self) {
        for index in 0..3 {
            if let Some(proxy) = self.proxies[index].take() {
                stop(proxy);
            }
        }
    }
}
