//! Several proxies, one per stamp, one table in a real Redis.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use synaxis_proxy::server::Running;
use synaxis_routing::{
    bundle::{Bundle, Head},
    change::{Changed, Drain, Fleet, Guards, Overrides, Register},
    id::{Region, StampId, TenantId},
    placement::RegionIndex,
    store::{LogEntry, Mode, Store},
    table::{Millis, Scope, Seed},
};

use crate::world::{Client, Origin, Redis, eventually, free_port, proxy, stop};

const TENANTS: usize = 1_000;

/// Three stamps with their origins and proxies, and the store they share.
struct World {
    redis: Redis,
    origins: Vec<Origin>,
    proxies: Vec<Option<Running>>,
    peers: Vec<u16>,
    folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
}

fn stamp(index: usize) -> StampId {
    StampId::parse(&format!("synaxis-weu-{:03}", index + 1)).unwrap()
}

fn tenant(index: usize) -> String {
    format!("tenant-{index}")
}

impl World {
    /// Three Active stamps whose proxies have all applied the table.
    fn start() -> Self {
        let mut world = Self {
            redis: Redis::start(),
            origins: (0..3).map(|index| Origin::start(stamp(index).as_str())).collect(),
            proxies: vec![None, None, None],
            peers: (0..3).map(|_| free_port()).collect(),
            folder: tempfile::tempdir().unwrap(),
            runtime: tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap(),
        };
        let mut fleet = Fleet::blank(vec![Region::parse("weu").unwrap()], Scope::Region, Seed(7), 16).unwrap();
        for index in 0..3 {
            let new = Register {
                id: stamp(index),
                endpoint: format!("http://127.0.0.1:{}", world.peers[index]),
                weight: 100,
                dedicated: false,
                labels: BTreeMap::new(),
            };
            fleet = fleet.register(new, 1).unwrap().fleet;
            fleet = fleet.activate(&stamp(index), 0, 1).unwrap().fleet;
        }
        world.publish(&fleet, Mode::Init);
        for index in 0..3 {
            world.boot(index);
        }
        world.applied_everywhere();
        world
    }

    fn store(&self) -> Store {
        Store::open(&self.redis.url(), "synaxis").unwrap()
    }

    fn snapshot(&self, index: usize) -> std::path::PathBuf {
        self.folder.path().join(format!("{index}.json"))
    }

    fn config(&self, index: usize) -> String {
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
output = "off"
[shutdown]
lame_duck = "50ms"
drain = "2s"
"#,
            id = stamp(index),
            peer = self.peers[index],
            store = self.redis.url(),
            snapshot = self.snapshot(index).display(),
            bootstrap = bootstrap.join(", "),
            origin = self.origins[index].address,
        )
    }

    fn boot(&mut self, index: usize) {
        self.proxies[index] = Some(proxy(&self.config(index)));
    }

    fn halt(&mut self, index: usize) {
        if let Some(proxy) = self.proxies[index].take() {
            proxy.cut();
            proxy.wait();
        }
    }

    fn running(&self) -> impl Iterator<Item = &Running> {
        self.proxies.iter().flatten()
    }

    fn edge(&self, index: usize) -> Client {
        Client::connect(self.proxies[index].as_ref().unwrap().edges[0])
    }

    /// The newest table in the store.
    fn current(&self) -> (Fleet, bytes::Bytes) {
        let store = self.store();
        self.runtime.block_on(async {
            let bytes = store.glance().await.unwrap().head.unwrap();
            let head = Head::parse(&bytes).unwrap();
            let decoded = store.fetch(&head, &bytes, None).await.unwrap().decode().unwrap();
            (Fleet { table: decoded.table, tenants: decoded.tenants }, bytes)
        })
    }

    fn publish(&self, fleet: &Fleet, mode: Mode) {
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

    fn now(&self) -> Millis {
        let store = self.store();
        self.runtime.block_on(async { store.glance().await.unwrap().now.unwrap() })
    }

    /// Edits the newest table, publishes it and waits until every running proxy has applied it.
    fn edit(&self, change: impl FnOnce(&Fleet, Millis) -> Changed) {
        let (fleet, _) = self.current();
        let changed = change(&fleet, self.now());
        self.publish(&changed.fleet, Mode::NoProxies);
        self.applied_everywhere();
    }

    fn applied_everywhere(&self) {
        let version = self.current().0.version();
        eventually("every proxy applies the table", || {
            self.running().all(|proxy| {
                let snapshot = proxy.plane().snapshot.load();
                snapshot.fleet.as_ref().is_some_and(|fleet| fleet.placement.version() == version)
            })
        });
    }

    /// Which stamp answers every tenant, by entry.
    fn owners(&self, entry: usize) -> HashMap<String, String> {
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
    fn placed(&self, entry: usize) -> HashMap<String, String> {
        let proxy = self.proxies[entry].as_ref().unwrap();
        let snapshot = proxy.plane().snapshot.load();
        let placement = &snapshot.fleet.as_ref().unwrap().placement;
        let now = proxy.plane().clock.at(std::time::Instant::now());
        (0..TENANTS)
            .map(|index| {
                let id = TenantId::parse(tenant(index).as_bytes()).unwrap();
                let explained = synaxis_routing::explain::explain(placement, &id, RegionIndex(0), now);
                let owner = placement.owner(&id, RegionIndex(0), now).unwrap();
                let owner = placement.stamp(owner).id.to_string();
                assert!(explained.to_string().contains(&owner), "{explained}");
                (tenant(index), owner)
            })
            .collect()
    }

    fn refused(&self, index: usize) -> Option<&'static str> {
        self.proxies[index].as_ref().unwrap().status().routing().refused.map(|refused| refused.reason)
    }

    fn stop(mut self) {
        for index in 0..3 {
            if let Some(proxy) = self.proxies[index].take() {
                stop(proxy);
            }
        }
    }
}

/// Sends tenants round and round through every entry until told to stop; what did not succeed is returned.
struct Load {
    ended: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<Outcome>>,
}

#[derive(Default)]
struct Outcome {
    sent: usize,
    failed: Vec<String>,
    /// By tenant, the stamps that answered, in order, repetitions left out.
    path: HashMap<String, Vec<String>>,
}

impl Load {
    fn start(world: &World, entries: &[usize]) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let threads = entries
            .iter()
            .map(|entry| {
                let address = world.proxies[*entry].as_ref().unwrap().edges[0];
                let ended = Arc::clone(&ended);
                thread::spawn(move || {
                    let mut outcome = Outcome::default();
                    let mut client = Client::connect(address);
                    for index in (0..TENANTS).cycle() {
                        if ended.load(Ordering::SeqCst) {
                            return outcome;
                        }
                        let tenant = tenant(index);
                        outcome.sent += 1;
                        match client.try_get(&tenant, "/load") {
                            Ok(answer) if answer.status == 200 => {
                                let stamp = answer.json()["stamp"].as_str().unwrap().to_owned();
                                let path = outcome.path.entry(tenant).or_default();
                                if path.last() != Some(&stamp) {
                                    path.push(stamp);
                                }
                            }
                            Ok(answer) => outcome.failed.push(format!("{tenant}: {} {}", answer.status, answer.text())),
                            Err(error) => {
                                outcome.failed.push(format!("{tenant}: {error}"));
                                client = Client::connect(address);
                            }
                        }
                    }
                    outcome
                })
            })
            .collect();
        Self { ended, threads }
    }

    fn end(self) -> Vec<Outcome> {
        self.ended.store(true, Ordering::SeqCst);
        self.threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    }
}

fn below_minimum(ramp_seconds: u32) -> Drain {
    let overrides = Overrides { below_minimum: true, last: false };
    Drain { ramp_seconds, overrides, ..Drain::default() }
}

#[test]
fn each_tenant_has_one_stamp_whatever_the_entry_and_explain_agrees() {
    let world = World::start();
    let first = world.owners(0);
    for entry in 1..3 {
        assert_eq!(world.owners(entry), first, "entry {entry}");
    }
    for entry in 0..3 {
        assert_eq!(world.placed(entry), first, "explain at entry {entry}");
    }
    for index in 0..3 {
        let share = first.values().filter(|owner| owner.as_str() == stamp(index).as_str()).count();
        // binomial(1000, 1/3): mean 333, standard deviation 15
        assert!((270..400).contains(&share), "{} serves {share} of {TENANTS}", stamp(index));
    }
    world.stop();
}

#[test]
fn a_drain_moves_only_its_own_tenants_once_and_a_cancel_gives_them_back() {
    let world = World::start();
    let before = world.owners(0);
    let load = Load::start(&world, &[0, 1, 2]);
    world.edit(|fleet, now| fleet.drain(&stamp(2), below_minimum(3), &Guards::default(), now).unwrap());
    eventually("the drain has moved some tenants", || {
        world.placed(0).values().filter(|owner| owner.as_str() == stamp(2).as_str()).count() < 200
    });
    world.edit(|fleet, now| fleet.cancel_drain(&stamp(2), 1, now).unwrap());
    eventually("the tenants are back", || world.placed(0) == before);
    world.edit(|fleet, now| fleet.drain(&stamp(2), below_minimum(1), &Guards::default(), now).unwrap());
    eventually("the stamp has nothing left", || {
        world.placed(0).values().all(|owner| owner.as_str() != stamp(2).as_str())
    });
    thread::sleep(Duration::from_millis(300));
    for outcome in load.end() {
        assert!(
            outcome.failed.is_empty(),
            "{} of {} failed: {:?}",
            outcome.failed.len(),
            outcome.sent,
            outcome.failed.first()
        );
        for (tenant, path) in outcome.path {
            if before[&tenant] == stamp(2).as_str() {
                // out, back, out: at most three moves
                assert!(path.len() <= 4, "{tenant} wandered: {path:?}");
            } else {
                assert_eq!(path, [before[&tenant].clone()], "{tenant} does not belong to the draining stamp");
            }
        }
    }
    world.stop();
}

#[test]
fn redis_may_die_and_lie_and_requests_go_on() {
    let mut world = World::start();
    let before = world.owners(0);
    let (good, _) = world.current();
    world.redis.kill();
    assert_eq!(world.owners(1), before, "Redis is gone");

    // from its snapshot
    world.halt(0);
    world.boot(0);
    eventually("a proxy starts from its snapshot", || {
        world.proxies[0].as_ref().unwrap().plane().snapshot.load().fleet.is_some()
    });
    assert_eq!(world.owners(0), before);
    // from a peer
    world.halt(1);
    fs::remove_file(world.snapshot(1)).unwrap();
    world.boot(1);
    eventually("a proxy starts from a peer", || {
        world.proxies[1].as_ref().unwrap().plane().snapshot.load().fleet.is_some()
    });
    assert_eq!(world.owners(1), before);

    // back, but empty
    world.redis.restart();
    eventually("the empty store is noticed", || (0..3).all(|index| world.refused(index) == Some("store_empty")));
    assert_eq!(world.owners(2), before);
    // a new fleet in it is no newer than what was applied
    let older = Fleet::blank(vec![Region::parse("weu").unwrap()], Scope::Region, Seed(9), 16).unwrap();
    let raw = |world: &World, fleet: &Fleet| overwrite(world, fleet);
    raw(&world, &older.init(1).unwrap().fleet);
    eventually("the older table is refused", || (0..3).all(|index| world.refused(index) == Some("stale")));
    assert_eq!(world.owners(0), before);

    // hostile endpoints, as a newer epoch
    for (endpoint, epoch) in [("https://169.254.169.254:8443", 50), ("http://127.0.0.1:ADMIN", 51)] {
        let admin = world.proxies[0].as_ref().unwrap().admin.port().to_string();
        let mut hostile = good.clone();
        hostile.table.epoch = epoch;
        hostile.table.stamps[1].endpoint = endpoint.replace("ADMIN", &admin);
        raw(&world, &hostile);
        eventually("the hostile endpoint is refused", || world.refused(0) == Some("endpoint_forbidden"));
    }
    assert_eq!(world.owners(0), before);
    // a document that is not what its head says
    world.runtime.block_on(async {
        let client = redis::Client::open(world.redis.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let _: () =
            redis::cmd("SET").arg("{synaxis:rt}:table:51").arg("{}").query_async(&mut connection).await.unwrap();
    });
    eventually("the broken document is refused", || world.refused(0) == Some("hash_mismatch"));
    assert_eq!(world.owners(1), before);

    // put back, as a new term
    let mut recovered = good;
    recovered.table.term = 2;
    recovered.table.epoch = 100;
    world.publish(&recovered, Mode::Recover);
    world.applied_everywhere();
    assert_eq!(world.owners(2), before);
    assert_eq!(world.refused(0), None);
    world.stop();
}

/// Writes a table past every check, as a broken or hostile writer would.
fn overwrite(world: &World, fleet: &Fleet) {
    let bundle = Bundle::encode(&fleet.table, &fleet.tenants, "raw").unwrap();
    world.runtime.block_on(async {
        let client = redis::Client::open(world.redis.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let head = Head::parse(&bundle.head).unwrap();
        let mut pipe = redis::pipe();
        pipe.atomic()
            .set(format!("{{synaxis:rt}}:table:{}", fleet.table.epoch), &bundle.table[..])
            .set(format!("{{synaxis:rt}}:tenants:{}", head.tenants_hash), &bundle.tenants[..])
            .set("{synaxis:rt}:head", &bundle.head[..]);
        let _: () = pipe.query_async(&mut connection).await.unwrap();
    });
}

#[test]
fn a_dead_stamps_tenants_are_served_by_their_next_candidate() {
    let mut world = World::start();
    let before = world.owners(0);
    let load = Load::start(&world, &[0, 1]);
    thread::sleep(Duration::from_millis(200));
    world.halt(2);
    thread::sleep(Duration::from_millis(500));
    let outcomes = load.end();
    for outcome in &outcomes {
        // a request that had reached the stamp when it died may fail; one that had not may not
        assert!(outcome.failed.len() <= 1, "{:?}", outcome.failed);
    }
    for entry in 0..2 {
        for (tenant, owner) in world.owners(entry) {
            if before[&tenant] == stamp(2).as_str() {
                assert_ne!(owner, stamp(2).as_str());
            } else {
                assert_eq!(owner, before[&tenant]);
            }
        }
    }
    world.stop();
}

#[test]
fn an_app_that_is_down_sends_its_tenants_to_the_next_candidate() {
    let world = World::start();
    world.origins[2].stop();
    thread::sleep(Duration::from_millis(100));
    for entry in 0..3 {
        let owners = world.owners(entry);
        assert!(owners.values().all(|owner| owner != stamp(2).as_str()), "entry {entry}");
    }
    world.stop();
}

#[test]
fn the_peer_listener_serves_stamps_only_and_never_sends_on() {
    let world = World::start();
    let owners = world.owners(0);
    let peer = world.proxies[0].as_ref().unwrap().peers[0];
    let stranger = Client::connect(peer).get("acme", "/");
    assert_eq!((stranger.status, stranger.reason().as_str()), (400, "framing_invalid"));
    // a forward for a tenant that belongs elsewhere is served here all the same: this stamp is a candidate
    let elsewhere = owners.iter().find(|(_, owner)| owner.as_str() != stamp(0).as_str()).unwrap().0;
    let epoch = world.current().0.version();
    let forward = format!(
        "GET /x HTTP/1.1\r\nHost: a\r\nX-Synaxis-Hop: 1\r\nX-Synaxis-Epoch: {epoch}\r\nX-Synaxis-Entry: {}\r\nX-Synaxis-Tenant: {elsewhere}\r\n\r\n",
        stamp(1)
    );
    let answer = Client::connect(peer).exchange(forward.as_bytes()).unwrap();
    assert_eq!(answer.json()["stamp"], stamp(0).as_str());
    world.stop();
}
