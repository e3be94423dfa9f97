//! The reference page of the documentation.

use serde_json::Value;

use super::sentence;
use crate::{
    describe::{Description, Key, Kind, Need},
    print::toml_text,
};

const HEAD: &str = "# Configuration

Every section and key of the file. This page is made from what the proxy reads; `synaxis-proxy dump-defaults` prints the
same as a file, `synaxis-proxy print-schema` as a JSON Schema for editors.

`${NAME}` inside a text is the environment variable of that name; `$${` is a `${` that stays. A duration is a whole number
and `ms`, `s`, `m` or `h`; a size is a number of bytes, or a whole number and `KiB`, `MiB` or `GiB`. A quota is a number of
requests, a slash and a time: `10/s`, `500/min`, `5000/h`, `100000/d`, or with a duration `10/30s`.
";

/// The page as Markdown.
#[must_use]
pub fn page() -> String {
    let mut text = HEAD.to_owned();
    section(&Description::new(), "", &mut text);
    text
}

fn section(description: &Description, path: &str, text: &mut String) {
    let mut values = description.inside(path).filter(|key| key.kind == Kind::Value).peekable();
    if values.peek().is_some() {
        text.push_str("\n| key | takes | default | |\n| --- | --- | --- | --- |\n");
    }
    for key in values {
        let sentence = sentence(&key.path).replace('|', "\\|");
        text.push_str(&format!("| `{}` | {} | {} | {sentence} |\n", key.name(), takes(&key.schema), default(key)));
    }
    for key in description.inside(path).filter(|key| key.kind != Kind::Value) {
        let (inner, title) = match key.kind {
            Kind::Named(_) => (format!("{}.NAME", key.path), format!("[{}.NAME]", key.path)),
            Kind::Sections(_) => (key.path.clone(), format!("[[{}]]", key.path)),
            _ => (key.path.clone(), format!("[{}]", key.path)),
        };
        let required = if description.is_required(key) { " Required." } else { "" };
        text.push_str(&format!("\n## `{title}`\n\n{}{required}\n", sentence(&key.path)));
        section(description, &inner, text);
    }
}

fn default(key: &Key) -> String {
    match (&key.need, &key.default) {
        (Need::Always(_), _) => "required".to_owned(),
        (Need::Sometimes(_), _) => "depends".to_owned(),
        (Need::Never, Some(default)) => format!("`{}`", toml_text(default)),
        (Need::Never, None) => "none".to_owned(),
    }
}

/// What a schema means, in words.
fn takes(schema: &Value) -> String {
    let range = schema.get("$comment").and_then(Value::as_str);
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        let words: Vec<String> = words.iter().map(|word| format!("`{}`", toml_text(word))).collect();
        return words.join(", ");
    }
    if let (Some(choices), None) = (schema.get("anyOf").and_then(Value::as_array), range) {
        return choices.iter().map(takes).collect::<Vec<_>>().join(", or ");
    }
    let number = |name: &str| schema.get(name).map(Value::to_string).unwrap_or_default();
    match (schema.get("type").and_then(Value::as_str), range) {
        (Some("string"), Some(range)) => format!("a duration, {range}"),
        (None, Some(range)) => format!("a size, {range}"),
        (Some("boolean"), _) => "`true`, `false`".to_owned(),
        (Some("number"), _) if schema.get("exclusiveMinimum").is_some() => {
            format!("above {} to {}", number("exclusiveMinimum"), number("maximum"))
        }
        (Some("integer" | "number"), _) => format!("{} to {}", number("minimum"), number("maximum")),
        (Some("array"), _) => {
            let of = schema.get("items").map(takes).unwrap_or_default();
            format!("a list of {} to {}: {of}", number("minItems"), number("maxItems"))
        }
        (Some("object"), _) => format!("a table of at most {} texts", number("maxProperties")),
        _ => "text".to_owned(),
    }
}
