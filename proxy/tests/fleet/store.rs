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
