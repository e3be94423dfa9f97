//! Levels of degradation set by hand: shown, ended, planned, refused.

use serde_json::{Value, json};
use synaxis_routing::ack::Ack;

use crate::World;

/// What holds for a stamp now: level and reason.
fn degraded(world: &World, stamp: &str) -> Option<(u64, String)> {
    let status = world.json(&format!("status {stamp}"));
    let it = status["degraded"].as_object()?;
    Some((it["level"].as_u64()?, it.get("reason").and_then(Value::as_str).unwrap_or_default().to_owned()))
}

fn sets_and_clears(world: &World) {
    let set =
        world.args(&["degrade", "read-only", "--fleet", "--for", "10m", "--reason", "the database moves"]).code(0);
    for expected in
        ["degrade the fleet to read-only for 600 s: the database moves", "~ table  degradation: none → fleet"]
    {
        assert!(set.out.contains(expected), "{expected}: {}", set.out);
    }
    assert_eq!(degraded(world, "weu-001"), Some((3, "the database moves".to_owned())));
    world.run("degrade 4 --stamp weu-002").code(0);
    assert_eq!(degraded(world, "weu-002"), Some((4, String::new())));
    let list = world.json("list");
    let levels: Vec<_> =
        list["stamps"].as_array().unwrap().iter().map(|stamp| stamp["degraded"]["level"].as_u64()).collect();
    assert_eq!((&list["degraded"]["level"], levels), (&json!(3), vec![Some(3), Some(4)]));
    let text = world.run("list").code(0).out;
    assert_eq!(text.matches("DEGRADED").count(), 2, "the fleet once, the stamp that differs once: {text}");
    assert!(world.run("status weu-002").code(0).out.contains("maintenance until"));
    assert_eq!(world.json("history -n 1")[0]["what"], "degrade synaxis-weu-002 to maintenance for 1800 s");

    let vain = world.run("degrade ai-degraded --stamp weu-001").code(0);
    vain.says(&["the whole fleet is read-only"]);
    let cleared = world.run("degrade --clear --fleet").code(0);
    assert!(cleared.out.contains("end the degradation of the fleet"), "{}", cleared.out);
    cleared.says(&["still set: synaxis-weu-001 ai-degraded", "synaxis-weu-002 maintenance"]);
    world.run("degrade full --stamp weu-002").code(0);
    assert_eq!((degraded(world, "weu-001").map(|it| it.0), degraded(world, "weu-002")), (Some(1), None));
    world.run("degrade --clear --stamp weu-001").code(0);
    let nothing = world.run("degrade --clear --fleet").code(0);
    assert!(nothing.out.contains("nothing to change: no level is set for the fleet"), "{}", nothing.out);
    assert_eq!(world.json("list")["degraded"], Value::Null);
}

#[test]
fn a_level_is_set_shown_and_cleared_in_a_folder() {
    sets_and_clears(&World::file().with(&["weu-001", "weu-002"]));
}

#[test]
fn a_level_is_set_shown_and_cleared_in_redis() {
    sets_and_clears(&World::redis().with(&["weu-001", "weu-002"]));
}

#[test]
fn a_level_ends_by_itself() {
    let world = World::file().with(&["weu-001"]);
    world.run("degrade maintenance --fleet --for 1s").code(0);
    let version = world.version();
    assert_eq!(degraded(&world, "weu-001").map(|it| it.0), Some(4));
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    assert_eq!(degraded(&world, "weu-001"), None);
    assert_eq!(world.version(), version, "nobody had to publish that");
    // and leaves the table with the next change
    let next = world.json("weight weu-001 7");
    assert!(
        next["differences"].as_array().unwrap().iter().any(|d| d["field"] == "degradation" && d["after"].is_null())
    );
}

#[test]
fn a_level_is_planned_and_tried_like_every_change() {
    let world = World::file().with(&["weu-001", "weu-002"]);
    let before = (world.json("epoch"), world.json("history -n 100"));
    let command = "degrade cache-degraded --stamp weu-001 --for 1h";
    world.run(&format!("{command} --dry-run")).code(0).says(&["nothing was published"]);
    let plan = world.json(&format!("plan {command}"));
    assert_eq!(plan["differences"][0]["after"]["stamps"]["synaxis-weu-001"]["level"], 2);
    assert!(plan["moves"]["regions"].as_array().unwrap().iter().all(|region| region["moved"] == 0), "{plan}");
    assert_eq!((world.json("epoch"), world.json("history -n 100")), before);
    let plan = plan["plan"].as_str().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    world.run(&format!("apply {plan} degrade 2 --stamp weu-001 --for 2h")).code(6);
    world.run(&format!("apply {plan} {command}")).code(0);
    assert_eq!(degraded(&world, "weu-001").map(|it| it.0), Some(2));
}

#[test]
fn what_cannot_be_set_is_refused_with_its_code_and_nothing_is_published() {
    let world = World::file().with(&["weu-001", "weu-002", "weu-003"]);
    world.run("drain weu-003 --force").code(0);
    world.run("delete weu-003 --force").code(0);
    let before = world.version();
    let long = "x".repeat(201);
    let cases: &[(&[&str], i32, &str)] = &[
        (&["degrade", "3"], 2, "--stamp <ID>|--fleet"),
        (&["degrade", "3", "--fleet", "--stamp", "weu-001"], 2, "cannot be used with"),
        (&["degrade", "5", "--fleet"], 2, "a level is 0 to 4"),
        (&["degrade", "3", "--stamp", "../weu"], 2, "no stamp id"),
        (&["degrade", "3", "--fleet", "--for", "25h"], 1, "at most 24 hours"),
        (&["degrade", "3", "--fleet", "--for", "0s"], 1, "at most 24 hours"),
        (&["degrade", "3", "--fleet", "--reason", &long], 1, "200 bytes"),
        (&["degrade", "3", "--fleet", "--reason", "\x1b[2J"], 1, "control characters"),
        (&["degrade", "3", "--stamp", "weu-009"], 4, "no stamp synaxis-weu-009"),
        (&["degrade", "3", "--stamp", "weu-003"], 5, "blocked while it is deleted"),
    ];
    for (args, code, words) in cases {
        world.args(args).code(*code).says(&[words]);
    }
    assert_eq!(world.version(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_would_pass_over_a_level_holds_it_up_and_nothing_else() {
    for world in [World::file(), World::redis()] {
        let world = world.with(&["weu-001"]);
        world.report("old", "weu-001", None, None).await;
        let store = world.store();
        let ack = store.acks().await.unwrap().remove(0);
        store.ack(&Ack { format: 1, ..ack }).await.unwrap();
        let before = world.version();
        world.run("degrade maintenance --fleet --no-proxies").code(1).says(&[
            "proxy old reads",
            "needs 2",
            "upgrade it",
        ]);
        assert_eq!(world.version(), before);
        world.run("weight weu-001 7 --no-wait").code(0);
    }
}
