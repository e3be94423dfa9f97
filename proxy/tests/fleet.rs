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

use crate::world::{Answer, Client, Origin, Redis, eventually, free_port, proxy, stop};

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
                let owner = placement.owner(&id, RegionIndex(0), now).unwrap();
                (tenant(index), placement.stamp(owner).id.to_string())
            })
            .collect()
    }

    /// What one proxy's admin listener answers.
    fn ask(&self, index: usize, target: &str) -> Answer {
        let mut client = Client::connect(self.proxies[index].as_ref().unwrap().admin);
        client.exchange(format!("GET {target} HTTP/1.1\r\nHost: admin\r\n\r\n").as_bytes()).unwrap()
    }

    /// The reason for which `/readyz?verbose` says that a table was refused. Refusing one makes nobody unready.
    fn refused(&self, index: usize) -> Option<String> {
        let answer = self.ask(index, "/readyz?verbose");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let text = answer.text();
        let reason = text.lines().find_map(|line| line.strip_prefix("[-] table refused: "));
        reason.and_then(|rest| rest.split(' ').next()).map(str::to_owned)
    }

    /// Whom `/routing/explain` names for every tenant.
    fn explained(&self, index: usize) -> HashMap<String, String> {
        let mut client = Client::connect(self.proxies[index].as_ref().unwrap().admin);
        let mut ask = |tenant: String| {
            let target = format!("/routing/explain?tenant={tenant}&format=json");
            let answer = client.exchange(format!("GET {target} HTTP/1.1\r\nHost: admin\r\n\r\n").as_bytes()).unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
            (tenant, answer.json()["choice"].as_str().unwrap().to_owned())
        };
        (0..TENANTS).map(|index| ask(tenant(index))).collect()
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
    /// Ids of the requests that were answered 200, and of the others with what became of them.
    answered: Vec<String>,
    failed: Vec<(String, String)>,
    /// By tenant, the stamps that answered, in order, repetitions left out.
    path: HashMap<String, Vec<String>>,
}

impl Load {
    fn start(world: &World, entries: &[usize]) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let threads = entries
            .iter()
            .map(|&entry| {
                let address = world.proxies[entry].as_ref().unwrap().edges[0];
                let ended = Arc::clone(&ended);
                thread::spawn(move || {
                    let mut outcome = Outcome::default();
                    let mut client = Client::connect(address);
                    for (turn, index) in (0..TENANTS).cycle().enumerate() {
                        if ended.load(Ordering::SeqCst) {
                            return outcome;
                        }
                        let (tenant, id) = (tenant(index), format!("/load?id={entry}-{turn}"));
                        match client.try_get(&tenant, &id) {
                            Ok(answer) if answer.status == 200 => {
                                assert_eq!(answer.json()["path"], id.as_str(), "another request's answer");
                                outcome.answered.push(id);
                                let stamp = answer.json()["stamp"].as_str().unwrap().to_owned();
                                let path = outcome.path.entry(tenant).or_default();
                                if path.last() != Some(&stamp) {
                                    path.push(stamp);
                                }
                            }
                            Ok(answer) => outcome.failed.push((id, format!("{} {}", answer.status, answer.text()))),
                            Err(error) => {
                                outcome.failed.push((id, error.to_string()));
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

    /// Ends the load and compares both ends: what was answered reached exactly one app exactly once, what failed none or
    /// one once, and no app saw anything else.
    fn end(self, world: &World) -> Vec<Outcome> {
        self.ended.store(true, Ordering::SeqCst);
        let outcomes: Vec<Outcome> = self.threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        let mut arrived: HashMap<String, usize> = HashMap::new();
        for seen in world.origins.iter().flat_map(Origin::seen) {
            let target = seen.line.split(' ').nth(1).unwrap().to_owned();
            if target.starts_with("/load") {
                *arrived.entry(target).or_default() += 1;
            }
        }
        for id in outcomes.iter().flat_map(|outcome| &outcome.answered) {
            assert_eq!(arrived.remove(id), Some(1), "{id} was answered");
        }
        for (id, how) in outcomes.iter().flat_map(|outcome| &outcome.failed) {
            assert!(arrived.remove(id).unwrap_or(1) == 1, "{id} failed ({how}) and ran more than once");
        }
        assert!(arrived.is_empty(), "nobody sent {arrived:?}");
        outcomes
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
        assert_eq!(world.explained(entry), first, "explain at entry {entry}");
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
    for outcome in load.end(&world) {
        assert!(!outcome.answered.is_empty() && outcome.failed.is_empty(), "{:?}", outcome.failed);
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
    eventually("the empty store is noticed", || {
        (0..3).all(|index| world.refused(index).as_deref() == Some("store_empty"))
    });
    assert_eq!(world.owners(2), before);
    // a new fleet in it is no newer than what was applied
    let older = Fleet::blank(vec![Region::parse("weu").unwrap()], Scope::Region, Seed(9), 16).unwrap();
    let raw = |world: &World, fleet: &Fleet| overwrite(world, fleet);
    raw(&world, &older.init(1).unwrap().fleet);
    eventually("the older table is refused", || (0..3).all(|index| world.refused(index).as_deref() == Some("stale")));
    assert_eq!(world.owners(0), before);

    // hostile endpoints, as a newer epoch
    for (endpoint, epoch) in [("https://169.254.169.254:8443", 50), ("http://127.0.0.1:ADMIN", 51)] {
        let admin = world.proxies[0].as_ref().unwrap().admin.port().to_string();
        let mut hostile = good.clone();
        hostile.table.epoch = epoch;
        hostile.table.stamps[1].endpoint = endpoint.replace("ADMIN", &admin);
        raw(&world, &hostile);
        eventually("the hostile endpoint is refused", || world.refused(0).as_deref() == Some("endpoint_forbidden"));
    }
    assert_eq!(world.owners(0), before);
    // a document that is not what its head says
    world.runtime.block_on(async {
        let client = redis::Client::open(world.redis.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let _: () =
            redis::cmd("SET").arg("{synaxis:rt}:table:51").arg("{}").query_async(&mut connection).await.unwrap();
    });
    eventually("the broken document is refused", || world.refused(0).as_deref() == Some("hash_mismatch"));
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
    for outcome in load.end(&world) {
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

#[test]
fn a_forward_carries_the_client_and_every_hop_signs_itself() {
    let world = World::start();
    let owners = world.owners(0);
    let elsewhere = owners.iter().find(|(_, owner)| owner.as_str() == stamp(1).as_str()).unwrap().0;
    let request = format!(
        "GET /forwarded HTTP/1.1\r\nHost: app.example\r\nX-Tenant-Id: {elsewhere}\r\nX-Forwarded-For: 6.6.6.6\r\n\
         X-Forwarded-Proto: https\r\nX-Synaxis-Client: 6.6.6.6\r\nVia: 1.0 there\r\n\
         traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n"
    );
    assert_eq!(world.edge(0).exchange(request.as_bytes()).unwrap().json()["stamp"], stamp(1).as_str());
    let seen = world.origins[1].seen().into_iter().find(|seen| seen.line.contains("/forwarded")).unwrap();
    assert_eq!(seen.all("x-forwarded-for"), ["127.0.0.1"], "the client's word is not believed");
    assert_eq!(seen.all("x-forwarded-proto"), ["http"]);
    assert_eq!(seen.all("via"), ["1.0 there", "1.1 synaxis", "1.1 synaxis"]);
    assert_eq!(seen.all("traceparent"), ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]);
    assert_eq!(seen.all("host"), ["app.example"]);
    assert_eq!(seen.all("x-tenant-id"), [elsewhere.as_str()]);
    assert!(!seen.headers.iter().any(|(name, _)| name.to_ascii_lowercase().starts_with("x-synaxis-")), "{seen:?}");
    world.stop();
}

#[test]
fn an_answer_cut_at_the_owner_is_cut_at_the_entry_and_nothing_else_is() {
    let world = World::start();
    let owners = world.owners(0);
    let elsewhere = owners.iter().find(|(_, owner)| owner.as_str() == stamp(2).as_str()).unwrap().0;
    let before = world.origins[2].count();
    let error = world.edge(0).try_get(elsewhere, "/cut").unwrap_err();
    assert!(matches!(error.kind(), std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset), "{error}");
    let reset = world.edge(0).get(elsewhere, "/reset");
    // its app may have executed it: nobody else gets it
    assert_eq!((reset.status, reset.reason().as_str()), (502, "upstream_reset"));
    assert_eq!(world.origins[2].count() - before, 2);
    assert_eq!(world.owners(0), owners, "the connections between the stamps are clean");
    world.stop();
}

#[test]
fn the_admin_listener_says_how_things_stand() {
    let world = World::start();
    for (target, status, words) in [
        ("/livez", 200, "ok"),
        ("/readyz", 200, "ok"),
        ("/readyz?verbose", 200, "[+] table 1."),
        ("/version", 200, "synaxis-proxy"),
        ("/metrics", 200, "routing_epoch"),
        ("/stamps", 200, "synaxis-weu-003"),
        ("/routing", 200, "hrw-xxh3-v1"),
        ("/routing/explain?tenant=acme", 200, "acme"),
        ("/routing/explain?tenant=a%2Fb", 400, "tenant_invalid"),
        ("/routing/explain", 400, "tenant_invalid"),
        ("/routing/explain?tenant=acme&entry=nowhere", 400, "region_unknown"),
        ("/nothing", 404, "unknown"),
    ] {
        let answer = world.ask(0, target);
        assert_eq!(answer.status, status, "{target}");
        assert!(answer.text().contains(words), "{target}: {}", answer.text());
        assert!(!answer.text().contains(&format!("{:016x}", 7)), "{target} shows the seed");
    }
    let write = Client::connect(world.proxies[0].as_ref().unwrap().admin)
        .exchange(b"POST /stamps HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        .unwrap();
    assert_eq!(write.status, 405);
    world.stop();
}
