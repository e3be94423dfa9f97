//! The layers of the crate, as its source says them: a module uses what stands below it, never what stands above.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// From top to bottom; modules of one row may use each other.
const LAYERS: [&[&str]; 12] = [
    &["main"],
    &["command"],
    &["demo"],
    &["server"],
    &["admin", "downstream"],
    &["control"],
    &["pipeline"],
    &["dataplane"],
    &["upstream", "body", "cache"],
    &["telemetry"],
    &["shutdown"],
    &["tasks"],
];

fn layer(module: &str) -> usize {
    LAYERS.iter().position(|row| row.contains(&module)).unwrap_or_else(|| panic!("{module} is in no layer"))
}

fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The top modules that a file's `crate::` paths name: `use crate::a::b`, `use crate::{a::{b, c}, d}`, `crate::a::f()`.
fn used(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    for rest in source.split("crate::").skip(1) {
        if let Some(list) = rest.strip_prefix('{') {
            let (mut depth, mut name) = (0_usize, String::new());
            for character in list.chars() {
                match character {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => names.push(std::mem::take(&mut name)),
                    other if depth == 0 => name.push(other),
                    _ => {}
                }
            }
            names.push(name);
        } else {
            names.push(rest.to_owned());
        }
    }
    let first = |name: String| {
        name.trim().split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default().to_owned()
    };
    names.into_iter().map(first).filter(|name| !name.is_empty()).collect()
}

fn without_comments(source: &str) -> String {
    source.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| [line, "\n"]).collect()
}

#[test]
fn no_module_uses_one_above_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    files(&root, &mut all);
    let mut seen = 0;
    for file in all {
        let inside = file.strip_prefix(&root).unwrap();
        let module = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        if module == "lib" || inside.ends_with("tests.rs") {
            continue;
        }
        for name in used(&without_comments(&fs::read_to_string(&file).unwrap())) {
            seen += 1;
            assert!(layer(&name) >= layer(&module), "{} uses {name}, which stands above {module}", inside.display());
        }
    }
    assert!(seen > 50, "only {seen} uses found: the walk is broken");
}

#[test]
fn the_walk_reads_every_form() {
    let source = "use crate::{\n a::{b, c::{d, e}},\n f,\n g::h as i,\n};\nuse crate::j;\nlet x = crate::k::l();";
    assert_eq!(used(source), ["a", "f", "g", "j", "k"]);
}
