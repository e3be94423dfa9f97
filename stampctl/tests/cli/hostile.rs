//! Hostile words, addresses and files.

use std::io::Write as _;

use crate::World;

#[test]
fn hostile_ids_and_endpoints_are_refused_before_anything_is_written() {
    let world = World::file().with(&["weu-001"]);
    let before = world.version();
    for id in ["", "../weu-001", "synaxis-weu-1", "weu-001\n", "weu-001\u{202e}", "{x}-001", "weu-0000001", "-h-001"] {
        let code = world.args(&["status", "--", id]).code;
        assert_eq!(code, 2, "{id:?}");
    }
    for tenant in ["", "a b", "a/b", "a\nb", "{a}", &"x".repeat(129)] {
        world.args(&["tenant", "pin", tenant, "weu-001"]).code(2);
    }
    for endpoint in [
        "",
        "https://",
        "https://user:secret@weu-002.stamp.internal:8443",
        "https://169.254.169.254:443",
        "https://0x7f.1:8443",
        "https://[::ffff:127.0.0.1]:8443",
        "https://0.0.0.0:8443",
        "https://239.1.1.1:8443",
        "http://weu-002.stamp.internal:8080",
        "https://weu-002.stamp.internal:8443/path",
        "https://weu-002.stamp.internal:0",
        "javascript:alert(1)",
    ] {
        let ran = world.args(&["register", "weu-002", "--endpoint", endpoint]).code(1);
        assert!(ran.err.contains("endpoint"), "{endpoint}: {}", ran.err);
        assert!(!ran.err.contains("secret"), "{}", ran.err);
    }
    assert_eq!(world.version(), before);
}

#[test]
fn control_characters_never_reach_the_terminal() {
    let world = World::file().with(&["weu-001", "weu-002"]);
    world.args(&["weight", "weu-001", "7", "--because", "\x1b[2J\x07evil", "--as", "me\rroot"]).code(0);
    let history = world.run("history").code(0).out;
    assert!(history.contains("evil") && !history.contains(['\x1b', '\x07', '\r']), "{history:?}");
    let label = world.args(&["register", "weu-003", "--endpoint", "https://a.b:1", "--label", "x=\x1b[31m"]).code(1);
    assert!(label.err.contains("control characters"), "{}", label.err);
}

#[test]
fn files_that_are_no_table_are_refused_and_change_nothing() {
    let world = World::file().with(&["weu-001", "weu-002"]);
    world.run("export good.bin").code(0);
    let good = std::fs::read(world.folder.path().join("good.bin")).unwrap();
    let before = world.version();
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let mut cases = vec![
        vec![],
        b"{}".to_vec(),
        b"not a table at all".to_vec(),
        vec![0; 4096],
        vec![0xff; 1 << 20],
        [&good[..], b"x"].concat(),
        [&good[..], &good[..]].concat(),
    ];
    cases.extend([1, good.len() / 4, good.len() / 2, good.len() - 1].map(|length| good[..length].to_vec()));
    cases.extend([0, good.len() / 3, good.len() / 2, good.len() - 1].map(flipped));
    for (i, bytes) in cases.iter().enumerate() {
        let file = world.folder.path().join(format!("bad-{i}.bin"));
        std::fs::write(&file, bytes).unwrap();
        world.args(&["import", file.to_str().unwrap()]).code(1).says(&["cannot import"]);
    }
    world.args(&["import", world.folder.path().to_str().unwrap()]).code(1);
    // a sparse file larger than anything that is read
    let huge = std::fs::File::create(world.folder.path().join("huge.bin")).unwrap();
    huge.set_len((64 << 20) + 1).unwrap();
    world.run("import huge.bin").code(1).says(&["larger than"]);
    assert_eq!(world.version(), before);
}

#[test]
fn an_export_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::file().with(&["weu-001"]);
    world.run("export table.bin").code(0);
    let mode = std::fs::metadata(world.folder.path().join("table.bin")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let piped = world.command().args(["export"]).output().unwrap();
    assert_eq!(piped.stdout, std::fs::read(world.folder.path().join("table.bin")).unwrap());
}

#[test]
fn passwords_in_a_store_url_are_not_repeated() {
    let world = World::file();
    for url in ["redis://me:hunter2@127.0.0.1:1", "redis://:hunter2@127.0.0.1:1/x y", "gopher://me:hunter2@x"] {
        let ran = world.args(&["list", "--store", url]);
        assert_ne!(ran.code, 0);
        assert!(!ran.err.contains("hunter2") && !ran.out.contains("hunter2"), "{}", ran.err);
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let world = World::file().with(&["weu-001", "weu-002"]);
    let mut child = world.command().args(["list"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let _ = std::io::stdout().flush();
}
