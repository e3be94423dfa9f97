//! Files that want to do harm: whatever is in them, loading ends with settings or faults, soon, and shows no secret.

use std::{fmt::Write, path::Path, time::Instant};

use proptest::prelude::*;
use synaxis_config::{Environment, load, load_file, load_with, print::effective};

const MINIMAL: &str = include_str!("../../examples/minimal.toml");
const FULL: &str = include_str!("../../examples/full.toml");

/// Everything that is ever said about a text.
fn said(text: &str) -> String {
    match load(text, Path::new("f.toml")) {
        Ok((settings, warnings)) => {
            format!("{settings:?} {:?} {} {warnings:?}", settings.routing, effective(&settings))
        }
        Err(faults) => {
            assert!(!faults.as_slice().is_empty());
            format!("{faults} {faults:?}")
        }
    }
}

#[test]
fn deep_nesting_is_refused() {
    for (open, close) in [("[", "]"), ("{a=", "}")] {
        for depth in [10, 79, 80, 81, 1000, 100_000] {
            let text = format!("{MINIMAL}\n[server]\nworkers = {}1{}", open.repeat(depth), close.repeat(depth));
            assert!(load(&text, Path::new("f.toml")).is_err(), "{open} {depth}");
        }
    }
    for depth in [10, 100, 10_000, 400_000] {
        let key = vec!["a"; depth].join(".");
        assert!(load(&format!("{MINIMAL}\n[{key}]\n"), Path::new("f.toml")).is_err(), "header {depth}");
        assert!(load(&format!("{MINIMAL}\n{key} = 1\n"), Path::new("f.toml")).is_err(), "key {depth}");
    }
}

#[test]
fn a_file_full_of_faults_is_told_soon_and_within_a_cap() {
    let mut unknown = String::from(MINIMAL);
    for i in 0..60_000 {
        writeln!(unknown, "key{i} = 1").unwrap();
    }
    let mut routes = String::from(MINIMAL);
    for i in 0..1024 {
        writeln!(routes, "[[routes]]\nname='a'\nhost='h{i}.x'\npath_prefix='/x{i}'\nupstream='nobody'").unwrap();
    }
    let upstreams: String = (0..40_000).map(|i| format!("[upstreams.a{i}]\n")).collect();
    let broken = "= = =\n".repeat(150_000);
    for text in [unknown, routes, upstreams, broken] {
        let start = Instant::now();
        let faults = load(&text, Path::new("f.toml")).unwrap_err();
        assert!(faults.as_slice().len() <= synaxis_config::fault::FAULTS_MAX);
        assert!(faults.to_string().len() < 1 << 20);
        assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
    }
}

#[test]
fn a_secret_is_shown_nowhere_even_in_the_wrong_place() {
    let url = "redis://user:s3cret-p4ss@127.0.0.1:6379/0?token=s3cret";
    let good = FULL.replace("redis://127.0.0.1:6379/0", url);
    assert!(load(&good, Path::new("f.toml")).is_ok());
    let mut files = vec![good, format!("{MINIMAL}\n[routing]\nstore = \"{url}\"\n")];
    // as every value of the full file, in place of it and inside it
    for (at, _) in FULL.match_indices(" = ") {
        let (before, rest) = FULL.split_at(at + 3);
        let value = rest.find(['#', '\n']).map_or(rest, |end| &rest[..end]);
        let after = &rest[value.len()..];
        for put in
            [format!("\"{url}\""), format!("[\"{url}\"]"), format!("{{ \"{url}\" = \"{url}\" }}"), url.to_owned()]
        {
            files.push(format!("{before}{put} {after}"));
        }
        files.push(format!("{before}{} {after}", value.replacen('"', &format!("\"{url}"), 1)));
    }
    // as a key, a section, a name, twice
    files.push(format!("{MINIMAL}\n\"{url}\" = 1\n\"{url}\" = 2\n"));
    files.push(format!("{MINIMAL}\n\"{url}\" = 1\n"));
    files.push(format!("{MINIMAL}\n[\"{url}\"]\nx = 1\n"));
    files.push(format!("{MINIMAL}\n[upstreams.\"{url}\"]\nx = 1\n"));
    files.push(format!("{MINIMAL}\n[upstreams]\n\"{url}\" = 1\n"));
    files.push(format!("{MINIMAL}\n{url}\n"));
    assert!(files.len() > 200);
    for file in files {
        let said = said(&file);
        assert!(!said.contains("s3cret"), "{said}\n{file}");
    }
}

#[test]
fn what_came_from_the_environment_or_a_file_is_shown_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    for value in [
        "s3cret",
        "redis://user:s3cret@s3cret.example:6379/0?token=s3cret",
        "\"\n[stamp]\nid = \"s3cret\"\n",
        "'s3cret', \"s3cret\" ] }",
        "${SECRET} s3cret",
        "/s3cret/../s3cret",
        "http://s3cret:80",
        "synaxis-s3cret-001",
        "\u{1b}[2Js3cret\u{202e}",
    ] {
        std::fs::write(&file, value).unwrap();
        let environment: Environment = [("SECRET", value)].into_iter().collect();
        let store_file = format!("store_file = \"{}\"", file.display());
        let mut files = vec![FULL.replace("store = \"redis://127.0.0.1:6379/0\"", &store_file)];
        for (at, _) in FULL.match_indices(" = ") {
            let (before, rest) = FULL.split_at(at + 3);
            let written = rest.find(['#', '\n']).map_or(rest, |end| &rest[..end]);
            let after = &rest[written.len()..];
            for put in ["\"${SECRET}\"", "[\"${SECRET}\"]", "\"x${SECRET}\"", "{ set = { x-a = \"${SECRET}\" } }"] {
                files.push(format!("{before}{put} {after}"));
            }
        }
        // as the name of two routes of which none is reached, and of an upstream that is not there
        let route = "[[routes]]\nname = \"${SECRET}\"\npath_prefix = \"/\"\nupstream = \"app\"\n";
        files.push(format!("{MINIMAL}\n{route}{route}{}", route.replace("app", "${SECRET}")));
        files.push(format!("{MINIMAL}\n{route}{}", route.replace("${SECRET}", "b")));
        files.push(format!("{MINIMAL}\n{}{route}", route.replace("${SECRET}", "b")));
        for file in files {
            let said = match load_with(&file, Path::new("f.toml"), &environment) {
                Ok(loaded) => format!("{} {loaded:?} {loaded:#?} {environment:?}", effective(&loaded.settings)),
                Err(faults) => format!("{faults} {faults:?}"),
            };
            assert!(!said.contains("s3cret"), "{value:?}: {said}\n{file}");
        }
    }
}

/// Lines as an author might write them, rightly and wrongly.
fn line() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "id",
        "kind",
        "address",
        "trust_header",
        "health_path",
        "workers",
        "store",
        "snapshot",
        "bootstrap",
        "sources",
        "name",
        "host",
        "path_prefix",
        "upstream",
        "timeout",
        "endpoints",
        "sample",
        "output",
        "head_bytes",
        "uri_bytes",
        "idle",
        "drain",
        "flush",
        "client_keepalive",
        "tunnels",
        "hosts",
        "networks",
        "ports",
        "schemes",
        "stamp",
        "listeners",
        "routes",
        "upstreams",
        "upstreams.app",
        "path",
        "in_flight_max",
        "tenant_share_max",
        "recovery",
        "breaker",
        "health_check",
        "preset",
        "failures",
        "open",
        "open_max",
        "statuses",
        "interval",
        "attempt_timeout",
        "total",
        "class",
        "attempts_max",
        "backoff",
        "budget",
        "replay_bytes",
        "probe",
        "latency_max",
        "on_failure",
        "page",
        "retry_after",
        "requests",
        "burst",
        "tier",
        "key",
        "quota",
        "candidate",
        "candidate_burst",
        "mode",
        "scope",
        "on_store_failure",
        "url",
        "deadline",
        "processes_max",
        "denies_max",
        "rate_limits",
        "tier_limit",
        "keys_max",
        "cache",
        "memory",
        "tenant_share",
        "preset",
        "ttl",
        "default_ttl",
        "entries_max",
        "authorization",
        "tenant_keys_max",
        "url",
        "x",
    ]);
    let value = prop::sample::select(vec![
        "1",
        "-1",
        "9223372036854775808",
        "1e400",
        "nan",
        "true",
        "''",
        "'edge'",
        "'peer'",
        "'127.0.0.1:0'",
        "'0.0.0.0:80'",
        "'25s'",
        "'-5s'",
        "'99999999999999999999h'",
        "'32KiB'",
        "[]",
        "{}",
        "[[]]",
        "[{}]",
        "[{header='x'}]",
        "{app={}}",
        "'/'",
        "'app'",
        "['http://[::1]:1']",
        "['.a']",
        "['10.0.0.0/8']",
        "'redis://h'",
        "'file:x'",
        "1979-05-27",
        "\"\\u0000\"",
        "'synaxis-weu-001'",
        "'stdout'",
        "'llm'",
        "'read-only'",
        "[500, 599]",
        "'tcp://[::1]:1'",
        "'1ms'",
        "0.5",
        "\"\"\"\n\"\"\"",
        "'ä€𝄞'",
        "'500/min'",
        "'unlimited'",
        "{a='1/s',b={quota='9/d',burst=9}}",
        "['tenant', 'user']",
        "['client_ip', 'header:x']",
        "'fleet'",
        "'closed'",
    ]);
    let header = prop::sample::select(vec![
        "[stamp]",
        "[server]",
        "[[listeners]]",
        "[admin]",
        "[routing]",
        "[routing.endpoints]",
        "[tenant]",
        "[[routes]]",
        "[upstreams.app]",
        "[upstreams.b]",
        "[upstreams]",
        "[upstreams.app.health_check]",
        "[upstreams.app.breaker]",
        "[upstreams.app.outliers]",
        "[peers]",
        "[peers.health_check]",
        "[peers.breaker]",
        "[retries]",
        "[dependencies.a]",
        "[dependencies]",
        "[degradation]",
        "[tiers.a]",
        "[tiers]",
        "[user]",
        "[[rate_limits]]",
        "[rate_limits.quota]",
        "[rate_limits.quota.a]",
        "[rate_limiting]",
        "[limits_store]",
        "[cache]",
        "[cache.classes]",
        "[cache.classes.a]",
        "[[cache.classes]]",
        "[access_log]",
        "[limits]",
        "[timeouts]",
        "[shutdown]",
        "[x]",
        "[[x.y]]",
        "[listeners]",
        "[[stamp]]",
        "[\"\"]",
    ]);
    prop_oneof![
        4 => (key, value).prop_map(|(key, value)| format!("{key} = {value}")),
        2 => header.prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        said(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_lines_make_it_panic(lines in prop::collection::vec(line(), 0..40)) {
        said(&lines.join("\n"));
    }

    #[test]
    fn no_slip_in_a_good_file_makes_it_panic(
        from in 0..FULL.len(), length in 0..60_usize, put in "[ -~\n\"'\\[\\]{}=#.ä]{0,12}"
    ) {
        let bytes = FULL.as_bytes();
        let to = (from + length).min(bytes.len());
        let text = [&bytes[..from], put.as_bytes(), &bytes[to..]].concat();
        said(&String::from_utf8_lossy(&text));
    }
}

#[test]
fn no_bytes_in_a_file_make_it_panic() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("f.toml");
    for bytes in [&b""[..], b"\0", b"\xff\xfe[\0s\0", b"\xef\xbb\xbf[stamp]\n", b"\r\r\r", b"\x7fELF\x02\x01"] {
        std::fs::write(&file, bytes).unwrap();
        assert!(load_file(&file).is_err(), "{bytes:?}");
    }
}
