//! The store dies, comes back and lies.

use std::fs;

use synaxis_routing::{
    bundle::{Bundle, Head},
    change::Fleet,
    id::Region,
    store::Mode,
    table::{Scope, Seed},
};

use super::world::World;
use crate::world::eventually;

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
    assert_eq!(world.ask(0, "/routing").json()["source"], "disk");
    assert_eq!(world.owners(0), before);
    // from a peer
    world.halt(1);
    fs::remove_file(world.snapshot(1)).unwrap();
    world.boot(1);
    eventually("a proxy starts from a peer", || {
        world.proxies[1].as_ref().unwrap().plane().snapshot.load().fleet.is_some()
    });
    assert_eq!(world.ask(1, "/routing").json()["source"], "peer");
    assert_eq!(world.owners(1), before);

    // back, but empty
    world.redis.restart();
    eventually("the empty store is noticed", || {
        (0..3).all(|index| world.refused(index).as_deref() == Some("store_empty"))
    });
    // who has seen a stamp go and come back asks it again once its probes have passed
    for entry in 0..3 {
        eventually("everybody is asked again", || world.owners(entry) == before);
    }
    // a new fleet in it is no newer than what was applied
    let older = Fleet::blank(vec![Region::parse("weu").unwrap()], Scope::Region, Seed(9), 16).unwrap();
    overwrite(&world, &older.init(1).unwrap().fleet, None);
    eventually("the older table is refused", || (0..3).all(|index| world.refused(index).as_deref() == Some("stale")));
    assert_eq!(world.owners(0), before);

    // hostile endpoints and a document that is not what its head says, each as a newer epoch
    let admin = world.proxies[0].as_ref().unwrap().admin;
    for (epoch, endpoint, table, reason, words) in [
        (50, "https://169.254.169.254:8443", None, "endpoint_forbidden", "169.254.169.254"),
        (51, &format!("http://{admin}"), None, "endpoint_forbidden", &admin.port().to_string()),
        (52, &good.table.stamps[1].endpoint.clone(), Some("{}"), "hash_mismatch", "fetch it again"),
    ] {
        let mut hostile = good.clone();
        hostile.table.epoch = epoch;
        hostile.table.stamps[1].endpoint = endpoint.to_owned();
        overwrite(&world, &hostile, table);
        eventually(&format!("{epoch} is refused with {reason} and {words}"), || {
            let text = world.ask(0, "/readyz?verbose").text();
            text.lines().any(|line| line.contains(&format!("table refused: {reason} ")) && line.contains(words))
        });
        assert_eq!(world.owners(0), before);
    }

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

#[test]
fn a_refused_table_is_not_fetched_and_built_with_every_look() {
    let world = World::start();
    let (good, _) = world.current();
    let refusals = |world: &World, reason: &str| -> f64 {
        let text = world.ask(0, "/metrics").text();
        let line = format!("routing_refusals_total{{reason=\"{reason}\"}} ");
        text.lines().find_map(|known| known.strip_prefix(&line)).map_or(0.0, |count| count.parse().unwrap())
    };
    let mut conflicting = good.clone();
    conflicting.table.stamps[2].weight += 1;
    let mut shrunk = good;
    shrunk.table.epoch += 1;
    shrunk.table.previous.takers = 3;
    shrunk.table.stamps.truncate(1);
    for (told, reason) in [(conflicting, "digest_conflict"), (shrunk, "shrink")] {
        overwrite(&world, &told, None);
        eventually("it is refused", || world.refused(0).as_deref() == Some(reason));
        // it looks at the head every 200 ms
        std::thread::sleep(std::time::Duration::from_millis(900));
        assert!(refusals(&world, reason) <= 1.0, "{reason}: {}", refusals(&world, reason));
    }
    world.stop();
}

/// Writes a table past every check, as a broken or hostile writer would; with another document than its head says.
fn overwrite(world: &World, fleet: &Fleet, table: Option<&str>) {
    let bundle = Bundle::encode(&fleet.table, &fleet.tenants, "raw").unwrap();
    world.runtime.block_on(async {
        let client = redis::Client::open(world.redis.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let head = Head::parse(&bundle.head).unwrap();
        let mut pipe = redis::pipe();
        pipe.atomic()
            .set(format!("{{synaxis:rt}}:table:{}", fleet.table.epoch), table.map_or(&bundle.table[..], str::as_bytes))
            .set(format!("{{synaxis:rt}}:tenants:{}", head.tenants_hash), &bundle.tenants[..])
            .set("{synaxis:rt}:head", &bundle.head[..]);
        let _: () = pipe.query_async(&mut connection).await.unwrap();
    });
}
