//! Each exit code has one meaning.

use std::process::Command;

use crate::World;

#[test]
fn every_code_means_what_the_help_says() {
    let world = World::file().with(&["weu-001", "weu-002", "weu-003"]);
    let cases: &[(&str, i32, &[&str])] = &[
        ("list", 0, &[]),
        ("weight weu-001 100", 0, &[]), // nothing to change is done
        // 1: failed
        ("register weu-001 --endpoint https://weu-001.stamp.internal:8443", 1, &["registered already"]),
        ("register weu-004 --endpoint ftp://weu-004:21", 1, &["endpoint"]),
        ("list --store redis://127.0.0.1:1", 1, &["store"]),
        // 2: usage
        ("", 2, &[]),
        ("drain", 2, &[]),
        ("lst", 2, &[]),
        ("drain 003", 2, &["003 with --region weu"]),
        ("drain eus-003 --region weu", 2, &["--region says weu"]),
        ("weight weu-001 1001", 2, &[]),
        ("activate weu-001 --ramp soon", 2, &["no duration"]),
        ("list --store gopher://x", 2, &[]),
        ("init", 2, &["--regions"]),
        // 4: not found
        ("drain weu-009", 4, &["no stamp synaxis-weu-009"]),
        ("status weu-009", 4, &[]),
        ("tenant pin acme weu-009", 4, &[]),
        ("tenant unpin acme", 4, &["has no pin"]),
        ("tenant set acme", 2, &["--tier"]),
        ("tenant set acme --tier gold --no-tier", 2, &[]),
        ("tenant set acme --tier GOLD", 1, &["no name of a tier"]),
        ("tenant set acme --limit per-user", 2, &["NAME=QUOTA"]),
        ("tenant set acme --limit Per-User=5/s", 2, &["no name of a limit"]),
        ("tenant set acme --limit =5/s", 2, &["no name of a limit"]),
        ("tenant set acme --limit per-user=", 2, &["a quota is a number of requests"]),
        ("tenant set acme --limit per-user=unlimited", 2, &["a quota is a number of requests"]),
        ("tenant set acme --limit per-user=5/fortnight", 2, &["the times of a quota"]),
        ("tenant set acme --limit per-user=99999999999/s", 2, &["1 to 100000000 requests"]),
        ("tenant set acme --limit per-user=5/s,burst=6", 2, &["the burst of this quota is 1 to 5"]),
        ("tenant set acme --limit per-user=5/s,6", 2, &["behind a quota"]),
        ("tenant set acme --limit a=5/s --limit a=5/s", 2, &["the limit a is named twice"]),
        ("tenant set acme --limit a=5/s --no-limit a", 2, &["the limit a is named twice"]),
        ("tenant set acme --no-limit a --no-limit a", 2, &["the limit a is named twice"]),
        ("tenant set acme --no-limit A", 2, &["no name of a limit"]),
        ("tenant set acme --no-limit a", 0, &[]), // nothing to change is done
        ("explain acme --entry-region mars", 4, &["no region mars"]),
        ("rollback 999", 4, &["last 32"]),
        ("import nothing.bin", 4, &["no file"]),
        ("recover", 4, &["--from"]),
        // 5: forbidden
        ("standby weu-001", 5, &["active → ready is not allowed", "draining"]),
        ("delete weu-001", 5, &["active → deleted is not allowed"]),
        ("activate weu-001", 5, &["it is active already"]),
    ];
    for (line, code, words) in cases {
        world.run(line).code(*code).says(words);
    }
    // 0 again: what would be forbidden is named with the flag that allows it
    world.run("drain weu-001 --ramp 0s").code(0);
    world.run("drain weu-002").code(5).says(&["minimum 2", "--below-minimum"]);
    world.run("drain weu-002 --below-minimum").code(0);
    world.run("drain weu-003 --below-minimum").code(5).says(&["no active stamp would remain", "--last"]);
    world.run("weight weu-003 0").code(5).says(&["--last"]);
    world.run("drain weu-003 --last").code(0);
    // what is left drains; the last stamp that takes slots never goes
    world.run("standby weu-001 --force").code(0);
    world.run("standby weu-002 --force --force-shrink test").code(0);
    world.run("standby weu-003 --force --force-shrink test").code(5).says(&["last stamp that takes slots"]);
}

#[test]
fn without_a_store_the_usage_is_wrong() {
    let world = World::file();
    let output = world.command().env_remove("SYNAXIS_ROUTING_STORE").arg("list").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("SYNAXIS_ROUTING_STORE"));
}

#[test]
fn losing_too_many_stamps_at_once_needs_a_reason() {
    let world = World::file().with(&["weu-001"]);
    let one = world.version().epoch;
    for stamp in ["weu-002", "weu-003", "weu-004", "weu-005"] {
        world.run(&format!("register {stamp} --endpoint https://{stamp}.stamp.internal:8443")).code(0);
        world.run(&format!("activate {stamp} --ramp 0s")).code(0);
    }
    world.run(&format!("rollback {one}")).code(5).says(&["--force-shrink"]);
    let forced =
        world.args(&["rollback", &one.to_string(), "--force-shrink", "wrong account", "-o", "json"]).code(0).json();
    assert!(forced["differences"].to_string().contains("wrong account"));
    // the reason does not outlive the table it was given for
    let next = world.json("weight weu-001 50");
    assert_eq!(next["published"], true);
    assert!(next["differences"].as_array().unwrap().iter().any(|d| d["field"] == "forced" && d["after"].is_null()));
}

#[test]
fn the_program_explains_itself_without_a_store() {
    let man = stampctl(&["man"]);
    assert!(man.contains(".TH stampctl 1") && man.contains("Exit codes"), "{man}");
    assert!(stampctl(&["completions", "bash"]).contains("cancel-drain"));
}

fn stampctl(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_stampctl")).args(args).env_clear().output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
