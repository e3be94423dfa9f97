//! Plans: what a change would move, applied only as it was shown, and never too much at once.

use serde_json::{Value, json};

use crate::World;

fn history(world: &World) -> (Value, Value) {
    (world.json("epoch"), world.json("history -n 100"))
}

fn three() -> World {
    World::file().with(&["weu-001", "weu-002", "weu-003"])
}

#[test]
fn a_plan_shows_what_would_move_and_publishes_nothing() {
    let world = three();
    world.run("tenant pin acme weu-003 --preferred").code(0);
    let before = history(&world);
    let shown = world.run("plan drain weu-003 --ramp 300s").code(0).out;
    for expected in [
        "drain synaxis-weu-003 over 300 s → 1.9",
        "~ synaxis-weu-003  state: active → draining",
        "of 65536 slots (3",
        "of requests that arrive in weu, eus, sea move over 5m 0s",
        "ARRIVES IN     FROM             TO",
        "weu, eus, sea  synaxis-weu-003  synaxis-weu-00",
        "1 listed tenants move",
        "plan 1.8-",
        "stampctl apply 1.8-",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    assert!(!shown.contains("published"), "{shown}");
    let plan = world.json("plan drain weu-003 --ramp 300s");
    assert_eq!((&plan["published"], &plan["refused"], &plan["proxies"]), (&json!(false), &json!(null), &json!(null)));
    let weu = &plan["moves"]["regions"][0];
    assert_eq!((&weu["region"], &weu["slots"], &weu["at_once"]), (&json!("weu"), &json!(65_536), &json!(0)));
    let moved = weu["moved"].as_u64().unwrap();
    let ways = weu["ways"].as_array().unwrap();
    assert_eq!(ways.iter().map(|way| way["slots"].as_u64().unwrap()).sum::<u64>(), moved);
    assert!(ways.iter().all(|way| way["from"] == "synaxis-weu-003") && (20_000..24_000).contains(&moved), "{weu}");
    assert_eq!((&plan["moves"]["listed_tenants"], &plan["moves"]["takes"]), (&json!(1), &json!(300_000)));
    assert_eq!(history(&world), before);
    let yaml = world.run("plan drain weu-003 -o yaml").code(0).out;
    assert!(yaml.contains("percent_at_once: 0") && yaml.contains("plan: 1.8-"), "{yaml}");
}

#[test]
fn a_plan_is_applied_as_it_was_shown() {
    let world = three();
    for command in ["drain weu-003 --ramp 5m --grace-period 2h", "cancel-drain weu-003 --ramp 10s", "weight weu-001 50"]
    {
        let plan = world.json(&format!("plan {command}"))["plan"].as_str().unwrap().to_owned();
        // the ramp of the drain goes on meanwhile
        std::thread::sleep(std::time::Duration::from_millis(50));
        let version = world.version();
        let applied = world.json(&format!("apply {plan} {command}"));
        assert_eq!((&applied["published"], &applied["plan"]), (&json!(true), &json!(plan)), "{command}");
        assert_eq!(world.version(), version.next());
        // and only once
        world.run(&format!("apply {plan} {command}")).code(6);
    }
    let empty = World::file();
    let plan = empty.json("plan init --regions weu")["plan"].as_str().unwrap().to_owned();
    assert!(plan.starts_with("0.0-"), "{plan}");
    empty.run("epoch").code(4);
    empty.run(&format!("apply {plan} init --regions weu")).code(0);
    assert_eq!(empty.version().to_string(), "1.1");
}

#[test]
fn a_plan_that_somebody_overtook_is_refused_and_says_who() {
    for world in [three(), World::redis().with(&["weu-001", "weu-002", "weu-003"])] {
        let plan = world.json("plan drain weu-003")["plan"].as_str().unwrap().to_owned();
        world.run("weight weu-001 90 --as night-shift").code(0);
        let before = history(&world);
        world.run(&format!("apply {plan} drain weu-003")).code(6).says(&[
            "made for 1.7, but the table is 1.8",
            "night-shift: weigh synaxis-weu-001 90 instead of 100",
            "nothing was published",
        ]);
        assert_eq!(history(&world), before);
    }
}

#[test]
fn a_plan_of_another_command_is_refused() {
    let world = three();
    let plan = world.json("plan drain weu-003 --ramp 300s")["plan"].as_str().unwrap().to_owned();
    let before = history(&world);
    for other in [
        "drain weu-003 --ramp 60s",
        "drain weu-003 --ramp 300s --grace-period 60m",
        "drain weu-002 --ramp 300s",
        "drain weu-003 --force",
        "weight weu-003 1",
        "tenant pin acme weu-003",
        "drain weu-003 --ramp 300s --force-shrink why",
    ] {
        world.run(&format!("apply {plan} {other}")).code(6).says(&["another change of 1.7"]);
    }
    let mut invented = plan.clone();
    invented.truncate(plan.len() - 4);
    invented.push_str("0000");
    world.run(&format!("apply {invented} drain weu-003")).code(6);
    world.run("apply 1.7-xyz drain weu-003").code(2);
    world.run("plan tenant list").code(2).says(&["changes nothing"]);
    assert_eq!(history(&world), before);
    world.run(&format!("apply {plan} drain weu-003")).code(0);
}

#[test]
fn too_much_at_once_is_refused_with_the_numbers_and_the_cure() {
    let world = three();
    let before = history(&world);
    let refusals =
        ["drain weu-003 --force", "drain weu-003 --ramp 0s", "weight weu-003 10", "drain weu-003 --ramp 0s --dry-run"];
    for line in refusals {
        world.run(&format!("{line} --max-moved 15")).code(5).says(&[
            " of 65536 slots (",
            "arrive in weu would move at once",
            "at most 15 % may",
            "--ramp",
            "--max-moved 100",
        ]);
    }
    let mut plain = world.command();
    let output = plain.env_remove("SYNAXIS_MAX_MOVED").args(["drain", "weu-003", "--force"]).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "15 % is the default");
    // a plan shows it all the same, and says that it would be refused
    let plan = world.run("plan drain weu-003 --force --max-moved 15 -o json").code(5).json();
    assert!(plan["refused"].as_str().unwrap().contains("--max-moved 100"), "{plan}");
    assert_eq!(plan["moves"]["regions"][0]["at_once"], plan["moves"]["regions"][0]["moved"]);
    assert_eq!(history(&world), before);
    let name = plan["plan"].as_str().unwrap();
    world.run(&format!("apply {name} drain weu-003 --force --max-moved 15")).code(5);
    world.run(&format!("apply {name} drain weu-003 --force --max-moved 100")).code(0);
}

#[test]
fn what_goes_over_a_ramp_and_what_moves_nobody_is_never_too_much() {
    let world = three();
    for line in ["drain weu-003 --max-moved 0", "tenant pin acme weu-001 --max-moved 0", "drain weu-003 --force"] {
        world.run(line).code(0);
    }
    // a fleet's first stamp takes nothing from anybody
    let first = World::file();
    first.run("init --regions weu --max-moved 0").code(0);
    first.run("register weu-001 --endpoint https://weu-001.stamp.internal:8443 --max-moved 0").code(0);
    first.run("activate weu-001 --ramp 0s --max-moved 0").code(0);
    // a drained stamp leaves without moving anybody
    world.run("standby weu-003 --max-moved 0").code(0);
    world.run("delete weu-003 --max-moved 0").code(0);
}
