//! Where two scenarios differ in a way that makes their figures those of two things.

use toml::{Table, Value};

/// Parts of a scenario that change no figure, or that `compare` has a word of its own for.
const BESIDE: [&str; 6] = ["name", "about", "seed", "targets", "expect", "short"];

/// Dotted keys of what differs between two resolved scenarios.
pub(super) fn keys(a: &str, b: &str) -> Vec<String> {
    let mut found = vec![];
    if let (Ok(mut a), Ok(mut b)) = (a.parse::<Table>(), b.parse::<Table>()) {
        for table in [&mut a, &mut b] {
            table.retain(|key, _| !BESIDE.contains(&key));
        }
        walk("", &a, &b, &mut found);
    } else if a != b {
        found.push("its text".to_owned());
    }
    found
}

fn walk(path: &str, a: &Table, b: &Table, found: &mut Vec<String>) {
    let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    for key in keys {
        let whole = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match (a.get(key), b.get(key)) {
            (Some(Value::Table(a)), Some(Value::Table(b))) => walk(&whole, a, b, found),
            (a, b) if a != b => found.push(whole),
            _ => {}
        }
    }
}
