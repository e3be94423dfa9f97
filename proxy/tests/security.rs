//! SECURITY.md names files that exist and tests that are there to fail.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The sources of every crate, one after the other.
fn sources(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_file_and_every_test_that_the_threat_model_names_exists() {
    let document = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let mut all = String::new();
    for folder in ["config/src", "config/tests", "proxy/src", "proxy/tests", "routing/src"] {
        sources(&root().join(folder), &mut all);
    }
    let (mut files, mut tests) = (0, 0);
    for word in document.split('`').skip(1).step_by(2) {
        let is_path = word.contains('/') && !word.starts_with('/') && !word.contains(' ');
        let is_name = word.matches('_').count() >= 3
            && word.bytes().all(|b| b.is_ascii_lowercase() || b"_0123456789".contains(&b));
        if is_path {
            files += 1;
            assert!(root().join(word).is_file(), "{word} does not exist");
        } else if is_name {
            tests += 1;
            assert!(all.contains(&format!("fn {word}(")), "no test is called {word}");
        }
    }
    assert!(files > 30 && tests > 35, "only {files} files and {tests} tests: the walk is broken");
}
