//! The line that follows a ramp, on a terminal and off it; `isolate`, which has none.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::World;

fn three() -> World {
    World::file().with(&["weu-001", "weu-002", "weu-003"])
}

#[test]
fn off_a_terminal_a_drain_prints_one_line_and_returns_while_the_table_drives_it() {
    let world = three();
    for line in ["drain weu-003 --ramp 1h", "cancel-drain weu-003", "drain weu-003 --ramp 1h --no-wait"] {
        let started = Instant::now();
        let ran = world.run(line).code(0);
        assert!(started.elapsed() < Duration::from_secs(10), "{line}");
        let lines = ran.out.lines().filter(|line| line.contains("draining for")).count();
        assert_eq!(lines, usize::from(line.starts_with("drain")), "{}", ran.out);
    }
    assert_eq!(world.state("weu-003"), "draining");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_drain_prints_plain_lines_until_its_ramp_is_over() {
    let world = three();
    world.report("there", "weu-003", None, None).await;
    let started = Instant::now();
    let ran = world.run("drain weu-003 --ramp 1s --watch --no-wait").code(0);
    assert!(started.elapsed() < Duration::from_secs(8));
    for expected in ["‰ of its slots", "ramp 100 %, holds 0‰", "12 connections, 3 in flight", "given everything"] {
        assert!(ran.err.contains(expected), "{expected}: {}", ran.err);
    }
    assert!(!ran.err.contains(['\r', '\x1b']), "{:?}", ran.err);
    let alone = world.run("activate weu-003 --ramp 1s --watch --no-wait --no-proxies").code(0);
    assert!(alone.err.contains("synaxis-weu-003 holds all its slots"), "{}", alone.err);
}

#[test]
fn without_reports_the_line_says_so_instead_of_counting_nothing() {
    let ran = three().run("drain weu-003 --ramp 0s").code(0);
    assert!(ran.out.contains("- connections, - in flight (none of its proxies reports)"), "{}", ran.out);
}

#[test]
fn a_watched_drain_may_be_interrupted_and_goes_on() {
    let world = three();
    let mut child = world.command();
    child.args(["drain", "weu-003", "--ramp", "60s", "--watch"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.contains("draining for"), "{first}");
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let rest: Vec<String> = lines.map(|line| line.unwrap()).collect();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let said = rest.concat();
    assert!(said.contains("it goes on by itself") && said.contains("cancel-drain synaxis-weu-003"), "{said}");
    assert_eq!(world.state("weu-003"), "draining");
}

#[test]
fn on_a_terminal_one_line_is_drawn_over_and_over() {
    let world = three();
    let binary = env!("CARGO_BIN_EXE_stampctl");
    let command = format!("{binary} --store {} drain weu-003 --ramp 2s --max-moved 100 --yes", world.url);
    // util-linux's script gives the program a terminal
    let mut child = Command::new("script");
    child.args(["-qec", &command, "/dev/null"]).env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    let output = child.output().expect("script, of util-linux");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{shown}");
    assert!(shown.matches("\r\u{1b}[Ksynaxis-weu-003 draining").count() >= 2, "{shown:?}");
    assert!(shown.contains("ramp 100 %") && shown.contains("has given everything away"), "{shown:?}");
}

#[test]
fn a_store_that_goes_away_ends_the_watching_and_not_the_drain() {
    let mut world = World::redis().with(&["weu-001", "weu-002", "weu-003"]);
    let mut child = world.command();
    child.args(["drain", "weu-003", "--ramp", "2s", "--watch"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("draining for"));
    drop(world._redis.take());
    let said: Vec<String> = lines.map(|line| line.unwrap()).collect();
    assert!(said.concat().contains("what was published goes on by itself"), "{said:?}");
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

#[test]
fn a_watched_ramp_that_somebody_else_changes_is_left() {
    let world = three();
    let mut child = world.command();
    child.args(["drain", "weu-003", "--ramp", "60s", "--watch"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("draining for"));
    world.run("cancel-drain weu-003 --ramp 0s").code(0);
    let said: Vec<String> = lines.map(|line| line.unwrap()).collect();
    assert!(said.concat().contains("somebody changed synaxis-weu-003 since; it is active"), "{said:?}");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn an_isolated_stamp_takes_nothing_at_once_although_a_drain_is_refused() {
    let world = three();
    world.run("tenant pin acme weu-003 --strict").code(0);
    world.run("drain weu-003").code(5).says(&["acme"]);
    let out = world.command().env_remove("SYNAXIS_MAX_MOVED").args(["isolate", "weu-003"]).output().unwrap();
    let (said, told) = (String::from_utf8(out.stderr).unwrap(), String::from_utf8(out.stdout).unwrap());
    assert!(out.status.success() && said.contains("acme may be served by synaxis-weu-003 only"), "{said}");
    assert!(told.contains("at once") && told.contains("holds 0‰ of its slots"), "{told}");
    let status = world.json("status weu-003");
    assert_eq!((&status["state"], &status["share"]), (&"draining".into(), &0.into()));
    assert!(world.run("isolate weu-003").code(0).out.contains("nothing to change"));
    // below the minimum it goes, but not as the last one, and a limit that was said counts
    world.run("isolate weu-002 --max-moved 5").code(5).says(&["at most 5 %"]);
    world.run("isolate weu-002 --max-moved 100").code(0).says(&["minimum 2"]);
    world.run("isolate weu-001").code(5).says(&["--last"]);
    world.run("isolate weu-001 --last").code(0);
    world.run("isolate weu-009").code(4);
    assert_eq!(world.json("history -n 1")[0]["what"], "isolate synaxis-weu-001: it gives everything away at once");
}
