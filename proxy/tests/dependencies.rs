//! What the workspace is built from: versions without the known holes, one TLS and one of each library that everybody
//! shares, nothing from outside the registry, no unsafe code of our own.

use std::{collections::BTreeSet, env, fs, path::PathBuf, process::Command};

use toml::{Table, Value};

/// The oldest versions that may be locked: each mends a fault that hostile bytes can reach, or brings what we build on.
const FLOORS: [(&str, [u64; 3]); 8] = [
    ("bytes", [1, 11, 1]),
    ("h2", [0, 4, 20]),
    ("hyper", [1, 12, 0]),
    ("hyper-util", [0, 1, 21]),
    ("redis", [1, 8, 0]),
    ("rustls", [0, 23, 46]),
    ("rustls-webpki", [0, 103, 16]),
    ("tracing-subscriber", [0, 3, 20]),
];

/// Libraries that nothing we build may use; `deny.toml` says why.
const BANNED: [&str; 4] = ["openssl", "openssl-sys", "native-tls", "ring"];

/// Two of these at a time would be two ways to read a message, or two runtimes.
const SINGLE: [&str; 6] = ["bytes", "h2", "http", "hyper", "rustls", "tokio"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn table(inside: &str) -> Table {
    fs::read_to_string(root().join(inside)).unwrap().parse().unwrap_or_else(|error| panic!("{inside}: {error}"))
}

/// One package of Cargo.lock.
struct Locked {
    name: String,
    version: String,
    source: Option<String>,
    dependencies: Vec<String>,
}

fn locked() -> Vec<Locked> {
    let lock = table("Cargo.lock");
    let read = |package: &Value| {
        let text = |key: &str| package.get(key).and_then(Value::as_str).map(str::to_owned);
        let names = package.get("dependencies").and_then(Value::as_array).into_iter().flatten();
        Locked {
            name: text("name").unwrap(),
            version: text("version").unwrap(),
            source: text("source"),
            // NAME, or NAME VERSION where there are several
            dependencies: names.map(|name| name.as_str().unwrap().split(' ').next().unwrap().to_owned()).collect(),
        }
    };
    let packages: Vec<Locked> = lock["package"].as_array().unwrap().iter().map(read).collect();
    assert!(packages.len() > 100, "only {} packages: the lock is not read", packages.len());
    packages
}

fn members() -> Vec<String> {
    let list = table("Cargo.toml")["workspace"]["members"].clone();
    list.as_array().unwrap().iter().map(|member| member.as_str().unwrap().to_owned()).collect()
}

/// MAJOR.MINOR.PATCH; `None` for a pre-release. What stands behind a plus does not count.
fn release(version: &str) -> Option<[u64; 3]> {
    let numbers: Vec<u64> = version.split('+').next()?.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
    numbers.try_into().ok()
}

#[test]
fn no_locked_version_is_below_its_floor() {
    let packages = locked();
    for (name, floor) in FLOORS {
        let versions: Vec<&str> = packages.iter().filter(|p| p.name == name).map(|p| p.version.as_str()).collect();
        assert!(!versions.is_empty(), "{name} is not locked: does its floor still matter?");
        for version in versions {
            let met = release(version).is_some_and(|version| version >= floor);
            assert!(met, "{name} {version} is locked, {floor:?} is the floor: cargo update -p {name}");
        }
    }
}

#[test]
fn versions_are_compared_as_numbers_and_a_pre_release_meets_no_floor() {
    assert!(release("0.4.20") > release("0.4.9") && release("1.12.0") > release("1.9.99"));
    assert_eq!(release("1.2.3+build.4"), Some([1, 2, 3]));
    for not_released in ["1.8.0-rc.1", "1.8", "1.8.0.1", ""] {
        assert_eq!(release(not_released), None, "{not_released}");
    }
}

#[test]
fn what_everybody_shares_is_there_once() {
    let packages = locked();
    for name in SINGLE {
        let versions: Vec<&str> = packages.iter().filter(|p| p.name == name).map(|p| p.version.as_str()).collect();
        assert_eq!(versions.len(), 1, "{name} {versions:?}: cargo tree -i {name}");
    }
}

#[test]
fn everything_comes_from_the_registry_or_from_this_workspace() {
    let ours: BTreeSet<String> = members()
        .iter()
        .map(|member| table(&format!("{member}/Cargo.toml"))["package"]["name"].as_str().unwrap().to_owned())
        .collect();
    for Locked { name, source, .. } in locked() {
        match source {
            None => assert!(ours.contains(&name), "{name} comes from a path outside the workspace"),
            Some(source) => {
                // cargo replaces the one that it knows by itself only where a machine says so
                assert!(source.starts_with("registry+https://"), "{name} comes from {source}");
            }
        }
    }
}

#[test]
fn nothing_banned_is_built() {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let graph = Command::new(cargo)
        .args(["tree", "--workspace", "--locked", "--offline", "--edges", "normal,build,dev", "--prefix", "none"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(graph.status.success(), "{}", String::from_utf8_lossy(&graph.stderr));
    let lines = String::from_utf8(graph.stdout).unwrap();
    let built: BTreeSet<&str> = lines.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(built.contains("rustls") && built.contains("aws-lc-rs"), "the graph is not read: {built:?}");
    for name in BANNED {
        assert!(!built.contains(name), "{name} is built: cargo tree -i {name}");
    }
    // Cargo locks what a weak feature (`ring?/alloc`) names without building it; nobody else may name a banned one
    for package in locked() {
        for name in package.dependencies.iter().filter(|name| BANNED.contains(&name.as_str())) {
            let weak = (package.name.as_str(), name.as_str()) == ("rustls-webpki", "ring");
            assert!(weak, "{} depends on {name}", package.name);
        }
    }
}

#[test]
fn deny_toml_bans_the_same() {
    let deny = table("deny.toml");
    let bans = deny["bans"]["deny"].as_array().unwrap();
    let named: BTreeSet<&str> = bans.iter().map(|ban| ban["crate"].as_str().unwrap()).collect();
    assert_eq!(named, BANNED.into());
}

#[test]
fn no_crate_of_ours_may_hold_unsafe_code() {
    let lints = &table("Cargo.toml")["workspace"]["lints"]["rust"];
    assert_eq!(lints["unsafe_code"].as_str(), Some("forbid"));
    for member in members() {
        let manifest = table(&format!("{member}/Cargo.toml"));
        let inherits = manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(Value::as_bool);
        assert_eq!(inherits, Some(true), "{member}/Cargo.toml: [lints] workspace = true is missing");
    }
}
