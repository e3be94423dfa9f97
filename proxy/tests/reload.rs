//! A configuration that changes under a running proxy: what is applied, what waits, what is refused, and that nobody who
//! is connected notices.

mod storm;

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use synaxis_proxy::{
    control::config_file::{ConfigFile, Times},
    server::{self, Running},
};

use crate::world::{Client, Origin, alone, eventually, stop};

/// Soon after a change, and never without one.
const WATCHED: Times =
    Times { quiet: Duration::from_millis(50), most: Duration::from_millis(300), poll: Duration::from_secs(3_600) };

/// A proxy that follows this file.
fn follow(path: &Path, times: Times) -> Running {
    let (mut file, settings, _) = ConfigFile::load(path).unwrap_or_else(|faults| panic!("{faults}"));
    file.times = times;
    server::run_from(file, settings, None).unwrap()
}

fn written(folder: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("proxy.toml");
    fs::write(&path, text).unwrap();
    path
}

/// As editors do: a new file takes the name of the old one.
fn renamed(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).unwrap();
    fs::rename(beside, path).unwrap();
}

fn ask(admin: SocketAddr, target: &str) -> String {
    let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    Client::connect(admin).exchange(request.as_bytes()).unwrap().text()
}

/// The value of a series, by its name with its labels.
fn metric(admin: SocketAddr, series: &str) -> u64 {
    let text = ask(admin, "/metrics");
    let line = text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
    let value = line.unwrap_or_else(|| panic!("no {series} in {text}")).rsplit(' ').next().unwrap();
    value.parse::<f64>().unwrap() as u64
}

/// Reloads so far: applied, unchanged, refused.
fn reloads(admin: SocketAddr) -> [u64; 3] {
    ["applied", "unchanged", "refused"]
        .map(|result| metric(admin, &format!("config_reloads_total{{result=\"{result}\"}}")))
}

fn reloaded(proxy: &Running, expected: [u64; 3]) {
    eventually(&format!("reloads are {expected:?}"), || reloads(proxy.admin) == expected);
}

#[test]
fn an_upstream_changes_under_a_connection_that_stays() {
    let (old, new) = (Origin::start("old"), Origin::start("new"));
    let folder = tempfile::tempdir().unwrap();
    let path = written(&folder, &alone(old.address, ""));
    let proxy = follow(&path, WATCHED);
    let mut client = Client::connect(proxy.edges[0]);
    assert_eq!(client.get("acme", "/").json()["stamp"], "old");
    renamed(&path, &alone(new.address, ""));
    reloaded(&proxy, [1, 0, 0]);
    assert_eq!(client.get("acme", "/").json()["stamp"], "new");
    assert_eq!((old.count(), new.count()), (1, 1));
    assert_eq!(metric(proxy.admin, "connections_accepted_total"), 1);
    stop(proxy);
}

#[test]
fn what_did_not_change_keeps_its_connections() {
    let origin = Origin::start("app");
    let folder = tempfile::tempdir().unwrap();
    let path = written(&folder, &alone(origin.address, ""));
    let proxy = follow(&path, WATCHED);
    let mut client = Client::connect(proxy.edges[0]);
    for turn in 1..=5_u64 {
        assert_eq!(client.get("acme", "/").status, 200);
        let more =
            format!("[limits]\nfields = {}\n[upstreams.more]\nendpoints = [\"http://127.0.0.1:{turn}\"]\n", 50 + turn);
        let route = "[[routes]]\nname = \"all\"\npath_prefix = \"/\"\nupstream = \"app\"\n";
        renamed(&path, &alone(origin.address, &format!("{more}{route}")));
        reloaded(&proxy, [turn, 0, 0]);
    }
    assert_eq!(client.get("acme", "/").status, 200);
    assert_eq!(metric(proxy.admin, "upstream_checkouts_total{kind=\"opened\"}"), 1, "one connection for all of it");
    stop(proxy);
}

#[test]
fn the_swap_of_a_mounted_config_map_is_seen() {
    let (old, new) = (Origin::start("old"), Origin::start("new"));
    let folder = tempfile::tempdir().unwrap();
    // as the kubelet lays it out: proxy.toml -> ..data/proxy.toml, ..data -> a folder that is made anew each time
    let lay = |name: &str, text: &str| {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("proxy.toml"), text).unwrap();
        symlink(name, folder.path().join("..data_tmp")).unwrap();
        fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).unwrap();
    };
    lay("..2026_01_01", &alone(old.address, ""));
    let path = folder.path().join("proxy.toml");
    symlink("..data/proxy.toml", &path).unwrap();
    let proxy = follow(&path, Times { poll: WATCHED.poll, ..Times::default() });
    let mut client = Client::connect(proxy.edges[0]);
    assert_eq!(client.get("acme", "/").json()["stamp"], "old");
    // twice: the second swap is only seen when the watch has followed the first
    for (name, gone, origin, count) in
        [("..2026_01_02", "..2026_01_01", &new, 1), ("..2026_01_03", "..2026_01_02", &old, 2)]
    {
        lay(name, &alone(origin.address, ""));
        fs::remove_dir_all(folder.path().join(gone)).unwrap();
        reloaded(&proxy, [count, 0, 0]);
        let name = if count == 1 { "new" } else { "old" };
        assert_eq!(client.get("acme", "/").json()["stamp"], name);
    }
    stop(proxy);
}

#[test]
fn a_change_that_the_watch_cannot_see_is_found_by_the_poll() {
    let origin = Origin::start("app");
    let folder = tempfile::tempdir().unwrap();
    let path = written(&folder, &alone(origin.address, ""));
    // a write through another name of the same file is not reported to the folder of this one
    let hidden = tempfile::tempdir_in(folder.path()).unwrap();
    let other = hidden.path().join("other.toml");
    fs::hard_link(&path, &other).unwrap();
    let proxy = follow(&path, WATCHED);
    proxy.reload();
    reloaded(&proxy, [0, 1, 0]);
    fs::write(&other, alone(origin.address, "[limits]\nfields = 9\n")).unwrap();
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(reloads(proxy.admin), [0, 1, 0], "the watch is blind here");
    proxy.reload();
    reloaded(&proxy, [1, 1, 0]);
    stop(proxy);
    let proxy = follow(&path, Times { poll: Duration::from_millis(50), ..WATCHED });
    fs::write(&other, alone(origin.address, "")).unwrap();
    eventually("the poll finds it", || reloads(proxy.admin)[0] == 1);
    stop(proxy);
}

#[test]
fn the_same_bytes_are_no_change_but_whoever_asks_is_answered() {
    let origin = Origin::start("app");
    let folder = tempfile::tempdir().unwrap();
    let text = alone(origin.address, "");
    let path = written(&folder, &text);
    let proxy = follow(&path, WATCHED);
    renamed(&path, &text);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(reloads(proxy.admin), [0, 0, 0]);
    proxy.reload();
    reloaded(&proxy, [0, 1, 0]);
    // other bytes that say the same
    renamed(&path, &format!("# {text}"));
    reloaded(&proxy, [0, 2, 0]);
    stop(proxy);
}

#[test]
fn a_file_with_faults_changes_nothing_and_says_so_until_a_good_one_comes() {
    let origin = Origin::start("app");
    let folder = tempfile::tempdir().unwrap();
    let text = alone(origin.address, "");
    let path = written(&folder, &text);
    let proxy = follow(&path, WATCHED);
    let mut client = Client::connect(proxy.edges[0]);
    let before = proxy.plane().snapshot.load().settings.clone();
    let refused = |number: u64, words: &str| {
        reloaded(&proxy, [0, number - 1, number]);
        let verbose = ask(proxy.admin, "/readyz?verbose");
        assert!(verbose.contains("[-] configuration refused 0."), "{verbose}");
        assert!(verbose.contains(words) && verbose.ends_with("\nready\n"), "{words}: {verbose}");
        assert_eq!(metric(proxy.admin, "config_last_reload_success"), 0);
        assert!(std::sync::Arc::ptr_eq(&before, &proxy.plane().snapshot.load().settings));
    };
    let mended = |number: u64| {
        renamed(&path, &text);
        reloaded(&proxy, [0, number, number]);
        let verbose = ask(proxy.admin, "/readyz?verbose");
        assert!(!verbose.contains("refused") && verbose.contains("[+] configuration applied"), "{verbose}");
        assert_eq!(metric(proxy.admin, "config_last_reload_success"), 1);
    };
    renamed(&path, &text.replace("drain", "drian").replace("lame_duck", "lame_dog"));
    refused(
        1,
        "unknown key `lame_dog` in [shutdown]; known here: `client_keepalive`, `drain`, `flush`, `lame_duck`, `tunnels` (and 1 more)",
    );
    mended(1);
    fs::remove_file(&path).unwrap();
    refused(2, "No such file or directory");
    assert_eq!(client.get("acme", "/").status, 200);
    mended(2);
    stop(proxy);
}

#[test]
fn nothing_that_takes_the_place_of_the_file_stops_the_proxy() {
    let origin = Origin::start("app");
    let folder = tempfile::tempdir().unwrap();
    let path = written(&folder, &alone(origin.address, ""));
    let proxy = follow(&path, WATCHED);
    let mut client = Client::connect(proxy.edges[0]);
    let made: [(&str, &dyn Fn()); 6] = [
        ("a folder", &|| fs::create_dir(&path).unwrap()),
        ("a link to itself", &|| symlink("proxy.toml", &path).unwrap()),
        ("a device without end", &|| symlink("/dev/zero", &path).unwrap()),
        ("a pipe that nobody writes", &|| {
            assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        }),
        ("other bytes than text", &|| fs::write(&path, [0xff; 100]).unwrap()),
        ("more than a configuration", &|| fs::write(&path, vec![b'#'; 2 << 20]).unwrap()),
    ];
    for (name, make) in made {
        fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)).unwrap();
        make();
        let before = reloads(proxy.admin)[2];
        proxy.reload();
        eventually(name, || reloads(proxy.admin)[2] > before);
        assert_eq!(client.get("acme", "/").status, 200, "{name}");
    }
    assert_eq!(reloads(proxy.admin)[..2], [0, 0]);
    stop(proxy);
}

#[test]
fn a_secret_in_a_file_of_its_own_is_followed_and_waited_for() {
    let origin = Origin::start("app");
    let (folder, secrets) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, later) = (secrets.path().join("token"), secrets.path().join("later"));
    let with = |secret: &Path| {
        alone(origin.address, "").replacen("[admin]\n", &format!("[admin]\ntoken_file = {secret:?}\n"), 1)
    };
    fs::write(&first, "0123456789abcdef\n").unwrap();
    let path = written(&folder, &with(&first));
    let proxy = follow(&path, Times { poll: Duration::from_millis(200), ..WATCHED });
    let token = || proxy.plane().snapshot.load().settings.admin.token.as_ref().unwrap().expose().to_owned();
    assert_eq!(token(), "0123456789abcdef");
    renamed(&first, "fedcba9876543210\n");
    reloaded(&proxy, [1, 0, 0]);
    assert_eq!(token(), "fedcba9876543210");
    // one that is not there is a fault, counted once however often it is looked for, and found when it comes
    renamed(&path, &with(&later));
    reloaded(&proxy, [1, 0, 1]);
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!((reloads(proxy.admin), token().as_str()), ([1, 0, 1], "fedcba9876543210"));
    fs::write(&later, "0123456789ABCDEF").unwrap();
    reloaded(&proxy, [2, 0, 1]);
    assert_eq!(token(), "0123456789ABCDEF");
    stop(proxy);
}

#[test]
fn what_needs_a_restart_is_named_and_not_applied() {
    let origin = Origin::start("app");
    let folder = tempfile::tempdir().unwrap();
    let text = alone(origin.address, "");
    let path = written(&folder, &text);
    let proxy = follow(&path, WATCHED);
    renamed(
        &path,
        &alone(origin.address, "[limits]\nfields = 9\n")
            .replace("workers = 1", "workers = 2")
            .replace("synaxis-weu-001", "synaxis-weu-002"),
    );
    reloaded(&proxy, [1, 0, 0]);
    let settings = proxy.plane().snapshot.load().settings.clone();
    assert_eq!((settings.limits.fields, settings.server.workers), (9, 1), "its neighbours are applied");
    assert_eq!(settings.stamp.id.as_str(), "synaxis-weu-001");
    assert_eq!(metric(proxy.admin, "config_restart_pending"), 2);
    let verbose = ask(proxy.admin, "/readyz?verbose");
    assert!(verbose.contains("[-] restart pending for stamp.id, server.workers\n"), "{verbose}");
    renamed(&path, &text);
    reloaded(&proxy, [2, 0, 0]);
    assert_eq!(metric(proxy.admin, "config_restart_pending"), 0);
    assert!(!ask(proxy.admin, "/readyz?verbose").contains("restart"));
    stop(proxy);
}

#[test]
fn caps_and_the_probe_path_hold_for_the_next_connection() {
    let origin = Origin::start("app");
    let folder = tempfile::tempdir().unwrap();
    let text = alone(origin.address, "");
    let path = written(&folder, &text);
    let proxy = follow(&path, WATCHED);
    let probe = |target: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        Client::connect(proxy.edges[0]).exchange(request.as_bytes()).map(|answer| answer.status)
    };
    assert_eq!((probe("/health").unwrap(), probe("/up").unwrap()), (200, 400));
    renamed(&path, &text.replace("trust_header = true", "trust_header = true\nhealth_path = \"/up\""));
    reloaded(&proxy, [1, 0, 0]);
    assert_eq!((probe("/health").unwrap(), probe("/up").unwrap()), (400, 200));
    eventually("the probes are gone", || proxy.plane().connections() == 0);
    renamed(&path, &text.replace("workers = 1", "workers = 1\nconnections_max = 1"));
    reloaded(&proxy, [2, 0, 0]);
    let mut only = Client::connect(proxy.edges[0]);
    assert_eq!(only.get("acme", "/").status, 200);
    let another = Client::connect(proxy.edges[0]).try_get("acme", "/");
    assert!(another.as_ref().map_or(true, |answer| answer.status == 503), "{another:?}");
    stop(proxy);
}

#[test]
fn targets_that_come_and_go_are_forgotten_and_no_connection_changes_hands() {
    let origins = [Origin::start("a"), Origin::start("b")];
    let folder = tempfile::tempdir().unwrap();
    // a new name each time: another target, also where the address is an old one
    let text = |turn: usize| {
        alone(origins[turn % 2].address, "").replace("[upstreams.app]", &format!("[upstreams.app-{turn}]"))
    };
    let path = written(&folder, &text(0));
    let proxy = follow(&path, WATCHED);
    let mut streams = Client::connect(proxy.edges[0]);
    streams.send(b"GET /hang HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: acme\r\n\r\n");
    eventually("it streams", || origins[0].count() == 1);
    let mut client = Client::connect(proxy.edges[0]);
    for turn in 1..40 {
        renamed(&path, &text(turn));
        proxy.reload();
        eventually("it is applied", || reloads(proxy.admin)[0] == turn as u64);
        // at once, before a worker has looked at its pools
        assert_eq!(client.get("acme", "/").json()["stamp"], ["a", "b"][turn % 2], "turn {turn}");
        assert!(proxy.plane().targets.len() < 10, "{}", proxy.plane().targets.len());
    }
    assert_eq!(proxy.plane().connections(), 2, "the one that streams as well");
    proxy.cut();
    proxy.wait();
}
