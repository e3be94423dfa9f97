//! Levels that operators set through the table: at the stamp that serves, whoever is the entry.

use std::time::Duration;

use synaxis_routing::{
    change::{Changed, Fleet, Whom},
    degradation::Level,
    table::Millis,
};

use super::world::{World, stamp};
use crate::world::{Answer, Client, eventually};

const HEADER: &str = "[degradation]\nheader = true\n";

fn degrade(world: &World, whom: Whom, level: Level) {
    world.edit(|fleet: &Fleet, now: Millis| -> Changed {
        fleet.degrade(&whom, level, 3_600_000, "a test", now).unwrap()
    });
}

/// Waits until the proxy of a stamp is at this level.
fn at(world: &World, index: usize, level: Level) {
    let proxy = world.proxies[index].as_ref().unwrap();
    eventually("the level", || proxy.plane().degradation.now().level == level);
}

fn post(world: &World, entry: usize, tenant: &str) -> Answer {
    let head = format!("POST /x HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: {tenant}\r\nContent-Length: 0\r\n\r\n");
    world.edge(entry).exchange(head.as_bytes()).unwrap()
}

/// A tenant of each stamp.
fn tenants(world: &World) -> [String; 3] {
    let owners = world.placed(0);
    [0, 1, 2].map(|index| owners.iter().find(|(_, owner)| owner.as_str() == stamp(index).as_str()).unwrap().0.clone())
}

#[test]
fn a_stamp_that_only_reads_refuses_its_own_tenants_through_every_entry_and_no_others() {
    let world = World::start_with(HEADER);
    let tenants = tenants(&world);
    degrade(&world, Whom::Stamp(stamp(1)), Level::ReadOnly);
    at(&world, 1, Level::ReadOnly);
    for entry in 0..3 {
        for (index, tenant) in tenants.iter().enumerate() {
            let (written, read) = (post(&world, entry, tenant), world.edge(entry).get(tenant, "/x"));
            let level = Some(if index == 1 { "read-only" } else { "full" });
            assert_eq!((read.status, read.header("x-synaxis-degradation")), (200, level), "{tenant} at {entry}");
            assert_eq!(read.json()["stamp"], stamp(index).as_str());
            if index == 1 {
                // final: a write must not walk through the fleet
                assert_eq!((written.status, written.reason().as_str()), (503, "read_only"));
                assert_eq!(written.header("retry-after"), Some("30"));
            } else {
                assert_eq!(written.status, 200, "{}", written.text());
            }
            assert_eq!(written.header("x-synaxis-degradation"), level);
        }
    }
    let shown = world.ask(1, "/degradation").json();
    assert_eq!(shown["overrides"]["stamp"]["reason"], "a test");
    assert_eq!(world.ask(0, "/degradation").json()["level"], "full");
    world.edit(|fleet, now| fleet.clear_degradation(&Whom::Stamp(stamp(1)), now).unwrap());
    at(&world, 1, Level::Full);
    assert_eq!(post(&world, 0, &tenants[1]).status, 200);
    world.stop();
}

#[test]
fn tenants_of_a_stamp_in_maintenance_are_served_by_their_next_one() {
    let world = World::start();
    let tenants = tenants(&world);
    degrade(&world, Whom::Stamp(stamp(1)), Level::Maintenance);
    at(&world, 1, Level::Maintenance);
    let before = world.origins[1].count();
    for entry in 0..3 {
        for tenant in &tenants {
            for answer in [post(&world, entry, tenant), world.edge(entry).get(tenant, "/x")] {
                assert_eq!(answer.status, 200, "{tenant} at {entry}: {}", answer.text());
                assert_ne!(answer.json()["stamp"], stamp(1).as_str());
            }
        }
        let health = Client::connect(world.proxies[entry].as_ref().unwrap().edges[0])
            .exchange(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        assert_eq!(health.status, if entry == 1 { 503 } else { 200 }, "Front Door goes elsewhere");
    }
    assert_eq!(world.origins[1].count(), before, "its app sees nothing");
    // what it says to other stamps
    let (epoch, tenant) = (world.current().0.version(), &tenants[1]);
    let forward = format!(
        "GET /x HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\nX-Synaxis-Hop: 1\r\nX-Synaxis-Epoch: {epoch}\r\nX-Synaxis-Entry: {}\r\nX-Synaxis-Tenant: {tenant}\r\n\r\n",
        stamp(0)
    );
    let peer = world.proxies[1].as_ref().unwrap().peers[0];
    let answer = Client::connect(peer).exchange(forward.as_bytes()).unwrap();
    assert_eq!((answer.status, answer.header("x-synaxis-processed")), (503, Some("no")));
    assert_eq!(answer.header("x-synaxis-reason"), Some("maintenance"));
    world.stop();
}

#[test]
fn maintenance_of_the_fleet_is_everywhere_and_final() {
    let world = World::start();
    let tenants = tenants(&world);
    degrade(&world, Whom::Fleet, Level::Maintenance);
    (0..3).for_each(|index| at(&world, index, Level::Maintenance));
    let before: usize = world.origins.iter().map(|origin| origin.count()).sum();
    for entry in 0..3 {
        for tenant in &tenants {
            let answer = world.edge(entry).get(tenant, "/x");
            assert_eq!((answer.status, answer.reason().as_str()), (503, "maintenance"));
            assert_eq!(answer.header("x-synaxis-processed"), None, "nobody else has it");
        }
        assert_eq!(world.ask(entry, "/readyz").status, 200, "the process is well");
    }
    assert_eq!(world.origins.iter().map(|origin| origin.count()).sum::<usize>(), before);
    let forwarded: Vec<String> = (0..3).map(|entry| world.ask(entry, "/metrics").text()).collect();
    assert!(forwarded.iter().all(|text| text.contains("\nforwarded_total 0\n")), "nothing was sent on");
    world.edit(|fleet, now| fleet.clear_degradation(&Whom::Fleet, now).unwrap());
    (0..3).for_each(|index| at(&world, index, Level::Full));
    assert_eq!(world.edge(0).get(&tenants[2], "/x").status, 200);
    world.stop();
}

#[test]
fn the_level_of_an_entry_is_not_that_of_what_it_sends_on() {
    let world = World::start_with(HEADER);
    let tenants = tenants(&world);
    let entry = world.proxies[0].as_ref().unwrap();
    entry.status().degradation.tell(entry.plane(), Some((Level::ReadOnly, Duration::from_secs(60))));
    assert_eq!(post(&world, 0, &tenants[0]).reason(), "read_only");
    let elsewhere = post(&world, 0, &tenants[1]);
    assert_eq!((elsewhere.status, elsewhere.header("x-synaxis-degradation")), (200, Some("full")));
    world.stop();
}

#[test]
fn when_every_stamp_is_in_maintenance_on_its_own_the_client_is_told_so() {
    let world = World::start();
    let tenants = tenants(&world);
    for proxy in world.running() {
        proxy.status().degradation.tell(proxy.plane(), Some((Level::Maintenance, Duration::from_secs(60))));
    }
    for tenant in &tenants {
        let answer = world.edge(0).get(tenant, "/x");
        assert_eq!((answer.status, answer.reason().as_str()), (503, "maintenance"));
        assert_eq!(answer.header("retry-after"), Some("30"));
    }
    world.stop();
}
