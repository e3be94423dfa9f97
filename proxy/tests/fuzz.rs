//! Hostile bytes for everything that reads them: a committed corpus, then mutations of it for a bounded time.
//!
//! Each module but `mutate` reads one kind of input and has one `body`, which takes any bytes and panics when a promise
//! is broken. The same bodies run under cargo-fuzz; see `fuzz/README.md`.

mod ack;
mod config;
mod framing;
mod head;
mod mutate;
mod names;
mod table;

use std::{
    env, fs, panic,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use mutate::Chance;

/// How long a body is fed with mutations, unless `SYNAXIS_FUZZ_SECONDS` says otherwise.
const LIMIT: Duration = Duration::from_millis(700);

/// The least that it must have been fed with: fewer, and the test shows nothing.
const LEAST: usize = 20;

fn inside(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The files of a folder, in the order of their names.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let mut files: Vec<_> = paths.map(|path| (path.display().to_string(), fs::read(&path).unwrap())).collect();
    files.sort();
    files
}

/// Feeds a body with one input, which is shown if a promise is broken.
fn feed(body: fn(&[u8]), bytes: &[u8], origin: &str) {
    if let Err(broken) = panic::catch_unwind(|| body(bytes)) {
        eprintln!("{origin}:\n{}", bytes.escape_ascii());
        panic::resume_unwind(broken);
    }
}

/// Feeds a body with its corpus, then with mutations of it. `more` are folders besides its own.
fn run(target: &str, body: fn(&[u8]), more: &[&str]) {
    let mut corpus = files(&inside(&format!("fuzz/corpus/{target}")));
    corpus.extend(more.iter().flat_map(|folder| files(&inside(folder))));
    assert!(corpus.len() >= 3, "{target} has a corpus of {}", corpus.len());
    for (name, bytes) in &corpus {
        feed(body, bytes, name);
    }
    let seeds: Vec<Vec<u8>> = corpus.into_iter().map(|(_, bytes)| bytes).collect();
    let wanted = env::var("SYNAXIS_FUZZ_SECONDS").map(|seconds| Duration::from_secs(seconds.parse().unwrap()));
    let (end, mut round) = (Instant::now() + wanted.unwrap_or(LIMIT), 0);
    while round < LEAST || Instant::now() < end {
        let mut chance = Chance(round as u64);
        feed(body, &mutate::mutate(&seeds, &mut chance), &format!("{target}, round {round}"));
        round += 1;
    }
}

#[test]
fn no_head_of_a_client_becomes_two_requests_or_speaks_for_somebody_else() {
    run("head", head::body, &[]);
}

#[test]
fn no_fields_bring_a_second_framing_over() {
    run("framing", framing::body, &["fuzz/corpus/head"]);
}

#[test]
fn no_bytes_from_a_store_become_a_table_that_breaks_its_promises() {
    run("table", table::body, &[]);
}

#[test]
fn no_text_is_a_name_in_two_ways() {
    run("names", names::body, &[]);
}

#[test]
fn no_ack_in_the_store_misleads_a_reader() {
    run("ack", ack::body, &[]);
}

#[test]
fn no_file_is_a_configuration_that_does_not_hold_together() {
    run("config", config::body, &["config/tests/corpus", "config/examples"]);
}

#[test]
fn every_target_of_cargo_fuzz_calls_a_body_that_exists() {
    let manifest: toml::Table = fs::read_to_string(inside("fuzz/Cargo.toml")).unwrap().parse().unwrap();
    let named: Vec<(&str, &str)> = manifest["bin"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bin| (bin["name"].as_str().unwrap(), bin["path"].as_str().unwrap()))
        .collect();
    let mut bodies = Vec::new();
    for (path, source) in files(&inside("proxy/tests/fuzz")) {
        let name = Path::new(&path).file_stem().unwrap().to_str().unwrap().to_owned();
        if String::from_utf8(source).unwrap().contains("pub fn body(bytes: &[u8]) {") {
            bodies.push(name);
        }
    }
    assert_eq!(bodies, ["ack", "config", "framing", "head", "names", "table"]);
    assert_eq!(named.iter().map(|(name, _)| *name).collect::<Vec<_>>(), bodies);
    for (name, path) in named {
        let target = fs::read_to_string(inside("fuzz").join(path)).unwrap();
        assert!(target.contains(&format!("#[path = \"../../proxy/tests/fuzz/{name}.rs\"]")), "{path}");
        assert!(target.contains(&format!("fuzz_target!(|bytes: &[u8]| {name}::body(bytes));")), "{path}");
    }
}
