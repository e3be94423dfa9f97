//! Three stamps with proxies that keep answers, apps that share their data, and ways between all of them that can be cut.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use synaxis_proxy::server::Running;
use synaxis_routing::{
    bundle::{Bundle, Head},
    change::{Changed, Fleet},
    id::{StampId, TenantId},
    placement::RegionIndex,
    store::{LogEntry, Mode, Store},
};

use crate::{
    cache::{
        app::{App, Asked, Does, answer, ok},
        metric,
    },
    world::{Answer, Client, Redis, cable::Cable, eventually, free_port, proxy, stop, table},
};

/// What the apps of all stamps write to and read: a version of each path of a tenant, whatever its query, and who has executed each write.
#[derive(Default)]
pub struct Data {
    versions: HashMap<(String, String), u64>,
    pub writes: Vec<(usize, u64)>,
}

pub struct World {
    pub redis: Redis,
    /// To the store, from each stamp.
    pub stores: Vec<Cable>,
    /// To each stamp's peer listener.
    pub stamps: Vec<Cable>,
    /// To each stamp's app.
    pub to_apps: Vec<Cable>,
    _apps: Vec<App>,
    pub proxies: Vec<Running>,
    pub data: Arc<Mutex<Data>>,
}

pub fn stamp(index: usize) -> StampId {
    StampId::parse(&format!("synaxis-weu-{:03}", index + 1)).unwrap()
}

/// Answers a read with the version, for a minute, and a write with the new one.
fn app(index: usize, data: &Arc<Mutex<Data>>) -> App {
    let data = Arc::clone(data);
    App::start(move |asked: &Asked| {
        let strange = asked.lines.iter().skip(1).find(|line| line.to_ascii_lowercase().starts_with("x-synaxis-"));
        if let Some(strange) = strange {
            return Does::Sends(answer("500 Internal", "", strange));
        }
        let mut data = data.lock().unwrap();
        let resource = asked.path().split('?').next().unwrap();
        let of = (asked.field("x-tenant-id").unwrap().to_owned(), resource.to_owned());
        let version = data.versions.entry(of).or_default();
        let writes = asked.method() != "GET";
        *version += u64::from(writes);
        let version = *version;
        if writes {
            data.writes.push((index, version));
        }
        Does::Sends(ok(&format!("Cache-Control: max-age=60\r\nX-App: {index}\r\n"), &version.to_string()))
    })
}

/// The configuration of a stamp's proxy, by the ports of its peer listener, the store and its app.
pub fn config(index: usize, peer: u16, store: u16, app: u16) -> String {
    format!(
        r#"
[stamp]
id = "{id}"
[server]
workers = 2
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
store = "redis://127.0.0.1:{store}/0"
[upstreams.app]
endpoints = ["http://127.0.0.1:{app}"]
breaker = {{ failures = 10000 }}
outliers = {{ failures = 10000 }}
[peers]
breaker = {{ failures = 10000 }}
health_check = {{ interval = "200ms", timeout = "200ms", healthy = 1, unhealthy = 1000 }}
[access_log]
output = "off"
[shutdown]
lame_duck = "50ms"
client_keepalive = "50ms"
drain = "2s"
[cache.classes.pages]
[[routes]]
name = "all"
path_prefix = "/"
upstream = "app"
cache = "pages"
"#,
        id = stamp(index),
    )
}

fn store(redis: &Redis) -> Store {
    Store::open(&redis.url(), "synaxis").unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

pub fn publish(redis: &Redis, fleet: &Fleet, mode: Mode) {
    let store = store(redis);
    runtime().block_on(async {
        let expected = store.glance().await.unwrap().head;
        let bundle = Bundle::encode(&fleet.table, &fleet.tenants, &format!("test-{}", fleet.version())).unwrap();
        let (who, what, why) = ("test".into(), "change".into(), String::new());
        let entry = LogEntry { at: 0, who, what, why, version: fleet.version() };
        store.publish(expected.as_ref(), &bundle, &entry, mode).await.unwrap();
    });
}

impl World {
    /// Three stamps that are Active, and whose proxies know that of each other.
    pub fn start() -> Self {
        let data: Arc<Mutex<Data>> = Arc::default();
        let redis = Redis::start();
        let apps: Vec<App> = (0..3).map(|index| app(index, &data)).collect();
        let peers: Vec<u16> = (0..3).map(|_| free_port()).collect();
        let mut world = Self {
            stores: (0..3).map(|_| Cable::to(redis.port)).collect(),
            stamps: peers.iter().map(|port| Cable::to(*port)).collect(),
            to_apps: apps.iter().map(|app| Cable::to(app.address.port())).collect(),
            redis,
            _apps: apps,
            proxies: Vec::new(),
            data,
        };
        let stamps = [0, 1, 2].map(|index| (stamp(index), world.stamps[index].port));
        publish(&world.redis, &table::active(&stamps), Mode::Init);
        world.proxies = (0..3)
            .map(|index| proxy(&config(index, peers[index], world.stores[index].port, world.to_apps[index].port)))
            .collect();
        world.applied();
        // a first probe that fails is believed
        eventually("all stamps are well", || {
            (0..3).all(|index| world.metric(index, "health_passing{kind=\"peer\"}") == 2.0)
        });
        world
    }

    fn current(&self) -> Fleet {
        let store = store(&self.redis);
        runtime().block_on(async {
            let bytes = store.glance().await.unwrap().head.unwrap();
            let head = Head::parse(&bytes).unwrap();
            let decoded = store.fetch(&head, &bytes, None).await.unwrap().decode().unwrap();
            Fleet { table: decoded.table, tenants: decoded.tenants }
        })
    }

    /// Publishes a changed table, and waits until every proxy has it.
    pub fn edit(&self, change: impl FnOnce(&Fleet, u64) -> Changed) {
        let now = runtime().block_on(async { store(&self.redis).glance().await.unwrap().now.unwrap() });
        publish(&self.redis, &change(&self.current(), now).fleet, Mode::NoProxies);
        self.applied();
    }

    fn applied(&self) {
        let version = self.current().version();
        eventually("every proxy applies the table", || {
            self.proxies.iter().all(|proxy| {
                let snapshot = proxy.plane().snapshot.load();
                snapshot.fleet.as_ref().is_some_and(|fleet| fleet.placement.version() == version)
            })
        });
    }

    /// A tenant of this stamp.
    pub fn tenant_of(&self, index: usize) -> String {
        let snapshot = self.proxies[0].plane().snapshot.load();
        let placement = &snapshot.fleet.as_ref().unwrap().placement;
        let owns = |name: &String| {
            let tenant = TenantId::parse(name.as_bytes()).unwrap();
            let owner = placement.owner(&tenant, RegionIndex(0), 0).unwrap();
            placement.stamp(owner).id == stamp(index)
        };
        (0..).map(|number| format!("tenant-{number}")).find(owns).unwrap()
    }

    fn ask(&self, entry: usize, method: &str, tenant: &str, path: &str, fields: &str) -> Answer {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: app.example\r\nX-Tenant-Id: {tenant}\r\n{fields}\r\n");
        let mut client = Client::connect(self.proxies[entry].edges[0]);
        client.exchange(head.as_bytes()).unwrap()
    }

    pub fn read(&self, entry: usize, tenant: &str, path: &str) -> Reading {
        self.read_with(entry, tenant, path, "")
    }

    pub fn read_with(&self, entry: usize, tenant: &str, path: &str, fields: &str) -> Reading {
        Reading::of(&self.ask(entry, "GET", tenant, path, fields))
    }

    /// Writes, and says the version.
    pub fn write(&self, entry: usize, tenant: &str, path: &str) -> Reading {
        Reading::of(&self.ask(entry, "PUT", tenant, path, "Content-Length: 0\r\n"))
    }

    /// Has a kept answer given through each of these entries.
    pub fn keep(&self, tenant: &str, path: &str, entries: &[usize]) -> Reading {
        let mut last = None;
        for entry in entries {
            eventually("it is kept", || {
                let read = self.read(*entry, tenant, path);
                let is_hit = read.is_hit();
                last = Some(read);
                is_hit
            });
        }
        last.unwrap()
    }

    pub fn metric(&self, index: usize, name: &str) -> f64 {
        metric(&self.proxies[index], name)
    }

    pub fn stop(self) {
        self.proxies.into_iter().for_each(stop);
    }
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    pub version: u64,
    /// Whose app made it.
    pub app: usize,
    /// How it was found.
    pub found: String,
}

impl Reading {
    fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{}", answer.text());
        let version = answer.text().parse().unwrap();
        let app = answer.header("x-app").unwrap().parse().unwrap();
        Self { version, app, found: answer.header("cache-status").unwrap_or_default().to_owned() }
    }

    pub fn is_hit(&self) -> bool {
        self.found.contains("; hit")
    }
}
