//! What is said about the keys of a file: the schema, the defaults, the page, and the effective settings.

use std::{env, fs, path::Path};

use regex::Regex;
use serde_json::{Value, json};
use synaxis_config::{Environment, Settings, load, load_with, print::effective, reference};

const MINIMAL: &str = include_str!("../../examples/minimal.toml");
const FULL: &str = include_str!("../../examples/full.toml");

fn as_json(toml: &str) -> Value {
    let table: toml::Table = toml.parse().unwrap_or_else(|error| panic!("{error}\n{toml}"));
    serde_json::to_value(table).unwrap_or_else(|error| panic!("{error}"))
}

fn settings(text: &str) -> Settings {
    load(text, Path::new("f.toml")).unwrap_or_else(|faults| panic!("{faults}\n{text}")).0
}

/// Whether a value is what a schema asks for. Knows the words that the schema uses, and no others.
#[allow(clippy::unwrap_used, reason = "a schema of another shape fails the test")]
fn fits(value: &Value, schema: &Value, top: &Value) -> bool {
    let Value::Object(words) = schema else { panic!("no schema: {schema}") };
    words.iter().all(|(word, said)| match word.as_str() {
        "$schema"
        | "title"
        | "$defs"
        | "description"
        | "default"
        | "examples"
        | "writeOnly"
        | "additionalProperties" => true,
        "$ref" => fits(value, top.pointer(said.as_str().unwrap().trim_start_matches('#')).unwrap(), top),
        "type" => match said.as_str().unwrap() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            other => panic!("{other}"),
        },
        "enum" => said.as_array().unwrap().contains(value),
        "anyOf" => said.as_array().unwrap().iter().any(|one| fits(value, one, top)),
        "oneOf" => said.as_array().unwrap().iter().filter(|one| fits(value, one, top)).count() == 1,
        "pattern" => value.as_str().is_none_or(|text| Regex::new(said.as_str().unwrap()).unwrap().is_match(text)),
        "minimum" => value.as_f64().is_none_or(|number| number >= said.as_f64().unwrap()),
        "exclusiveMinimum" => value.as_f64().is_none_or(|number| number > said.as_f64().unwrap()),
        "maximum" => value.as_f64().is_none_or(|number| number <= said.as_f64().unwrap()),
        "minItems" => value.as_array().is_none_or(|list| list.len() as u64 >= said.as_u64().unwrap()),
        "maxItems" => value.as_array().is_none_or(|list| list.len() as u64 <= said.as_u64().unwrap()),
        "maxProperties" => value.as_object().is_none_or(|table| table.len() as u64 <= said.as_u64().unwrap()),
        "items" => value.as_array().is_none_or(|list| list.iter().all(|one| fits(one, said, top))),
        "required" => value
            .as_object()
            .is_none_or(|table| said.as_array().unwrap().iter().all(|key| table.contains_key(key.as_str().unwrap()))),
        "propertyNames" => value.as_object().is_none_or(|table| table.keys().all(|key| fits(&json!(key), said, top))),
        "properties" => value.as_object().is_none_or(|table| {
            table.iter().all(|(key, value)| match (said.get(key), &schema["additionalProperties"]) {
                (Some(said), _) => fits(value, said, top),
                (None, other) => *other != json!(false),
            })
        }),
        other => panic!("the schema uses a word that this test does not know: {other}"),
    }) && match (&schema["properties"], &schema["additionalProperties"], value) {
        (Value::Null, others @ Value::Object(_), Value::Object(table)) => {
            table.values().all(|value| fits(value, others, top))
        }
        _ => true,
    }
}

#[test]
fn the_schema_takes_what_loads_and_refuses_unknown_keys_and_wrong_types() {
    let schema: Value = serde_json::from_str(&reference::schema()).unwrap();
    let valid = |text: &str| fits(&as_json(text), &schema, &schema);
    assert!(valid(MINIMAL));
    assert!(valid(FULL));
    assert!(valid(&effective(&settings(FULL))));
    assert!(valid(&FULL.replace("store = \"redis://127.0.0.1:6379/0\"", "store_file = \"/run/x\"")));
    assert!(valid(&FULL.replace("poll = \"1s\"", "poll = \"${POLL}\"")));
    for (from, to) in [
        ("starter = \"100/min\"", "starter = \"${QUOTA}\""),
        ("starter = \"100/min\"", "starter = { quota = \"${QUOTA}\" }"),
        ("starter = \"100/min\"", "starter = \"unlimited\""),
        ("quota = \"50/s\"", "quota = \"${QUOTA}\""),
        ("quota = \"50/s\"", "quota = \"10/1500ms\""),
        ("[\"client_ip\"]", "[\"header:authorization\", \"${PART}\"]"),
    ] {
        assert!(FULL.contains(from) && valid(&FULL.replacen(from, to, 1)), "{to}");
    }
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    for name in ["unknown_keys", "wrong_types", "missing_everything", "route_fields", "several_at_once", "empty"] {
        let text = fs::read_to_string(corpus.join(name).with_extension("toml")).unwrap();
        assert!(!valid(&text), "{name}");
    }
    for (from, to) in [
        ("kind = \"edge\"", "kind = \"edges\""),
        ("poll = \"1s\"", "poll = 1"),
        ("poll = \"1s\"", "pool = \"1s\""),
        ("fields = 100", "fields = 101"),
        ("head_bytes = \"32KiB\"", "head_bytes = \"32KB\""),
        ("head_bytes = \"32KiB\"", "head_bytes = 1"),
        ("sample = 1.0", "sample = 1.1"),
        ("ports = [8443]", "ports = []"),
        ("tenant_share_max = 0.75", "tenant_share_max = 0"),
        ("statuses = [502, 503, 504]", "statuses = [404]"),
        ("probe = \"tcp", "probe_file = \"/x\"\nprobe = \"tcp"),
        ("probe = \"tcp", "upstream = \"app\"\nprobe = \"tcp"),
        ("on_failure = \"read-only\"", "on_failure = \"full\""),
        ("store = \"redis", "store_file = \"/x\"\nstore = \"redis"),
        ("[upstreams.site]", "[upstreams.\"S ite\"]"),
        ("[tiers.enterprise]", "[tiers.\"enter prise\"]"),
        ("requests = \"500/min\"", "requests = \"500/m\""),
        ("requests = \"500/min\"", "requests = 500"),
        ("burst = 50 ", "burst = \"50\" "),
        ("quota = \"50/s\"", "quota = \"unlimited\""),
        ("starter = \"100/min\"", "starter = \"much\""),
        ("starter = \"100/min\"", "starter = { burst = 10 }"),
        ("starter = \"100/min\"", "starter = { quota = \"100/min\", bursts = 10 }"),
        ("key = [\"tenant\", \"user\"]", "key = [\"tenants\"]"),
        ("key = [\"tenant\", \"user\"]", "key = []"),
        ("on_store_failure = \"share\"", "on_store_failure = \"wait\""),
        ("processes_max = 8", "processes_max = 65"),
        ("deadline = \"5ms\"", "deadline = 5"),
        ("denies_max = 10000", "denies_max = -1"),
        ("url = \"redis", "url_file = \"/x\"\nurl = \"redis"),
        ("set = { \"x-api\" = \"2\" }", "set = { \"x-api\" = 2 }"),
    ] {
        let text = FULL.replacen(from, to, 1);
        assert!(text != FULL && !valid(&text), "{to}");
    }
}

#[test]
fn the_required_lines_of_the_defaults_are_the_smallest_file() {
    let mut required = false;
    let mut text = String::new();
    let mut all = String::new();
    for line in reference::defaults().lines() {
        if let Some(about) = line.strip_prefix("## ") {
            required = about.ends_with("(required)") || about.ends_with("(required on an edge listener)");
        } else if let Some(line) = line.strip_prefix("# ") {
            all.push_str(&format!("{line}\n"));
            // a key that is required belongs to the last section that is
            let title = line.starts_with('[');
            if required && (title || !text.is_empty()) && (title || in_required_section(&all, &text)) {
                text.push_str(&format!("{line}\n"));
            }
        }
    }
    assert_eq!(settings(&text), settings(MINIMAL), "{text}");
    for key in reference::keys() {
        let name = key.rsplit('.').next().unwrap().replace("NAME", "app");
        assert!(all.contains(&name), "{key} is missing");
    }
}

/// Whether the last title of all lines is also the last that was taken.
fn in_required_section(all: &str, taken: &str) -> bool {
    let title = |text: &str| text.lines().rfind(|line| line.starts_with('[')).map(str::to_owned);
    title(all) == title(taken)
}

#[test]
fn the_effective_settings_load_again_to_the_same() {
    // what may be a secret is not shown, and does not load again as if it were the secret
    let plain = FULL
        .replace("\"2\"", "\"hidden\"")
        .replace("\"en\"", "\"hidden\"")
        .replace("\"max-age=31536000\"", "\"hidden\"");
    for text in [MINIMAL, &plain] {
        let before = settings(text);
        let printed = effective(&before);
        assert_eq!(printed.contains("\"***\""), text != MINIMAL);
        assert_eq!(load(&printed, Path::new("f.toml")).is_err(), text != MINIMAL, "{printed}");
        let mended = printed.replace("\"***\"", "\"hidden\"");
        assert_eq!(settings(&mended), before, "{printed}");
        assert_eq!(effective(&settings(&mended)), printed);
    }
    let printed = effective(&settings(FULL));
    for key in reference::keys().iter().filter(|key| !key.ends_with("_file")) {
        let name = key.rsplit('.').next().unwrap().replace("NAME", "app");
        assert!(printed.contains(&name), "{key} is missing in {printed}");
    }
}

#[test]
fn what_came_from_elsewhere_is_shown_as_where_it_came_from() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store");
    fs::write(&file, "redis://:s3cret@host:1").unwrap();
    let environment: Environment =
        [("STORE", "redis://:s3cret@h:1"), ("SECRET", "s3cret"), ("DIR", folder.path().to_str().unwrap())]
            .into_iter()
            .collect();
    let store = "store = \"redis://127.0.0.1:6379/0\"";
    for (written, shown) in [
        ("store = \"${STORE}\"".to_owned(), "store = \"${STORE}\""),
        ("store = \"redis://:${SECRET}@h:1\"".to_owned(), "store = \"***\" # not shown"),
        ("store = \"redis://:s3cret@h:1\"".to_owned(), "store = \"redis://***@h:1\" # ***"),
        ("store_file = \"${DIR}/store\"".to_owned(), "store_file = \"${DIR}/store\""),
        (format!("store_file = \"{}\"", file.display()), &format!("store_file = \"{}\"", file.display())),
    ] {
        let text = FULL.replace(store, &written).replace("path_prefix = \"/api\"", "path_prefix = \"/${SECRET}/$${x\"");
        let text = text.replace("/$${x", "/x");
        let loaded = load_with(&text, Path::new("f.toml"), &environment).unwrap_or_else(|faults| panic!("{faults}"));
        let printed = effective(&loaded.settings);
        assert!(printed.contains(shown), "{shown} is missing in {printed}");
        assert!(printed.contains("path_prefix = \"/${SECRET}/x\""), "{printed}");
        assert!(!printed.contains("s3cret") && !format!("{:?}", loaded.settings).contains("s3cret"), "{printed}");
    }
}

#[test]
fn the_full_example_mentions_every_key_that_exists() {
    let text: String = FULL.lines().map(|line| format!("{}\n", line.trim_start_matches("# "))).collect();
    for key in reference::keys() {
        let (section, name) = key.rsplit_once('.').unwrap_or(("", &key));
        let title = |path: &str| text.contains(&format!("[{}]", path.replace("NAME", "app")));
        let inline = format!("{name} = ");
        let known = match section {
            // the names of upstreams
            _ if name == "NAME" => true,
            "" => title(&key) || text.contains(&format!("[{key}.")),
            // sections below it under names that the author chose
            _ => title(&key) || text.contains(&inline) || text.contains(&format!("[{key}.")),
        };
        assert!(known, "{key} is missing in full.toml");
    }
}

#[test]
fn the_page_of_the_documentation_is_the_one_that_the_keys_make() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    if env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(&path, reference::page()).unwrap();
    }
    let page = fs::read_to_string(&path).unwrap_or_default();
    assert!(page == reference::page(), "docs/configuration.md is old; UPDATE_EXPECTED=1 writes it anew");
}
