//! What was kept by a tenant's owner is not given after another stamp has served a change.

mod world;

use std::{
    io::{BufReader, Write},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use synaxis_routing::{
    change::{Fleet, Guards},
    id::TenantId,
    placement::RegionIndex,
    store::Mode,
};

use self::world::{World, stamp};
use super::app::ok;
use crate::world::{Client, Raw, Redis, eventually, free_port, proxy, raw::head, stop, table};

/// How long after the owner can be reached, and reaches the store, an entry may give what is old that took no part; with what
/// a busy machine adds.
const OTHERS: Duration = Duration::from_millis(1_000 + 1_500);

/// Reads until the owner serves again; everything read on the way is this version.
fn until_it_serves(world: &World, entry: usize, (tenant, path): (&str, &str), owner: usize, version: u64) {
    eventually("the owner serves again", || {
        let read = world.read(entry, tenant, path);
        assert_eq!(read.version, version, "{read:?}");
        read.app == owner
    });
}

/// Nobody gives an older version, after what those may take that took no part.
fn is_known_to_all(world: &World, (tenant, path): (&str, &str), version: u64, since: Instant) {
    for entry in [2, 0, 1] {
        while world.read(entry, tenant, path).version != version {
            assert!(since.elapsed() < OTHERS, "through {entry}: {:?}", world.read(entry, tenant, path));
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    for entry in [0, 1, 2] {
        for _ in 0..5 {
            assert_eq!(world.read(entry, tenant, path).version, version);
        }
    }
    // and it is kept again once nobody has reason to doubt
    assert_eq!(world.keep(tenant, path, &[0, 1, 2]).version, version);
}

#[test]
fn nothing_older_is_given_than_what_was_written_while_the_owner_was_cut_off() {
    let mut world = World::start();
    let tenant = world.tenant_of(0);
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let of = (tenant.as_str(), "/a?b");
        let kept = world.keep(of.0, of.1, &[1, 2]);
        assert_eq!(kept.app, 0);
        // from everybody, and from the store
        world.stores[0].cut();
        world.stamps[0].cut();
        let mut version = kept.version;
        for _ in 0..3 {
            let written = world.write(1, of.0, of.1);
            version += 1;
            assert_eq!((written.version, written.app != 0), (version, true), "{written:?}");
            acknowledged.push((written.app, version));
            assert_eq!(world.read(1, of.0, of.1).version, version, "nobody keeps it in place of the owner");
        }
        world.stamps[0].mend();
        // who took no part is told what the owner has, which has heard nothing yet
        let old = world.read(2, of.0, of.1);
        assert!(old.is_hit() && old.version == kept.version, "{old:?}: nothing was there to go wrong");
        until_it_serves(&world, 1, of, 0, version);
        let read = world.read(1, of.0, of.1);
        assert!(read.version == version && read.found.contains("detail=failover"), "round {round}: {read:?}");
        assert!(world.metric(0, "cache_failover_bypassed_total") > 0.0);
        world.stores[0].mend();
        is_known_to_all(&world, of, version, Instant::now());
    }
    assert_eq!(world.data.lock().unwrap().writes, acknowledged, "each was executed once, where it was said");
    assert!(world.metric(0, "cache_failover_heard_total") >= 3.0);
    world.stop();
}

#[test]
fn nothing_older_is_given_than_what_was_written_while_the_owners_app_was_gone() {
    let mut world = World::start();
    let tenant = world.tenant_of(0);
    // through another entry, and through the owner itself
    for entry in [1, 0] {
        // the owner, which is tried first, cannot know that both are the same
        let (of, written_to) = ((tenant.as_str(), "/x?view"), "/x");
        let kept = world.keep(of.0, of.1, &[entry, 2]);
        world.stores[0].cut();
        world.to_apps[0].cut();
        assert!(world.read(2, of.0, of.1).is_hit(), "what is kept needs no app");
        let written = world.write(entry, of.0, written_to);
        assert_eq!((written.version, written.app != 0), (kept.version + 1, true), "{written:?}");
        for _ in 0..3 {
            let read = world.read(entry, of.0, of.1);
            assert_eq!((read.version, read.app != 0), (written.version, true), "{read:?}");
        }
        assert!(world.read(2, of.0, of.1).is_hit(), "nothing was there to go wrong");
        world.to_apps[0].mend();
        until_it_serves(&world, entry, of, 0, written.version);
        world.stores[0].mend();
        is_known_to_all(&world, of, written.version, Instant::now());
    }
    world.stop();
}

#[test]
fn what_could_not_be_told_at_once_is_told_when_the_store_is_there_again() {
    let mut world = World::start();
    let tenant = world.tenant_of(0);
    let of = (tenant.as_str(), "/x");
    let kept = world.keep(of.0, of.1, &[1, 2]);
    world.stamps[0].cut();
    world.stores.iter_mut().for_each(crate::world::cable::Cable::cut);
    let written = world.write(1, of.0, of.1);
    assert_eq!(written.version, kept.version + 1);
    let serves = written.app;
    eventually("it has tried", || world.metric(serves, "cache_failover_tell_failures_total") > 1.0);
    assert_eq!(world.metric(serves, "cache_failover_waiting"), 1.0);
    assert_eq!(world.metric(serves, "cache_failover_told_total"), 0.0);
    world.stamps[0].mend();
    until_it_serves(&world, 1, of, 0, written.version);
    world.stores.iter_mut().for_each(crate::world::cable::Cable::mend);
    eventually("it was told", || world.metric(serves, "cache_failover_told_total") == 1.0);
    is_known_to_all(&world, of, written.version, Instant::now());
    assert_eq!(world.metric(0, "cache_failover_gaps_total"), 0.0, "nothing was missed");
    // a store that has forgotten
    world.keep(of.0, of.1, &[1]);
    let mut raw = redis::Client::open(world.redis.url()).unwrap().get_connection().unwrap();
    let _: u64 = redis::cmd("DEL").arg("{synaxis:rt}:notices").query(&mut raw).unwrap();
    eventually("what was missed is not known", || world.metric(0, "cache_failover_gaps_total") == 1.0);
    assert!(!world.read(1, of.0, of.1).is_hit());
    world.keep(of.0, of.1, &[1]);
    // and one that holds something else
    for fields in [["x", "y", "z", "w"], ["stamp", "synaxis-weu-001", "tenant", "a b"]] {
        let mut add = redis::cmd("XADD");
        let _: String = add.arg("{synaxis:rt}:notices").arg("*").arg(&fields).query(&mut raw).unwrap();
    }
    eventually("it is counted", || world.metric(0, "cache_failover_not_understood_total") == 2.0);
    assert!(!world.read(1, of.0, of.1).is_hit(), "it may have meant anybody");
    world.stop();
}

#[test]
fn who_becomes_a_tenants_owner_again_uses_nothing_from_before() {
    let world = World::start();
    let tenant = world.tenant_of(0);
    let of = (tenant.as_str(), "/x");
    let kept = world.keep(of.0, of.1, &[0, 1, 2]);
    let guards = Guards::default();
    world.edit(|fleet: &Fleet, now| fleet.isolate(&stamp(0), false, &guards, now).unwrap());
    let new = world.write(1, of.0, of.1);
    assert_eq!((new.version, new.app != 0), (kept.version + 1, true));
    for entry in [0, 1, 2] {
        let read = world.read(entry, of.0, of.1);
        assert_eq!(read.version, new.version);
        assert!(read.found.contains("detail=new-owner"), "{read:?}: others may not know yet whose it is");
    }
    let elsewhere = world.keep(of.0, of.1, &[0, 1, 2]);
    assert_eq!(elsewhere.app, new.app);
    let last = world.write(2, of.0, of.1);
    world.edit(|fleet: &Fleet, now| fleet.activate(&stamp(0), 0, now).unwrap());
    for entry in [0, 1, 2] {
        for _ in 0..3 {
            let read = world.read(entry, of.0, of.1);
            assert_eq!((read.version, read.app), (last.version, 0), "{read:?}");
        }
    }
    assert_eq!(world.keep(of.0, of.1, &[0, 1, 2]).version, last.version);
    // a change that concerns nobody leaves everything in use
    let other = TenantId::parse(b"other").unwrap();
    world.edit(|fleet: &Fleet, now| fleet.set_tier(&[other], Some("enterprise"), now).unwrap());
    assert!((0..3).all(|entry| world.read(entry, of.0, of.1).is_hit()));
    world.stop();
}

#[test]
fn who_serves_in_place_of_the_owner_is_told_who_that_is() {
    let redis = Redis::start();
    // the owner, which breaks off, and the next one
    let stamps = [1, 2].map(|index| {
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&heads);
        let raw = Raw::start(move |mut stream| {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while let Some(lines) = head(&mut reader) {
                if lines[0].starts_with("get /x ") {
                    seen.lock().unwrap().extend(lines);
                    if index == 1 {
                        return;
                    }
                }
                let _ = stream.write_all(ok(&format!("X-App: {index}\r\n"), "0").as_bytes());
            }
        });
        (raw, heads)
    });
    let (peer, app) = (free_port(), free_port());
    let ports = [peer, stamps[0].0.address.port(), stamps[1].0.address.port()];
    let fleet = table::active(&[0, 1, 2].map(|index| (stamp(index), ports[index])));
    world::publish(&redis, &fleet, Mode::Init);
    let proxy = proxy(&world::config(0, peer, redis.port, app));
    eventually("it has a table", || proxy.plane().snapshot.load().fleet.is_some());
    let tenant = {
        let snapshot = proxy.plane().snapshot.load();
        let placement = &snapshot.fleet.as_ref().unwrap().placement;
        let order = |name: &String| {
            let hand = placement.hand(&TenantId::parse(name.as_bytes()).unwrap(), RegionIndex(0), 0).unwrap();
            hand.iter().map(|candidate| placement.stamp(candidate.stamp).id.clone()).eq([1, 2, 0].map(stamp))
        };
        (0..).map(|number| format!("tenant-{number}")).find(order).unwrap()
    };
    for _ in 0..2 {
        assert_eq!(Client::connect(proxy.edges[0]).get(&tenant, "/x").header("x-app"), Some("2"));
    }
    let [owner, next] = stamps.each_ref().map(|(_, heads)| heads.lock().unwrap().clone());
    let fields = |heads: &[String], start: &str| -> Vec<String> {
        heads.iter().filter(|line| line.starts_with(start)).cloned().collect()
    };
    assert_eq!(fields(&next, "x-synaxis-owner:"), vec![format!("x-synaxis-owner: {}", stamp(1)); 2]);
    assert_eq!(fields(&owner, "x-synaxis-owner:")[0], format!("x-synaxis-owner: {}", stamp(1)));
    assert_eq!(fields(&owner, "x-synaxis-cache:"), ["x-synaxis-cache: bypass"], "{owner:?}");
    // what the owner was told the next one is not
    assert!(fields(&next, "x-synaxis-cache:").is_empty(), "{next:?}");
    stop(proxy);
}

#[test]
fn only_stamps_say_that_nothing_kept_is_to_be_used() {
    let world = World::start();
    let tenant = world.tenant_of(0);
    let kept = world.keep(&tenant, "/x", &[0, 1]);
    for entry in [0, 1] {
        // an app that sees the field fails
        let read = world.read_with(entry, &tenant, "/x", "X-Synaxis-Cache: bypass\r\n");
        assert!(read.is_hit() && read.version == kept.version, "{read:?}");
        assert!(!world.read_with(entry, &tenant, &format!("/{entry}"), "X-Synaxis-Cache: bypass\r\n").is_hit());
    }
    let version = world.proxies[0].plane().snapshot.load().fleet.as_ref().unwrap().placement.version();
    let forward = |fields: &str| {
        let request = format!(
            "GET /x HTTP/1.1\r\nHost: app.example\r\nX-Tenant-Id: {tenant}\r\nX-Synaxis-Hop: 1\r\n\
             X-Synaxis-Epoch: {version}\r\nX-Synaxis-Entry: {}\r\nX-Synaxis-Tenant: {tenant}\r\n{fields}\r\n",
            stamp(1)
        );
        let answer = Client::connect(world.proxies[0].peers[0]).exchange(request.as_bytes()).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.header("cache-status").unwrap().to_owned()
    };
    let owner = |id: &str| format!("X-Synaxis-Owner: {id}\r\n");
    let me = owner(stamp(0).as_str());
    assert!(forward(&me).contains("; hit"));
    for value in ["bypass", "", "x"] {
        let found = forward(&format!("{me}X-Synaxis-Cache: {value}\r\n"));
        assert!(found.contains("fwd=bypass") && found.contains("failover"), "{found}");
    }
    // whose owner somebody else is, or nobody knows
    for strange in [String::new(), owner(stamp(1).as_str()), owner("x"), format!("{me}{me}")] {
        let found = forward(&strange);
        assert!(found.contains("fwd=bypass") && found.contains("not-owner"), "{found}");
    }
    assert!(forward(&me).contains("; hit"));
    world.stop();
}
