//! The binary and real proxies on one real Redis: what an operator does, and what the proxies make of it.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    time::{Duration, Instant},
};

use synaxis_proxy::server::{self, Running};
use synaxis_routing::{
    bundle::{Bundle, Head},
    degradation::Level,
    store::{LogEntry, Mode},
};

use crate::World;

/// Proxies of stamps that are registered and Active; cut when dropped.
struct Proxies(Vec<Running>);

impl Proxies {
    fn start(world: &World, stamps: &[&str]) -> Self {
        let peers: Vec<SocketAddr> = stamps.iter().map(|_| free_address()).collect();
        for (stamp, peer) in stamps.iter().zip(&peers) {
            world.run(&format!("register {stamp} --endpoint http://{peer}")).code(0);
            world.run(&format!("activate {stamp} --ramp 0s")).code(0);
        }
        let mut proxies = Self(Vec::new());
        for (stamp, peer) in stamps.iter().zip(&peers) {
            let settings = format!(
                r#"
[stamp]
id = "synaxis-{stamp}"
[server]
workers = 1
[[listeners]]
kind = "edge"
address = "127.0.0.1:0"
trust_header = true
[[listeners]]
kind = "peer"
address = "{peer}"
[admin]
address = "127.0.0.1:0"
[routing]
store = "{}"
snapshot = "{}/{stamp}.json"
poll = "200ms"
ack = "500ms"
[upstreams.app]
endpoints = ["http://127.0.0.1:1"]
[access_log]
output = "off"
"#,
                world.url,
                world.folder.path().display()
            );
            let (settings, _) = synaxis_config::load(&settings, Path::new("test.toml")).unwrap();
            proxies.0.push(server::run(settings).unwrap());
        }
        proxies
    }

    /// The version that a proxy decides by.
    fn applied(&self, index: usize) -> String {
        let snapshot = self.0[index].plane().snapshot.load();
        snapshot.fleet.as_ref().map(|fleet| fleet.placement.version().to_string()).unwrap_or_default()
    }
}

impl Drop for Proxies {
    fn drop(&mut self) {
        self.0.iter().for_each(Running::cut);
        self.0.drain(..).for_each(Running::wait);
    }
}

/// An address nobody listens on at this moment.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[track_caller]
fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(15), "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Until the proxies have said in the store what they have applied, nobody can wait for them.
fn everybody_has_reported(world: &World, count: usize) {
    eventually("every proxy reports", || {
        let epoch = world.json("epoch");
        epoch["proxies"]["confirmed"].as_array().is_some_and(|confirmed| confirmed.len() == count)
    });
}

#[test]
fn a_drain_is_confirmed_by_every_proxy_and_shows_in_their_decisions() {
    let world = World::redis().with(&[]);
    let proxies = Proxies::start(&world, &["weu-001", "weu-002", "weu-003"]);
    everybody_has_reported(&world, 3);
    let drained = world.run("drain weu-003 --ramp 0s --below-minimum --yes --timeout 10s").code(0);
    let version = world.version().to_string();
    for index in 0..3 {
        assert_eq!(proxies.applied(index), version, "{}", drained.out);
    }
    let told = world.json("explain acme");
    for proxy in &proxies.0 {
        let snapshot = proxy.plane().snapshot.load();
        let placement = &snapshot.fleet.as_ref().unwrap().placement;
        let acme = synaxis_routing::id::TenantId::parse(b"acme").unwrap();
        let now = proxy.plane().clock.at(Instant::now());
        let owner = placement.owner(&acme, synaxis_routing::placement::RegionIndex(0), now).unwrap();
        assert_eq!(told["choice"], placement.stamp(owner).id.as_str());
    }
}

#[test]
fn a_level_set_by_hand_reaches_every_proxy_and_a_stamp_is_asked_how_it_is() {
    let world = World::redis().with(&[]);
    let proxies = Proxies::start(&world, &["weu-001", "weu-002"]);
    everybody_has_reported(&world, 2);
    world.run("degrade read-only --fleet --for 10m --yes --timeout 10s").code(0);
    world.run("degrade maintenance --stamp weu-002 --for 10m --yes --timeout 10s").code(0);
    for (index, expected) in [(0, Level::ReadOnly), (1, Level::Maintenance)] {
        let plane = proxies.0[index].plane();
        let snapshot = plane.snapshot.load();
        let table = snapshot.fleet.as_ref().unwrap().placement.table();
        let now = plane.clock.at(Instant::now());
        assert_eq!(table.degradation_of(&table.stamps[index].id, now).map(|it| it.level), Some(expected));
    }
    // its app listens nowhere: whatever it says of it, it is not well
    let sick = world.run("health weu-001 -o json").code(1).json();
    assert_eq!((&sick["reachable"], &sick["state"]), (&true.into(), &"active".into()));
    assert_ne!(sick["app"], "ok");
}

#[test]
fn a_store_that_was_lost_comes_back_from_the_proxies() {
    let world = World::redis().with(&[]);
    let proxies = Proxies::start(&world, &["weu-001", "weu-002"]);
    everybody_has_reported(&world, 2);
    world.run("weight weu-002 50 --timeout 10s").code(0);
    let before = world.version();
    let redis = world._redis.as_ref().unwrap();
    assert_eq!(redis.try_command("FLUSHALL").unwrap(), "+OK\r\n");
    world.run("list").code(4).says(&["stampctl recover"]);
    let from: Vec<String> = proxies.0.iter().map(|proxy| format!("http://{}", proxy.admin)).collect();
    let recovered =
        world.args(&["recover", "--from", &from[0], "--from", &from[1], "--yes", "--timeout", "10s"]).code(0);
    let after = world.version();
    assert!(after > before, "{after} is newer than {before}: {}", recovered.out);
    eventually("both proxies follow", || (0..2).all(|index| proxies.applied(index) == after.to_string()));
    assert_eq!(world.json("status weu-002")["weight"], 50, "nothing is lost");
    world.run("weight weu-002 60 --timeout 10s").code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_table_that_every_proxy_refuses_is_recovered_from() {
    let world = World::redis().with(&[]);
    let proxies = Proxies::start(&world, &["weu-001", "weu-002"]);
    everybody_has_reported(&world, 2);
    let good = world.version();
    let from: Vec<String> = proxies.0.iter().map(|proxy| format!("http://{}", proxy.admin)).collect();
    let recover = |more: &[&str]| {
        let common = ["recover", "--from", &from[0], "--from", &from[1], "--yes", "--timeout", "10s"];
        world.args(&[&common[..], more].concat())
    };
    assert!(recover(&[]).code(0).out.contains("nothing to recover"));

    // a broken writer leads a stamp to the metadata service
    let store = world.store();
    let head = store.glance().await.unwrap().head.unwrap();
    let decoded = store.fetch(&Head::parse(&head).unwrap(), &head, None).await.unwrap().decode().unwrap();
    let mut table = decoded.table;
    table.epoch = 50;
    table.stamps[1].endpoint = "https://169.254.169.254:8443".to_owned();
    let hostile = Bundle::encode(&table, &decoded.tenants, "hostile").unwrap();
    let entry = LogEntry { at: 0, who: "?".into(), what: "?".into(), why: String::new(), version: table.version() };
    store.publish(Some(&head), &hostile, &entry, Mode::NoProxies).await.unwrap();
    eventually("both proxies refuse it", || {
        proxies
            .0
            .iter()
            .all(|proxy| proxy.status().routing().refused.is_some_and(|refused| refused.reason == "endpoint_forbidden"))
    });
    recover(&[]).code(5).says(&["1.50, which no proxy has applied", "--over-newer"]);
    assert_eq!(world.version().epoch, 50, "nothing was done without being told");
    recover(&["--over-newer"]).code(0);
    let after = world.version();
    assert!(after > table.version() && after > good);
    eventually("both proxies follow", || (0..2).all(|index| proxies.applied(index) == after.to_string()));
    assert!(world.json("status weu-002")["endpoint"].as_str().unwrap().starts_with("http://127.0.0.1:"));
}
