//! Tenants by what they make: which are hot, what a plan moves of real requests, and which stamp one is assigned to.

use serde_json::json;
use synaxis_routing::{
    id::{StampId, TenantId},
    traffic::{Traffic, hour_of},
};

use crate::{World, now, redis::Redis};

fn stamp(id: &str) -> StampId {
    StampId::parse(&format!("synaxis-{id}")).unwrap()
}

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name.as_bytes()).unwrap()
}

/// Two stamps; of the first a day is known in which these tenants made so many of 100 requests a second.
async fn day(redis: &Redis, tenants: &[(&str, u64)]) {
    let traffic = Traffic::open(&redis.url(), "synaxis").unwrap();
    let last = hour_of(now()) - 1;
    for hour in last - 23..=last {
        let tenants = tenants.iter().map(|(name, rate)| (tenant(name), rate * 3_600));
        traffic.add(&stamp("weu-001"), hour, 360_000, tenants).await.unwrap();
    }
    // the hour that is not over counts for nobody
    traffic.add(&stamp("weu-001"), last + 1, 1_000, [(tenant("early"), 1_000)]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_above_a_tenth_is_told_with_where_and_how_much() {
    let (world, redis) = (World::file().with(&["weu-001", "weu-002"]), Redis::start());
    day(&redis, &[("acme", 20), ("globex", 9)]).await;
    world.run("tenant set acme --tier starter").code(0);
    let store = format!("--limits-store {}", redis.url());
    let text = world.run(&format!("tenant hot {store}")).code(0).out;
    assert!(text.contains("acme    synaxis-weu-001  20 %   20") && !text.contains("globex"), "{text}");
    assert!(text.contains("no hour is known of synaxis-weu-002"), "{text}");
    let found = world.json(&format!("tenant hot {store}"));
    let row = &found["tenants"][0];
    assert_eq!(
        (&row["tenant"], &row["stamp"], &row["tier"]),
        (&json!("acme"), &json!("synaxis-weu-001"), &json!("starter"))
    );
    assert_eq!((&row["hours"], &row["per_second"], &row["percent"]), (&json!(24), &json!(20.0), &json!(20.0)));
    assert_eq!((found["tenants"].as_array().unwrap().len(), &found["stamps"][0]["known_hours"]), (1, &json!(24)));
    for (flags, count) in
        [("--floor 20.5", 0), ("--enter 8", 2), ("--hours 25", 0), ("--enter 20", 0), ("--floor 0", 1)]
    {
        let found = world.json(&format!("tenant hot {store} {flags}"));
        assert_eq!(found["tenants"].as_array().unwrap().len(), count, "{flags}");
    }
    // by the environment, and below another prefix where nothing is
    let mut command = world.command();
    command.env("SYNAXIS_LIMITS_STORE", redis.url()).args(["tenant", "hot", "--limits-key-prefix", "other"]);
    let output = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert!(output.contains("no tenant is hot"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_how_many_requests_move_and_does_without_a_store_that_is_away() {
    let (world, redis) = (World::file().with(&["weu-001", "weu-002"]), Redis::start());
    let owner = world.json("explain acme")["choice"].clone();
    day(&redis, &[("acme", 20)]).await;
    let store = format!("--limits-store {}", redis.url());
    let drained = world.run(&format!("plan weight weu-001 50 {store}")).code(0).out;
    assert!(
        drained.contains("requests/s (") && drained.contains("nothing is known of 1 stamps: synaxis-weu-002"),
        "{drained}"
    );
    let plan = world.json(&format!("plan tenant pin acme weu-002 {store}"));
    let moving = if owner == "synaxis-weu-001" { 20.0 } else { 0.0 };
    assert_eq!(
        (&plan["requests"]["per_second"], &plan["requests"]["moving"]),
        (&json!(100.0), &json!(moving)),
        "{plan}"
    );
    let named = plan["plan"].as_str().unwrap().to_owned();
    drop(redis);
    let without = world.run(&format!("plan tenant pin acme weu-002 {store} -o json")).code(0);
    assert!(without.json()["requests"].is_null() && without.err.contains("how many requests move is not known"));
    // what is known of requests is no part of a plan
    world.run(&format!("apply {named} tenant pin acme weu-002")).code(0);
    world.run(&format!("tenant hot {store}")).code(1).says(&["the limits store"]);
}

#[test]
fn a_tenant_gets_the_emptiest_stamp_that_has_room_and_the_last_one_is_told_to_provision() {
    let world = World::file().with(&["weu-001", "weu-002"]);
    world.run("register weu-003 --endpoint https://weu-003.stamp.internal:8443 --dedicated").code(0);
    world.run("activate weu-003 --ramp 0s").code(0);
    for name in ["a", "b", "c", "d"] {
        world.run(&format!("tenant assign {name} --tier professional --size professional=2")).code(0);
    }
    let pins = |stamp: &str| world.json(&format!("tenant list --stamp {stamp}"))["tenants"].as_array().unwrap().len();
    assert_eq!((pins("weu-001"), pins("weu-002"), pins("weu-003")), (2, 2, 0));
    let full = world.run("tenant assign e --tier professional --size professional=2").code(5);
    full.says(&["no stamp in any region has room", "each of 2 active stamps takes 2", "stampctl register"]);
    // by the defaults there is room
    let version = world.version();
    world.run("tenant assign e --tier professional --dry-run").code(0);
    assert_eq!(world.version(), version);
    let plan =
        world.json("plan tenant assign e --tier professional --stamp weu-002")["plan"].as_str().unwrap().to_owned();
    world.run(&format!("apply {plan} tenant assign e --tier professional --stamp weu-001")).code(6);
    world.run(&format!("apply {plan} tenant assign e --tier professional --stamp weu-002")).code(0);
    assert_eq!(pins("weu-002"), 3);
    world.run("tenant assign e --tier professional --stamp weu-002").code(0);
    // a stamp of its own
    world.run("tenant assign big --tier enterprise").code(0);
    assert_eq!(pins("weu-003"), 1);
    world.run("tenant assign huge --tier enterprise").code(5).says(&["dedicated", "--dedicated"]);
    world.run("tenant assign small --tier starter --stamp weu-003").code(5).says(&["no stamp on synaxis-weu-003"]);
    let listed = world.json("tenant list --stamp weu-003");
    assert_eq!(
        (&listed["tenants"][0]["tier"], &listed["tenants"][0]["pin_mode"]),
        (&json!("enterprise"), &json!("strict"))
    );
    let history = world.run("history").code(0).out;
    assert!(history.contains("assign tenant big of tier enterprise to synaxis-weu-003"), "{history}");
}

#[test]
fn nonsense_is_refused_before_anything_is_written() {
    let empty = World::file();
    empty.run("tenant assign acme --tier starter").code(4);
    empty.run("init --regions weu").code(0);
    empty.run("tenant assign acme --tier starter").code(5).says(&["no stamp in any region has room"]);
    let world = World::file().with(&["weu-001"]);
    let before = world.version();
    world.run("tenant assign acme --tier gold").code(2).says(&["\"gold\"", "--size gold=N"]);
    world.run("tenant assign acme --tier starter --stamp weu-009").code(4);
    world.run("tenant hot").code(2).says(&["--limits-store"]);
    world.run("tenant hot --limits-store redis://127.0.0.1:1 --leave 11").code(2).says(&["--leave"]);
    world.run("plan tenant hot").code(2).says(&["changes nothing"]);
    for bad in [
        vec!["tenant", "assign", "a/b", "--tier", "starter"],
        vec!["tenant", "assign", "acme"],
        vec!["tenant", "assign", "acme", "--tier", "starter", "--size", "starter=0"],
        vec!["tenant", "assign", "acme", "--tier", "starter", "--size", "starter=-1"],
        vec!["tenant", "assign", "acme", "--tier", "starter", "--size", "Gold=1"],
        vec!["tenant", "assign", "acme", "--tier", "\u{1b}[2J"],
        vec!["tenant", "hot", "--floor", "NaN"],
        vec!["tenant", "hot", "--floor", "inf"],
        vec!["tenant", "hot", "--hours", "0"],
        vec!["tenant", "hot", "--enter", "101"],
        vec!["tenant", "hot", "--limits-store", "gopher://me:hunter2@x"],
        vec!["tenant", "hot", "--limits-store", "file:/tmp"],
        vec!["tenant", "hot", "--limits-store", "redis://127.0.0.1:1", "--limits-key-prefix", "a b"],
    ] {
        let ran = world.args(&bad).code(2);
        assert!(!ran.err.contains("hunter2") && !ran.err.contains('\u{1b}'), "{bad:?}: {}", ran.err);
    }
    assert_eq!(world.version(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_the_limits_store_is_unknown() {
    let (world, redis) = (World::file().with(&["weu-001"]), Redis::start());
    let last = hour_of(now()) - 1;
    for (hour, command) in [(last, "SET"), (last - 1, "HSET"), (last - 2, "LPUSH")] {
        let more = if command == "HSET" { "* nonsense \\x1b[2J 5" } else { "nonsense" };
        redis.try_command(&format!("{command} synaxis:top:synaxis-weu-001:{hour} {more}")).unwrap();
    }
    let store = format!("--limits-store {}", redis.url());
    let text = world.run(&format!("tenant hot {store}")).code(0).out;
    assert_eq!(text, "no tenant is hot\nno hour is known of synaxis-weu-001\n");
    let plan = world.run(&format!("plan weight weu-001 50 {store}")).code(0).out;
    assert!(plan.contains("nothing is known of 1 stamps"), "{plan}");
}
