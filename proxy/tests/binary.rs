//! The binary as it is shipped: arguments, exit codes, signals, the demo.

use std::{collections::HashSet, fs, net::TcpListener, path::PathBuf};

use crate::world::{Client, Origin, Process, alone, process};

fn written(folder: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("proxy.toml");
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn it_says_its_version_and_checks_a_configuration() {
    let version = process::run(&["--version"]);
    assert!(version.status.success());
    assert_eq!(String::from_utf8(version.stdout).unwrap().trim(), concat!("synaxis-proxy ", env!("CARGO_PKG_VERSION")));

    let folder = tempfile::tempdir().unwrap();
    let good = written(&folder, &alone("127.0.0.1:9".parse().unwrap(), ""));
    let good = process::run(&["check", "--config", good.to_str().unwrap()]);
    assert_eq!(good.status.code(), Some(0), "{good:?}");
    assert!(String::from_utf8(good.stdout).unwrap().contains("is valid"));

    let bad =
        written(&folder, &alone("127.0.0.1:9".parse().unwrap(), "[timeouts]\nconect = \"1s\"\nhead = \"never\"\n"));
    let bad = bad.to_str().unwrap();
    for command in ["check", "run"] {
        let output = process::run(&[command, "--config", bad]);
        assert_eq!(output.status.code(), Some(78), "{command}: {output:?}");
        let words = String::from_utf8(output.stderr).unwrap();
        // both faults at once, each with its place and its cure
        for part in ["proxy.toml:22:1", "conect", "connect", "proxy.toml:23:", "head"] {
            assert!(words.contains(part), "{part} is missing in {words}");
        }
    }
    let missing = process::run(&["check", "--config", "/nowhere/proxy.toml"]);
    assert_eq!(missing.status.code(), Some(78), "{missing:?}");
}

#[test]
fn an_address_that_is_taken_has_its_own_exit_code() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let settings = alone("127.0.0.1:9".parse().unwrap(), "");
    let settings = settings.replacen("127.0.0.1:0", &taken.local_addr().unwrap().to_string(), 1);
    let output = process::run(&["run", "--config", written(&folder, &settings).to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(69), "{output:?}");
}

#[test]
fn it_serves_and_a_signal_ends_it_in_order() {
    let origin = Origin::start("app");
    let folder = tempfile::tempdir().unwrap();
    let (mut process, edge) = Process::proxy(&written(&folder, &alone(origin.address, "")));
    let mut client = Client::connect(edge);
    assert_eq!(client.get("acme", "/first").json()["path"], "/first");
    // in flight when the signal comes
    client.send(b"GET /slow HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: acme\r\n\r\n");
    crate::world::eventually("the app works on it", || origin.count() == 2);
    process.signal("TERM");
    process.line(|line| line.contains("stopping"));
    // the app does not answer within the drain of two seconds: what is left then is cut
    assert!(process.wait().success());
    assert!(client.answer(false).is_err());

    let (mut process, edge) =
        Process::proxy(&written(&folder, &alone(origin.address, "").replace("\"2s\"", "\"20s\"")));
    let mut client = Client::connect(edge);
    client.send(b"GET /slow HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: acme\r\n\r\n");
    crate::world::eventually("the app works on it", || origin.count() == 3);
    process.signal("TERM");
    // from here on every answer says it
    process.line(|line| line.contains("draining"));
    origin.release();
    let answer = client.answer(false).unwrap();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "what was begun is finished");
    assert!(process.wait().success());
}

#[test]
fn the_demo_does_what_it_prints() {
    let mut demo = Process::start(&["demo"]);
    let mut stamps = HashSet::new();
    for _ in 0..9 {
        let line = demo.line(|line| line.trim_start().starts_with("curl -s -H"));
        let (field, url) = line.split_once("' http://").unwrap();
        let (edge, tenant) = (url.split('/').next().unwrap(), field.rsplit(' ').next().unwrap());
        let answer = Client::connect(edge.parse().unwrap()).get(tenant, "/hello");
        assert_eq!(answer.status, 200, "{line}: {}", answer.text());
        stamps.insert((tenant.to_owned(), answer.json()["stamp"].as_str().unwrap().to_owned()));
    }
    assert_eq!(stamps.len(), 3, "each tenant has one stamp, whichever entry it takes: {stamps:?}");
    demo.signal("INT");
    assert!(demo.wait().success());
}
