//! The whole life of a fleet, on every store.

use serde_json::json;
use synaxis_routing::{
    bundle::{Bundle, Head},
    store::{LogEntry, Mode},
    table::State,
};

use crate::{World, now};

fn lives(world: &World) {
    world.run("list").code(4).says(&["stampctl init"]);
    world.run("init --regions westeurope,eus,sea --scope region").code(0);
    world.run("init --regions weu").code(1).says(&["holds a table already"]);
    for stamp in ["weu-001", "weu-002", "eus-001"] {
        let endpoint = format!("https://{stamp}.stamp.internal:8443");
        world.args(&["register", stamp, "--endpoint", &endpoint, "--label", "wave=one"]).code(0);
        assert_eq!(world.state(stamp), "creating");
        world.run(&format!("activate {stamp} --ramp 0s")).code(0);
        assert_eq!(world.state(stamp), "active");
    }
    world.run("register 003 --region westeurope --endpoint http://127.0.0.1:7003 --weight 50").code(0);
    world.run("activate weu-003").code(0);
    let status = world.json("status westeurope-003");
    assert_eq!(status["id"], "synaxis-weu-003");
    assert_eq!(status["ramp"]["to"], 1000);
    assert_eq!(status["ramp"]["seconds"], 300);
    assert_eq!(status["endpoint"], "http://127.0.0.1:7003");

    // a drain, its cancellation, and a drain to the end; it holds a per mille of its slots after 300 ms
    std::thread::sleep(std::time::Duration::from_millis(700));
    let drained = world.json("drain synaxis-weu-003 --ramp 10m --grace-period=60m --because tonight");
    assert_eq!(drained["published"], true);
    assert_eq!(drained["summary"], "drain synaxis-weu-003 over 600 s");
    assert_eq!(world.state("weu-003"), "draining");
    world.run("standby weu-003").code(5).says(&["‰ of its slots", "--force"]);
    world.run("cancel-drain weu-003").code(0);
    assert_eq!(world.state("weu-003"), "active");
    world.run("drain weu-003 --ramp 0s").code(0);
    world.run("standby weu-003").code(0);
    world.run("activate weu-003 --ramp 0s").code(0);
    world.run("drain weu-003 --force").code(0);
    world.run("delete weu-003").code(5).says(&["stampctl standby synaxis-weu-003"]);
    world.run("standby weu-003").code(0);
    world.run("delete weu-003").code(0);
    assert_eq!(world.state("weu-003"), "deleted");
    world.run("register weu-003 --endpoint https://weu-003.stamp.internal:8443").code(1).says(&["never used again"]);

    // pins
    world.run("tenant pin acme weu-002 --strict").code(0);
    world.run("tenant pin soft weu-002 --preferred").code(0);
    let tenants = world.json("tenant list --stamp weu-002");
    assert_eq!(tenants["tenants"][0]["id"], "acme");
    assert_eq!(tenants["tenants"][0]["pin_mode"], "strict");
    world.run("drain weu-002 --below-minimum").code(5).says(&["acme", "tenant unpin"]);
    let explained = world.json("explain acme --entry-region westeurope");
    assert_eq!(explained["choice"], "synaxis-weu-002");
    world.run("tenant unpin acme soft").code(0);

    // tiers
    world.run("tenant set acme other --tier enterprise").code(0);
    assert_eq!(world.json("tenant list")["tenants"][0]["tier"], "enterprise");
    world.run("tenant set acme other --no-tier").code(0);

    // quotas of their own
    let line = "tenant set acme other --tier gold --limit per-user=500/60s,burst=20 --limit tenant=5/h";
    world.run(line).code(0);
    world.run("tenant set other --no-limit per-user").code(0);
    let listed = world.json("tenant list");
    assert_eq!(listed["tenants"][0]["limits"]["per-user"], "500/min,burst=20");
    assert_eq!(listed["tenants"][1]["limits"], serde_json::json!({ "tenant": "5/h" }));
    let words = world.run("tenant list").code(0).out;
    assert!(words.contains("LIMITS") && words.contains("per-user=500/min,burst=20 tenant=5/h"), "{words}");
    assert_eq!(listed["tenants"][0]["tier"], "gold");
    world.run("tenant set acme other --no-tier --no-limit tenant --no-limit per-user").code(0);
    assert_eq!(world.json("tenant list")["tenants"].as_array().map(Vec::len), Some(0));

    // a rollback brings the pins back
    let before = world.version();
    world.run(&format!("rollback {}", before.epoch - 1)).code(0);
    assert_eq!(world.version(), before.next());
    assert_eq!(world.json("tenant list")["tenants"].as_array().unwrap().len(), 2);
    let history = world.json("history -n 3");
    assert_eq!(history[0]["version"], before.next().to_string());
    assert_eq!(history[0]["who"], "tester@here");
    let reasons = world.json("history -n 100");
    assert!(reasons.as_array().unwrap().iter().any(|entry| entry["why"] == "tonight"));

    // filters
    let ids = |line: &str| -> Vec<String> {
        let list = world.json(line);
        list["stamps"].as_array().unwrap().iter().map(|stamp| stamp["id"].as_str().unwrap()[8..].to_owned()).collect()
    };
    assert_eq!(ids("list"), ["eus-001", "weu-001", "weu-002", "weu-003"]);
    assert_eq!(ids("list --state=active --region=westeurope"), ["weu-001", "weu-002"]);
    assert_eq!(ids("list --state=ready"), [""; 0]);
    world.run("list --region mars").code(4);
    world.run("wait --for=active synaxis-weu-001").code(0);
    world.run("wait --for=draining weu-001 --timeout 300ms").code(3);
    world.run("wait --for=active weu-003").code(5);
}

#[test]
fn a_fleet_lives_its_whole_life_in_a_folder() {
    lives(&World::file());
}

#[test]
fn a_fleet_lives_its_whole_life_in_redis() {
    lives(&World::redis());
}

#[test]
fn register_can_create_the_table() {
    let world = World::file();
    world.run("register weu-001 --endpoint https://weu-001.stamp.internal:8443").code(4);
    world.run("register weu-001 --endpoint https://weu-001.stamp.internal:8443 --init --regions weu,eastus").code(0);
    assert_eq!(world.version().to_string(), "1.1");
    let again = world.run("register weu-002 --endpoint https://weu-002.stamp.internal:8443 --init").code(0);
    assert!(again.err.contains("--init has nothing to create"), "{}", again.err);
    world.run("register eus-001 --endpoint https://eus-001.stamp.internal:8443").code(0);
    world.run("register sea-001 --endpoint https://sea-001.stamp.internal:8443").code(4).says(&["no region sea"]);
}

#[test]
fn a_dry_run_does_everything_but_publish() {
    let world = World::file().with(&["weu-001", "weu-002", "weu-003"]);
    let file = world.folder.path().join("table.bin");
    world.args(&["export", file.to_str().unwrap()]).code(0);
    let before = (world.json("epoch"), world.json("history -n 100"));
    for line in [
        "register weu-009 --endpoint https://weu-009.stamp.internal:8443",
        "drain weu-003",
        "drain weu-003 --force",
        "weight weu-003 7",
        "tenant pin acme weu-001",
        "rollback 1 --last --force-shrink test",
        "import table.bin",
    ] {
        let ran = world.run(&format!("{line} --dry-run"));
        // an empty table after one with stamps is refused in the dry run as it would be in earnest
        let expected = if line.starts_with("rollback") { 5 } else { 0 };
        let ran = ran.code(expected);
        if expected == 0 {
            assert!(ran.err.contains("dry run: nothing was published"), "{}", ran.err);
            let report = world.run(&format!("{line} --dry-run -o json")).code(0).json();
            assert_eq!((&report["published"], &report["dry_run"]), (&json!(false), &json!(true)));
            assert!(!report["summary"].as_str().unwrap().is_empty());
        }
    }
    world.run("drain weu-009 --dry-run").code(4);
    world.run("cancel-drain weu-001 --dry-run").code(0);
    assert_eq!((world.json("epoch"), world.json("history -n 100")), before);
    let empty = World::file();
    empty.run("init --regions weu --dry-run").code(0);
    empty.run("epoch").code(4);
}

#[test]
fn the_difference_is_shown_and_the_seed_never() {
    let world = World::file().with(&["weu-001", "weu-002", "weu-003"]);
    let shown = world.run("drain weu-003").code(0);
    for expected in [
        "drain synaxis-weu-003 over 300 s → 1.8",
        "~ synaxis-weu-003  state: active → draining",
        "~ synaxis-weu-003  ramp: none → 1000‰ to 0‰ in 300 s",
        "published 1.8",
        "no live proxy reports to this store",
        "synaxis-weu-003 draining for",
    ] {
        assert!(shown.out.contains(expected), "{expected}: {}", shown.out);
    }
    let envelope = world.command().arg("export").output().unwrap().stdout;
    let table = Bundle::from_bytes(&envelope).unwrap().decode().unwrap().table;
    let seed = format!("{:016x}", table.seed.0);
    for line in ["list", "status weu-001", "history", "epoch", "explain acme", "tenant list"] {
        assert!(!world.json(line).to_string().contains(&seed), "{line}");
    }
    let created = World::file().run("init --regions weu -o json").code(0);
    assert_eq!(created.json()["differences"].as_array().unwrap().iter().filter(|d| d["field"] == "seed").count(), 1);
}

#[test]
fn every_format_has_the_same_fields() {
    let world = World::file().with(&["weu-001", "weu-002"]);
    for line in
        ["list", "status weu-001", "tenant list", "explain acme", "history", "epoch", "weight weu-001 7 --dry-run"]
    {
        let json = world.json(line);
        let yaml = world.run(&format!("{line} -o yaml")).code(0);
        let keys = |value: &serde_json::Value| -> Vec<String> {
            let first = value.as_array().and_then(|items| items.first()).unwrap_or(value);
            first.as_object().unwrap().keys().cloned().collect()
        };
        for key in keys(&json) {
            assert!(yaml.out.contains(&format!("{key}:")), "{line}: {key} is missing in {}", yaml.out);
        }
        assert!(!world.run(line).code(0).out.is_empty());
    }
}

#[test]
fn settings_come_from_a_file_and_the_command_line_wins() {
    let world = World::redis().with(&["weu-001", "weu-002"]);
    let config = world.folder.path().join("stampctl.toml");
    let lax = "[guards]\nactive_min = 1\n";
    std::fs::write(&config, lax).unwrap();
    world.run("drain weu-002 --dry-run").code(5).says(&["--below-minimum"]);
    world.run("drain weu-002 --dry-run --config stampctl.toml").code(0);
    std::fs::write(&config, format!("store = \"{}\"\nkey_prefix = \"synaxis\"\n{lax}", world.url)).unwrap();
    let run = |args: &[&str]| {
        let mut command = world.command();
        command.env_remove("SYNAXIS_ROUTING_STORE").env("SYNAXIS_STAMPCTL_CONFIG", &config);
        command.args(args).output().unwrap().status.code()
    };
    assert_eq!(run(&["list"]), Some(0));
    assert_eq!(run(&["list", "--key-prefix", "another"]), Some(4));
    std::fs::write(&config, "active_min = 1").unwrap();
    assert_eq!(run(&["list"]), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_lasted_too_long_is_flagged_in_list_and_status() {
    let world = World::file().with(&["weu-001", "weu-002", "weu-003", "weu-004", "weu-005"]);
    let store = world.store();
    let head = store.glance().await.unwrap().head.unwrap();
    let decoded = store.fetch(&Head::parse(&head).unwrap(), &head, None).await.unwrap().decode().unwrap();
    let mut table = decoded.table;
    table.epoch += 1;
    let minutes = [(State::Creating, 31), (State::Draining, 46), (State::Ready, 72 * 60 + 1), (State::Failed, 61)];
    for (stamp, (state, age)) in table.stamps.iter_mut().zip(minutes) {
        (stamp.state, stamp.since, stamp.ramp) = (state, now() - age * 60_000, None);
    }
    table.forced = Some("test".to_owned());
    let bundle = Bundle::encode(&table, &decoded.tenants, "old").unwrap();
    let entry = LogEntry { at: 0, who: "?".into(), what: "?".into(), why: String::new(), version: table.version() };
    store.publish(Some(&head), &bundle, &entry, Mode::NoProxies).await.unwrap();
    let list = world.json("list");
    let limits: Vec<_> =
        list["stamps"].as_array().unwrap().iter().map(|stamp| stamp["overdue"]["limit"].as_str()).collect();
    assert_eq!(limits, [Some("created"), Some("stuck"), Some("retired"), Some("cleaned_up"), None]);
    assert_eq!(world.run("list").code(0).out.matches("OVERDUE").count(), 4);
    let status = world.run("status weu-002").code(0).out;
    assert!(status.contains("OVERDUE") && status.contains("stuck, somebody must look"), "{status}");
}
