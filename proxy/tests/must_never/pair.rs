//! Two stamps with strict apps, each proxy with a store of its own: so that one may be told what the other is not.

use std::net::TcpStream;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use synaxis_proxy::server::Running;
use synaxis_routing::{
    bundle::Bundle,
    change::Fleet,
    id::StampId,
    store::{LogEntry, Mode, Store},
};

use crate::world::{Strict, eventually, free_port, proxy, stop, table};

pub(super) struct Pair {
    pub(super) origins: [Strict; 2],
    pub(super) proxies: Vec<Running>,
    pub(super) peers: [u16; 2],
    stores: [String; 2],
    runtime: tokio::runtime::Runtime,
    _folder: tempfile::TempDir,
}

pub(super) fn stamp(index: usize) -> StampId {
    StampId::parse(&format!("synaxis-weu-{:03}", index + 1)).unwrap()
}

impl Pair {
    /// Both Active, their tables the same and applied. `more` goes into both configurations.
    pub(super) fn start(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let stores = [0, 1].map(|index| format!("file:{}", folder.path().join(index.to_string()).display()));
        Self::on(stores, folder, more)
    }

    /// The same on one store.
    pub(super) fn sharing(store: &str, more: &str) -> Self {
        Self::on([store.to_owned(), store.to_owned()], tempfile::tempdir().unwrap(), more)
    }

    fn on(stores: [String; 2], folder: tempfile::TempDir, more: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (origins, peers) = ([Strict::start(), Strict::start()], [free_port(), free_port()]);
        let mut pair = Self { origins, proxies: Vec::new(), peers, stores, runtime, _folder: folder };
        let fleet = pair.fleet();
        for index in if pair.stores[0] == pair.stores[1] { 0..1 } else { 0..2 } {
            pair.publish(index, &fleet, Mode::Init);
        }
        for index in 0..2 {
            pair.proxies.push(proxy(&pair.config(index, more)));
        }
        (0..2).for_each(|index| pair.applied(index, &fleet));
        pair
    }

    fn fleet(&self) -> Fleet {
        table::active(&[0, 1].map(|index| (stamp(index), self.peers[index])))
    }

    fn config(&self, index: usize, more: &str) -> String {
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
store = "{store}"
poll = "50ms"
ack = "500ms"
[upstreams.app]
endpoints = ["http://{origin}"]
breaker = {{ failures = 10000 }}
[peers]
breaker = {{ failures = 10000 }}
[access_log]
output = "off"
[shutdown]
lame_duck = "50ms"
client_keepalive = "50ms"
drain = "1s"
{more}
"#,
            id = stamp(index),
            peer = self.peers[index],
            store = self.stores[index],
            origin = self.origins[index].address,
        )
    }

    /// The table that a store holds.
    pub(super) fn current(&self, index: usize) -> Fleet {
        let store = Store::open(&self.stores[index], "synaxis").unwrap();
        self.runtime.block_on(async {
            let bytes = store.glance().await.unwrap().head.unwrap();
            let head = synaxis_routing::bundle::Head::parse(&bytes).unwrap();
            let decoded = store.fetch(&head, &bytes, None).await.unwrap().decode().unwrap();
            Fleet { table: decoded.table, tenants: decoded.tenants }
        })
    }

    /// Publishes past every check of an operator's tool.
    pub(super) fn publish(&self, index: usize, fleet: &Fleet, mode: Mode) {
        let bundle = Bundle::encode(&fleet.table, &fleet.tenants, &format!("test-{}", fleet.version())).unwrap();
        self.write(index, fleet, &bundle, mode);
    }

    /// Publishes a table whose second stamp has an endpoint that no writer of ours would write.
    pub(super) fn publish_endpoint(&self, index: usize, fleet: &Fleet, endpoint: &str) {
        let mut bundle = Bundle::encode(&fleet.table, &fleet.tenants, &format!("test-{}", fleet.version())).unwrap();
        let mut table: Value = serde_json::from_slice(&bundle.table).unwrap();
        table["stamps"][1]["endpoint"] = endpoint.into();
        bundle.table = serde_json::to_vec(&table).unwrap().into();
        let mut head: Value = serde_json::from_slice(&bundle.head).unwrap();
        let hash: String = Sha256::digest(&bundle.table).iter().map(|byte| format!("{byte:02x}")).collect();
        head["table_hash"] = hash.into();
        bundle.head = serde_json::to_vec(&head).unwrap().into();
        self.write(index, fleet, &bundle, Mode::NoProxies);
    }

    fn write(&self, index: usize, fleet: &Fleet, bundle: &Bundle, mode: Mode) {
        let store = Store::open(&self.stores[index], "synaxis").unwrap();
        self.runtime.block_on(async {
            let expected = store.glance().await.unwrap().head;
            let (what, why) = ("change".into(), String::new());
            let entry = LogEntry { at: 0, who: "test".into(), what, why, version: fleet.version() };
            store.publish(expected.as_ref(), bundle, &entry, mode).await.unwrap();
        });
    }

    /// Waits until a proxy has applied this table.
    pub(super) fn applied(&self, index: usize, fleet: &Fleet) {
        eventually("the table is applied", || {
            let snapshot = self.proxies[index].plane().snapshot.load();
            snapshot.fleet.as_ref().is_some_and(|applied| applied.placement.version() == fleet.version())
        });
    }

    /// A counter of one proxy; 0 before it was first counted up.
    pub(super) fn metric(&self, index: usize, series: &str) -> u64 {
        let text = self.proxies[index].plane().metrics.render();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0, |count| count.parse().unwrap())
    }

    /// Stops both; nobody has panicked, and no app got what is not clean HTTP.
    pub(super) fn stop(self) {
        for (index, origin) in self.origins.iter().enumerate() {
            assert_eq!(self.metric(index, "panics_total"), 0);
            assert_eq!(origin.faults(), [""; 0]);
        }
        self.proxies.into_iter().for_each(stop);
    }
}

/// A listener that nobody may connect to.
pub(super) struct Trap(std::net::TcpListener);

impl Trap {
    pub(super) fn set() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    pub(super) fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    /// Whoever has connected.
    pub(super) fn caught(&self) -> Option<TcpStream> {
        self.0.accept().ok().map(|(stream, _)| stream)
    }
}
