//! Every key with its default, as a file to begin with: all of it commented out.
//!
//! Invariant: a line that begins with `# ` is the file, one with `## ` is about the next; with the lines uncommented that
//! are required, it loads.

use serde_json::Value;

use super::sentence;
use crate::{
    describe::{Description, Key, Kind, Need},
    print::toml_text,
};

/// What stands for `NAME` in `[upstreams.NAME]`.
const NAME: &str = "app";

/// Every section and key with its default and its sentence, commented out.
#[must_use]
pub fn defaults() -> String {
    let mut text = String::from(
        "## Every setting of synaxis-proxy with its default. What is marked as required has an example instead.\n\
         ## Durations are a whole number and ms, s, m or h; sizes are bytes, or a whole number and KiB, MiB or GiB.\n\
         ## ${NAME} inside a text is the environment variable NAME; $${ is a ${ that stays.\n",
    );
    section(&Description::new(), "", &mut text);
    text
}

fn section(description: &Description, path: &str, text: &mut String) {
    for key in description.inside(path).filter(|key| key.kind == Kind::Value) {
        value(description, key, text);
    }
    for key in description.inside(path).filter(|key| key.kind != Kind::Value) {
        let inner = match key.kind {
            Kind::Named(_) => format!("{}.NAME", key.path),
            _ => key.path.clone(),
        };
        let title = inner.replace("NAME", NAME);
        let title = if matches!(key.kind, Kind::Sections(_)) { format!("[[{title}]]") } else { format!("[{title}]") };
        let needed = if description.is_required(key) { " (required)" } else { "" };
        text.push_str(&format!("\n## {}{needed}\n# {title}\n", sentence(&key.path)));
        section(description, &inner, text);
    }
}

fn value(description: &Description, key: &Key, text: &mut String) {
    let (need, shown) = match (&key.need, &key.default) {
        (Need::Always(example), _) => (" (required)".to_owned(), self::example(key.name(), example)),
        (Need::Sometimes(example), _) => {
            let need = match description.either(key) {
                Some(keys) => format!(" (required, or {})", others(keys)),
                None => " (required on an edge listener)".to_owned(),
            };
            (need, self::example(key.name(), example))
        }
        (Need::Never, Some(default)) => (String::new(), Some(default.clone())),
        (Need::Never, None) => (" (no default)".to_owned(), None),
    };
    let shown = shown.map(|shown| format!(" {}", toml_text(&shown))).unwrap_or_default();
    text.push_str(&format!("## {}{need}\n# {} ={shown}\n", sentence(&key.path), key.name()));
}

/// The names of all but the first of the keys of which one is written.
fn others(keys: &[String]) -> String {
    let names = keys.iter().skip(1).map(|key| key.rsplit('.').next().unwrap_or_default());
    names.collect::<Vec<_>>().join(" or ")
}

/// The value of a line that would do.
pub(super) fn example(name: &str, line: &str) -> Option<Value> {
    let mut table: toml::Table = line.parse().ok()?;
    serde_json::to_value(table.remove(name)?).ok()
}
