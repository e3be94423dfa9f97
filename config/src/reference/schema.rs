//! The file as JSON Schema 2020-12, for editors and for checks before a proxy is there.
//!
//! Invariant: every file that loads is valid; a valid file may still hold what only loading finds.

use serde_json::{Map, Value, json};

use super::sentence;
use crate::describe::{Description, Key, Kind, Need};

/// The JSON Schema of the file.
#[must_use]
pub fn schema() -> String {
    let description = Description::new();
    let mut schema = object(&description, "");
    if let Value::Object(top) = &mut schema {
        top.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        top.insert("title".to_owned(), json!("Configuration of synaxis-proxy"));
        let variable = json!({ "type": "string", "pattern": "\\$\\{[A-Z_][A-Z0-9_]*\\}" });
        top.insert("$defs".to_owned(), json!({ "environment": variable }));
    }
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

fn object(description: &Description, path: &str) -> Value {
    let mut properties = Map::new();
    for key in description.inside(path) {
        let mut property = property(description, key);
        if let Value::Object(property) = &mut property {
            describe(property, key, description);
        }
        properties.insert(key.name().to_owned(), property);
    }
    let required: Vec<&str> =
        description.inside(path).filter(|key| description.is_required(key)).map(Key::name).collect();
    let mut object = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if let Value::Object(object) = &mut object {
        if !required.is_empty() {
            object.insert("required".to_owned(), json!(required));
        }
        let parent = |path: &str| path.rsplit_once('.').map_or(String::new(), |(parent, _)| parent.to_owned());
        let either = description.either.iter().find(|keys| keys.first().is_some_and(|key| parent(key) == path));
        if let Some(keys) = either {
            let one = |key: &String| json!({ "required": [key.rsplit('.').next()] });
            object.insert("oneOf".to_owned(), keys.iter().map(one).collect());
        }
    }
    object
}

fn property(description: &Description, key: &Key) -> Value {
    match key.kind {
        Kind::Value => with_environment(key.schema.clone()),
        Kind::Section => object(description, &key.path),
        Kind::Sections(most) => {
            json!({ "type": "array", "maxItems": most, "items": object(description, &key.path) })
        }
        Kind::Named(most) => json!({
            "type": "object",
            "maxProperties": most,
            "propertyNames": { "pattern": crate::written::NAME },
            "additionalProperties": object(description, &format!("{}.NAME", key.path)),
        }),
    }
}

fn describe(property: &mut Map<String, Value>, key: &Key, description: &Description) {
    let range = match property.remove("$comment") {
        Some(Value::String(range)) => format!(" Allowed are {range}."),
        _ => String::new(),
    };
    property.insert("description".to_owned(), json!(format!("{}{range}", sentence(&key.path))));
    if let Some(default) = &key.default {
        property.insert("default".to_owned(), default.clone());
    }
    if description.either(key).is_some() {
        property.insert("writeOnly".to_owned(), json!(true));
    }
    let (Need::Always(example) | Need::Sometimes(example)) = &key.need else { return };
    if let Some(example) = super::defaults::example(key.name(), example) {
        property.insert("examples".to_owned(), json!([example]));
    }
}

/// Text of a certain form may also come from the environment, and is then judged when it is filled in.
fn with_environment(mut schema: Value) -> Value {
    let Value::Object(parts) = &mut schema else { return schema };
    for inner in ["items", "additionalProperties"] {
        if let Some(part) = parts.get_mut(inner) {
            *part = with_environment(part.take());
        }
    }
    for part in parts.get_mut("properties").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        *part = with_environment(part.take());
    }
    let variable = json!({ "$ref": "#/$defs/environment" });
    if let Some(Value::Array(choices)) = parts.get_mut("anyOf") {
        for choice in choices.iter_mut().filter(|choice| choice["type"] == json!("object")) {
            *choice = with_environment(choice.take());
        }
        choices.push(variable);
    } else if parts.contains_key("enum") || parts.contains_key("pattern") {
        let comment = parts.remove("$comment");
        let mut either = json!({ "anyOf": [schema, variable] });
        if let (Value::Object(either), Some(comment)) = (&mut either, comment) {
            either.insert("$comment".to_owned(), comment);
        }
        return either;
    }
    schema
}
