//! Who serves a tenant, and who serves it when stamps come and go.

use std::{thread, time::Duration};

use synaxis_routing::change::{Drain, Guards, Overrides};

use super::{
    load::Load,
    world::{TENANTS, World, stamp},
};
use crate::world::eventually;

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
