//! Who serves a tenant, and who serves it when stamps come and go.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use synaxis_routing::change::{Drain, Guards, Overrides};

use super::{
    load::Load,
    world::{TENANTS, World, stamp},
};
use crate::world::{Process, eventually};

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
    let next = world.candidates(0);
    let load = Load::start(&world, &[0, 1, 2]);
    load.round();
    world.edit(|fleet, now| fleet.drain(&stamp(2), below_minimum(2), &Guards::default(), now).unwrap());
    eventually("the stamp has nothing left", || {
        world.placed(0).values().all(|owner| owner.as_str() != stamp(2).as_str())
    });
    load.round();
    world.edit(|fleet, now| fleet.cancel_drain(&stamp(2), 2, now).unwrap());
    eventually("the tenants are back", || world.placed(0) == before);
    load.round();
    for outcome in load.end(&world) {
        assert!(!outcome.answered.is_empty() && outcome.failed.is_empty(), "{:?}", outcome.failed);
        assert_eq!(outcome.path.len(), TENANTS);
        for (tenant, path) in outcome.path {
            let home = &before[&tenant];
            if home == stamp(2).as_str() {
                // out to its next candidate, the same at every entry, and back: nowhere else and never twice
                assert_eq!(path, [home.clone(), next[&tenant][1].clone(), home.clone()], "{tenant}");
            } else {
                assert_eq!(path, std::slice::from_ref(home), "{tenant} does not belong to the draining stamp");
            }
        }
    }
    world.stop();
}

#[test]
fn a_dead_stamps_tenants_are_served_by_their_next_candidate() {
    let mut world = World::start();
    let before = world.owners(0);
    let next = world.candidates(0);
    let load = Load::start(&world, &[0, 1]);
    load.round();
    world.halt(2);
    let gone = Instant::now();
    load.round();
    for outcome in load.end_after_a_death(&world) {
        // also what was in flight there has been answered, by the next one
        assert!(outcome.failed.is_empty(), "{gone:?}: {:?}", outcome.failed);
    }
    for entry in 0..2 {
        for (tenant, owner) in world.owners(entry) {
            let expected = if before[&tenant] == stamp(2).as_str() { &next[&tenant][1] } else { &before[&tenant] };
            assert_eq!(owner, *expected, "{tenant} at entry {entry}");
        }
    }
    world.stop();
}

#[test]
fn an_app_that_is_down_sends_its_tenants_to_the_next_candidate() {
    let world = World::start();
    let next = world.candidates(0);
    world.origins[2].stop();
    eventually("its app is gone", || std::net::TcpStream::connect(world.origins[2].address).is_err());
    for entry in 0..3 {
        for (tenant, owner) in world.owners(entry) {
            let expected = next[&tenant].iter().find(|candidate| candidate.as_str() != stamp(2).as_str()).unwrap();
            assert_eq!(owner, *expected, "{tenant} at entry {entry}");
        }
    }
    // also with a body that has not come yet when the first stamp says that its app is gone
    let of_the_dead = next.iter().find(|(_, hand)| hand[0] == stamp(2).as_str()).unwrap().0;
    for entry in 0..3 {
        let mut client = world.edge(entry);
        let head =
            format!("POST /up HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: {of_the_dead}\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.send(head.as_bytes());
        thread::sleep(Duration::from_millis(50));
        client.send(b"5\r\nhello\r\n");
        thread::sleep(Duration::from_millis(50));
        client.send(b"6\r\n world\r\n0\r\n\r\n");
        let answer = client.answer(false).unwrap().json();
        assert_eq!(
            (&answer["size"], &answer["stamp"]),
            (&11.into(), &next[of_the_dead][1].as_str().into()),
            "entry {entry}"
        );
    }
    world.stop();
}

#[test]
fn a_stamps_proxy_that_is_killed_loses_no_request_that_was_not_at_its_app() {
    let mut world = World::start();
    let next = world.candidates(0);
    world.halt(2);
    let config = world.folder.path().join("2.toml");
    fs::write(&config, world.config(2)).unwrap();
    let (mut process, _) = Process::proxy(&config);
    let of_the_third = |world: &World| {
        let owners = world.owners(0);
        owners.values().filter(|owner| owner.as_str() == stamp(2).as_str()).count()
    };
    eventually("the process serves its tenants", || of_the_third(&world) > 200);
    let load = Load::start(&world, &[0, 1]);
    load.round();
    process.signal("KILL");
    assert!(!process.wait().success());
    // a kernel closes the connections of a dying process one after the other: until the last is closed, each of them
    // can still swallow a request
    let gone = Instant::now();
    load.round();
    for outcome in load.end_after_a_death(&world) {
        assert!(outcome.failed.iter().all(|failure| failure.begun < gone), "{gone:?}: {:?}", outcome.failed);
    }
    for entry in 0..2 {
        for (tenant, owner) in world.owners(entry) {
            let alive = next[&tenant].iter().find(|candidate| candidate.as_str() != stamp(2).as_str()).unwrap();
            assert_eq!(owner, *alive, "{tenant} at entry {entry}");
        }
    }
    world.stop();
}
