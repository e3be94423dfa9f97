//! Proxies and their acknowledgements: waiting, disagreement, stores that went back in time.

use std::time::Duration;

use synaxis_routing::version::Version;

use crate::World;

/// Lets a proxy apply whatever is published, as long as the returned task lives.
fn applies(world: &World, proxy: &'static str) -> tokio::task::JoinHandle<()> {
    let world = World { url: world.url.clone(), folder: tempfile::TempDir::new().unwrap(), _redis: None };
    tokio::spawn(async move {
        loop {
            world.report(proxy, "weu-001", None, None).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_waits_until_every_live_proxy_has_it() {
    for world in [World::file(), World::redis()] {
        let world = world.with(&["weu-001", "weu-002", "weu-003"]);
        world.report("first", "weu-001", None, None).await;
        let follower = applies(&world, "first");
        let report = world.json("weight weu-001 7");
        assert_eq!(report["proxies"]["confirmed"][0], "first");

        // a second one does not move: published, but the wait times out
        world.report("second", "weu-002", None, None).await;
        let stuck = world.run("weight weu-001 8 --timeout 700ms").code(3);
        assert!(stuck.out.contains("published 1.9"), "{}", stuck.out);
        let stuck = stuck.says(&["1.9 is in the store", "second (at 1.8)", "epoch --wait"]);
        assert!(!stuck.err.contains("first"));
        let waiting = world.run("epoch --wait --timeout 300ms -o json").code(3).json();
        assert_eq!(waiting["proxies"]["waiting"][0]["proxy"], "second");
        world.run("epoch").code(0);
        world.run("weight weu-001 9 --no-wait").code(0);

        let sums = world.json("list");
        let row = &sums["stamps"][0];
        assert_eq!((&row["live"]["connections"], &row["live"]["proxies"]), (&12.into(), &1.into()));
        assert_eq!(world.json("status weu-001")["proxies"][0]["proxy"], "first");

        world.report("second", "weu-002", None, None).await;
        world.run("epoch --wait --timeout 5s").code(0);
        follower.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_decides_differently_is_a_failure() {
    let world = World::file().with(&["weu-001", "weu-002"]);
    world.report("odd", "weu-001", None, Some("0123456789abcdef")).await;
    world.run("epoch --wait").code(1).says(&["odd", "decides differently"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_whose_proxies_are_elsewhere_is_not_written_without_saying_so() {
    for world in [World::file(), World::redis()] {
        let world = world.with(&["weu-001", "weu-002"]);
        let old = Version::new(1, 1);
        world.report("stale", "weu-001", Some(old), Some("0000000000000000")).await;
        let before = world.version();
        world.run("weight weu-001 7").code(1).says(&["--no-proxies"]);
        assert_eq!(world.version(), before);
        world.run("weight weu-001 7 --no-proxies --no-wait").code(0);
        assert_eq!(world.version(), before.next());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_went_back_in_time_is_not_written_but_recovered() {
    for world in [World::file(), World::redis()] {
        let world = world.with(&["weu-001", "weu-002"]);
        let ahead = Version::new(1, 40);
        world.report("ahead", "weu-001", Some(ahead), Some("0000000000000000")).await;
        let before = world.version();
        world.run("weight weu-001 7").code(1).says(&["recover"]);
        let shown = world.run("epoch").code(0);
        assert!(shown.out.contains("went back in time"), "{}", shown.out);
        assert_eq!(world.version(), before);
        // its only proxy does not answer
        world.run("recover").code(1).says(&["no proxy gave a table"]);
        // a file does
        world.run("export table.bin").code(0);
        world.run("import table.bin --timeout 300ms").code(3);
        assert_eq!(world.version(), Version::new(2, 41));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stamp_that_is_still_busy_becomes_ready_by_force_only_and_keeps_a_warning() {
    let world = World::file().with(&["weu-001", "weu-002", "weu-003"]);
    world.run("drain weu-003 --ramp 0s").code(0);
    world.report("busy", "weu-003", None, None).await;
    world.run("standby weu-003").code(5).says(&["12 connections and 3 requests in flight", "--force"]);
    let follower = applies(&world, "other");
    world.run("standby weu-003 --force --no-wait").code(0);
    follower.abort();
    let status = world.json("status weu-003");
    assert_eq!(status["state"], "ready");
    assert_eq!(status["warnings"][0], "12 connections and 3 requests in flight were cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_lost_its_table_is_recovered_and_not_begun_anew() {
    let world = World::redis().with(&["weu-001", "weu-002"]);
    world.report("survivor", "weu-001", None, None).await;
    world._redis.as_ref().unwrap().try_command("DEL {synaxis:rt}:head").unwrap();
    world.run("list").code(4).says(&["stampctl recover"]);
    world.run("weight weu-001 7").code(4).says(&["stampctl recover"]);
    world.run("init --regions weu").code(1).says(&["stampctl recover"]);
    let register = "register weu-009 --endpoint https://weu-009.stamp.internal:8443 --init";
    world.run(register).code(1).says(&["stampctl recover"]);
}
