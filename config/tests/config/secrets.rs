//! Values from the environment and from files of secrets: filled in, never shown, and read without waiting.

use std::{
    ffi::OsString,
    fs,
    io::Write,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use synaxis_config::{
    Environment, Loaded, load, load_file, load_with, load_with_sources,
    print::effective,
    settings::{ProbeUrl, Watched},
};

const MINIMAL: &str = include_str!("../../examples/minimal.toml");
const FULL: &str = include_str!("../../examples/full.toml");

fn said(text: &str, environment: &Environment) -> String {
    match load_with(text, Path::new("f.toml"), environment) {
        Ok(loaded) => loaded.warnings.iter().map(|warning| format!("{warning}\n")).collect(),
        Err(faults) => format!("{faults}\n"),
    }
}

/// The full file with the store in a file.
fn with_store_file(path: &Path) -> String {
    let written = format!("store_file = \"{}\"", path.display());
    FULL.replace("store = \"redis://127.0.0.1:6379/0\"", &written)
}

fn fifo(folder: &Path) -> PathBuf {
    let path = folder.join("fifo");
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap_or_else(|error| panic!("mkfifo: {error}"));
    path
}

#[test]
fn variables_are_filled_into_every_kind_of_text() {
    let environment: Environment = [
        ("STAMP", "synaxis-weu-001"),
        ("EDGE", "127.0.0.1"),
        ("PORT", "9001"),
        ("SECONDS", "25"),
        ("KEY", "s3cret"),
        ("KIND", "edge"),
    ]
    .into_iter()
    .collect();
    let text = r#"
        [stamp]
        id = "${STAMP}"
        [[listeners]]
        kind = "${KIND}"
        address = "${EDGE}:8080"
        trust_header = true
        [upstreams.app]
        endpoints = ["http://${EDGE}:${PORT}"]
        [[routes]]
        name = "all"
        path_prefix = "/"
        upstream = "app"
        timeout = "${SECONDS}s"
        request_headers = { set = { "x-key" = "${KEY}", "x-literal" = "$${KEY}" } }
    "#;
    let loaded = load_with(text, Path::new("f.toml"), &environment).unwrap_or_else(|faults| panic!("{faults}"));
    let settings = loaded.settings;
    assert_eq!(settings.stamp.id.as_str(), "synaxis-weu-001");
    assert_eq!(settings.listeners[0].address.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.upstreams[0].endpoints[0].to_string(), "127.0.0.1:9001");
    assert_eq!(settings.routes[0].timeout, Duration::from_secs(25));
    let set: Vec<_> = settings.routes[0].request_headers.set.iter().map(|(_, value)| value.as_bytes()).collect();
    assert_eq!(set, [&b"s3cret"[..], b"${KEY}"]);
    assert!(loaded.files.is_empty());
}

#[test]
fn a_file_alone_knows_no_variable_and_the_file_of_a_process_knows_its_own() {
    let text = MINIMAL.replace("/127.0.0.1:9001", "/127.0.0.1:9001${PATH}");
    assert!(load(&text, Path::new("f.toml")).unwrap_err().to_string().contains("variable PATH is not set"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("f.toml");
    fs::write(&file, text).unwrap();
    let said = load_file(&file).unwrap_err().to_string();
    // cargo sets it for every test; it is no endpoint
    assert!(said.contains("endpoints") && said.ends_with("(the value comes from ${PATH})"), "{said}");
}

#[test]
fn a_variable_that_cannot_be_filled_in_is_one_fault_with_its_name() {
    let environment: Environment =
        [("BYTES", OsString::from_vec(vec![b'1', 0xff])), ("NUMBER", "s3cret".into())].into_iter().collect();
    for (address, expected) in [
        ("${EDGE}", "f.toml:9:11: the environment variable EDGE is not set\n"),
        ("${BYTES}", "f.toml:9:11: the environment variable BYTES is not UTF-8\n"),
        (
            "${NUMBER}",
            "f.toml:9:11: `address` in [[listeners]]: an address is IP:PORT, such as 127.0.0.1:8080 or [::1]:8080; \
             names are not resolved here (the value comes from ${NUMBER})\n",
        ),
    ] {
        let text = MINIMAL.replace("127.0.0.1:8080", address);
        assert_eq!(said(&text, &environment), expected, "{address}");
    }
}

#[test]
fn variables_cannot_make_a_file_grow_without_bound() {
    let environment: Environment = [("LONG", "x".repeat(60 << 10))].into_iter().collect();
    let values = vec!["'${LONG}'"; 100_000].join(",");
    let start = Instant::now();
    let said = said(&format!("{MINIMAL}\n[server]\nworkers = [{values}]"), &environment);
    assert!(said.contains("environment variables make the file larger than 1 MiB"), "{said}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn a_store_in_a_file_is_the_store_and_the_file_is_named_as_a_source() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("redis-url");
    for content in ["redis://:s3cret@h:1/0", "redis://:s3cret@h:1/0\n", "redis://:s3cret@h:1/0\r\n"] {
        fs::write(&path, content).unwrap();
        let Loaded { settings, files, .. } =
            load_with(&with_store_file(&path), Path::new("f.toml"), &Environment::default()).unwrap();
        assert_eq!(settings.routing.unwrap().store.expose(), "redis://:s3cret@h:1/0");
        assert_eq!(files, std::slice::from_ref(&path));
    }
    // as systemd names the folder of credentials
    let environment: Environment = [("CREDENTIALS_DIRECTORY", folder.path())].into_iter().collect();
    let text = with_store_file(Path::new("${CREDENTIALS_DIRECTORY}/redis-url"));
    assert!(load_with(&text, Path::new("f.toml"), &environment).is_ok());
    fs::remove_file(&path).unwrap();
    let said = said(&text, &environment);
    let expected = "`store_file` in [routing]: ${CREDENTIALS_DIRECTORY}/redis-url cannot be opened: No such file";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn the_file_of_a_secret_is_judged_as_the_secret_and_shown_by_its_path_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    let long = "s3cret".repeat(64 << 10);
    for (content, expected) in [
        (&b""[..], "secret is empty; write the secret into it"),
        (b"\n", "secret is empty; write the secret into it"),
        (b"\xff\xfe", "secret is not UTF-8; a secret is text"),
        (long.as_bytes(), "secret is larger than 64 KiB; is it the right one?"),
        (b"s3cret", "secret holds: it starts with none of redis://, rediss://, file: and memory:"),
        (b"redis://:s3cret\n@h:1/0", "secret holds: it holds a blank or a control character"),
        (b"redis://:s3cret@h:1/0\n\n", "secret holds: it holds a blank or a control character"),
        (b"${SECRET}", "secret holds: it starts with none of"),
    ] {
        fs::write(&path, content).unwrap();
        let said = said(&with_store_file(&path), &[("SECRET", "memory:")].into_iter().collect());
        assert!(said.contains(&format!("{}/{expected}", folder.path().display())), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(!said.contains("s3cret"), "{said}");
    }
    let both = FULL.replace("\nstore = ", &format!("\nstore_file = \"{}\"\nstore = ", path.display()));
    assert!(said(&both, &Environment::default()).contains("`store` and `store_file` in [routing]: write one of both"));
}

#[test]
fn a_probe_may_hold_a_password_that_is_shown_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache-url");
    fs::write(&path, "redis://:s3cret@h:1/0\n").unwrap();
    let environment: Environment = [("URL", "redis://:s3cret@h:1/0"), ("PASSWORD", "s3cret")].into_iter().collect();
    let file = format!("probe_file = \"{}\"", path.display());
    for (written, shown) in [
        (file.as_str(), file.as_str()),
        ("probe = \"${URL}\"", "probe = \"${URL}\""),
        ("probe = \"redis://:${PASSWORD}@h:1/0\"", "probe = \"***\" # not shown"),
        ("probe = \"redis://:s3cret@h:1/0\"", "probe = \"redis://***@h:1/0\" # ***"),
    ] {
        let text = FULL.replace("probe = \"tcp://127.0.0.1:5432\"", written);
        let loaded = load_with(&text, Path::new("f.toml"), &environment).unwrap_or_else(|faults| panic!("{faults}"));
        let Watched::Probe(probe) = &loaded.settings.dependencies[0].watched else { panic!("{written}: no probe") };
        let ProbeUrl::Redis(url) = &probe.url else { panic!("{written}: no Redis") };
        assert_eq!(url.expose(), "redis://:s3cret@h:1/0");
        assert_eq!(loaded.files.contains(&path), written == file, "{written}");
        let said = format!("{} {loaded:?} {probe:?}", effective(&loaded.settings));
        assert!(said.contains(shown) && !said.contains("s3cret"), "{said}");
    }
    for wrong in ["ftp://:s3cret@h:1", "redis://:s3cret#x@h:1", "http://:s3cret@h:1/x", "s3cret"] {
        fs::write(&path, wrong).unwrap();
        let said = said(&FULL.replace("probe = \"tcp://127.0.0.1:5432\"", &file), &environment);
        let expected = format!("`probe_file` in [dependencies.metadata-db]: what {} holds: ", path.display());
        assert!(said.contains(&expected) && said.lines().count() == 1 && !said.contains("s3cret"), "{said}");
    }
}

#[test]
fn the_path_of_a_secret_is_a_path_and_not_the_secret() {
    for bad in ["", "s3cret", "redis://:s3cret@h:1", "file:/s3cret", "/run/s3cret/", "\\u0000s3cret"] {
        let said = said(&with_store_file(Path::new(bad)), &Environment::default());
        assert!(said.contains("`store_file` in [routing]: "), "{bad}: {said}");
        assert!(!said.contains("s3cret"), "{said}");
    }
}

#[test]
fn nothing_that_is_no_file_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = fifo(folder.path());
    let start = Instant::now();
    for (path, expected) in [
        (folder.path(), "is a folder"),
        (&fifo, "is no regular file"),
        (Path::new("/dev/zero"), "is no regular file"),
        (Path::new("/dev/tty"), "/dev/tty "),
        (Path::new("/nowhere/x"), "cannot be opened: No such file"),
    ] {
        let said = said(&with_store_file(path), &Environment::default());
        assert!(said.contains(expected), "{said}");
    }
    for (path, expected) in [
        (folder.path(), "the file is a folder"),
        (Path::new("/dev/zero"), "the file is no regular file"),
        // nobody writes: it is empty
        (&fifo, "[stamp] is missing"),
    ] {
        let said = load_file(path).unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
    }
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn a_configuration_may_come_through_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let path = fifo(folder.path());
    // opened for both ways it does not wait for a reader
    let mut writer = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let (first, second) = MINIMAL.split_at(100);
    writer.write_all(first.as_bytes()).unwrap();
    let reader = thread::spawn(move || load_with_sources(&path, &Environment::default()));
    thread::sleep(Duration::from_millis(50));
    writer.write_all(second.as_bytes()).unwrap();
    drop(writer);
    assert!(reader.join().unwrap().is_ok());
}

#[test]
fn a_key_of_the_cache_is_shown_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache-key");
    let key = "s3cret".repeat(6);
    fs::write(&path, format!("{key}\n")).unwrap();
    let environment: Environment = [("CACHE_KEY", key.as_str())].into_iter().collect();
    let file = format!("key_file = \"{}\"", path.display());
    for (written, shown) in [
        (file.as_str(), file.as_str()),
        ("key = \"${CACHE_KEY}\"", "key = \"${CACHE_KEY}\""),
        ("key = \"s3crets3crets3crets3crets3crets3cret\"", "key = \"***\""),
    ] {
        let text = FULL.replace("# key = \"${CACHE_KEY}\"", &format!("{written} "));
        let loaded = load_with(&text, Path::new("f.toml"), &environment).unwrap_or_else(|faults| panic!("{faults}"));
        assert_eq!(loaded.settings.cache.store.as_ref().unwrap().key.as_ref().unwrap().expose(), key);
        let said = format!("{} {loaded:?}", effective(&loaded.settings));
        assert!(said.contains(shown) && !said.contains("s3cret"), "{said}");
    }
    for wrong in ["s3cret", "s3cret s3cret s3cret s3cret s3cret s3cret"] {
        fs::write(&path, wrong).unwrap();
        let said = said(&FULL.replace("# key = \"${CACHE_KEY}\"", &format!("{file} ")), &environment);
        let expected = format!("`key_file` in [cache.store]: what {} holds: a key ", path.display());
        assert!(said.contains(&expected) && said.lines().count() == 1 && !said.contains("s3cret"), "{said}");
    }
}
