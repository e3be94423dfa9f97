//! What lies in `deploy/` is what this proxy accepts: files load, and ports, paths and times agree over all of them.

mod compose;
mod kubernetes;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize as _;
use serde_json::Value;
use synaxis_config::{Environment, Settings, load_with, settings::ListenerKind};

/// Said of an edge listener that other machines reach: the tenant header is believed there.
const TRUST: &str = "`trust_header` off loopback";
/// A pod's probes and Prometheus come from outside of it.
const ADMIN: &str = "`address` in [admin] off loopback";

/// Where the secrets of the cluster are mounted.
const SECRET: &str = "/etc/synaxis-secrets/routing-store";

fn inside(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(inside(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The documents of a YAML file, with what `<<` merges.
fn yaml(path: &str) -> Vec<Value> {
    let text = read(path);
    let document = |document| {
        let mut value = serde_yaml_ng::Value::deserialize(document).unwrap_or_else(|error| panic!("{path}: {error}"));
        value.apply_merge().unwrap();
        serde_json::to_value(value).unwrap()
    };
    let documents = serde_yaml_ng::Deserializer::from_str(&text).map(document);
    documents.filter(|document| !document.is_null()).collect()
}

/// What stands at a path such as `/spec/ports/0/port`.
fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    value.pointer(path).unwrap_or_else(|| panic!("no {path} in {value:#}"))
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    at(value, path).as_str().unwrap_or_else(|| panic!("{path} is no text"))
}

/// Loads the text of a configuration, which must be warned of exactly so.
fn load(name: &str, text: &str, warnings: &[&str]) -> Settings {
    let secret = tempfile::NamedTempFile::new().unwrap();
    fs::write(secret.path(), "rediss://proxy:s3cret@redis.example:6380/0\n").unwrap();
    let text = text.replace(SECRET, secret.path().to_str().unwrap());
    let loaded = load_with(&text, Path::new(name), &Environment::default()).unwrap_or_else(|faults| panic!("{faults}"));
    let said: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    let expected = said.len() == warnings.len() && said.iter().zip(warnings).all(|(said, part)| said.contains(part));
    assert!(expected, "{name}: {said:#?}, not {warnings:?}");
    loaded.settings
}

fn ports(settings: &Settings, kind: ListenerKind) -> Vec<u16> {
    let listeners = settings.listeners.iter().filter(|listener| listener.kind == kind);
    listeners.map(|listener| listener.address.port()).collect()
}

#[test]
fn every_example_loads_and_is_warned_of_only_as_it_says() {
    let expected: [(&str, &[&str]); 3] =
        [("front-door-aks.toml", &[TRUST, ADMIN]), ("minimal.toml", &[]), ("two-apps.toml", &[])];
    let folder = fs::read_dir(inside("deploy/examples")).unwrap();
    let there: BTreeSet<String> = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(there, expected.iter().map(|(name, _)| (*name).to_owned()).collect());
    for (name, warnings) in expected {
        load(name, &read(&format!("deploy/examples/{name}")), warnings);
    }
}

#[test]
fn the_image_holds_the_two_programs_no_shell_and_no_root() {
    let file = read("deploy/Dockerfile");
    let toolchain: toml::Table = read("rust-toolchain.toml").parse().unwrap();
    let channel = toolchain["toolchain"]["channel"].as_str().unwrap();
    assert!(file.lines().any(|line| line == format!("ARG RUST={channel}")), "rust-toolchain.toml says {channel}");
    assert!(file.contains("--profile dist --locked "));
    let (_, last) = file.rsplit_once("\nFROM ").unwrap();
    assert!(last.starts_with("gcr.io/distroless/cc-") && last.lines().next().unwrap().ends_with(":nonroot"));
    let copied: Vec<&str> = last.split_whitespace().filter(|word| word.starts_with("/out/")).collect();
    assert_eq!(copied, ["/out/synaxis-proxy", "/out/stampctl", "/out/state"]);
    assert!(last.contains("\nUSER 65532:65532\n") && !last.contains("\nRUN "));
    // without a shell only the form of a list can be run
    for instruction in ["ENTRYPOINT ", "CMD "] {
        let said = last.lines().filter_map(|line| line.trim_start().strip_prefix(instruction));
        assert!(said.clone().count() > 0 && said.clone().all(|said| said.starts_with('[')), "{instruction}");
    }
}

#[test]
fn the_image_is_built_from_every_crate_of_the_workspace() {
    let ignored = read(".dockerignore");
    let workspace: toml::Table = read("Cargo.toml").parse().unwrap();
    let members = workspace["workspace"]["members"].as_array().unwrap().iter().map(|member| member.as_str().unwrap());
    for needed in members.chain(["Cargo.toml", "Cargo.lock", "rust-toolchain.toml"]) {
        assert!(ignored.lines().any(|line| line == format!("!{needed}")), "{needed} is not sent to the builder");
    }
}
