//! The program: exit codes, files, what it leaves behind.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use synaxis_loadtest::{
    report::{Report, Verdict},
    scenario::Scenario,
};
use tempfile::TempDir;

use crate::support::turn;

const SMALL: &str = "name = \"small\"\nabout = \"short\"\n[world]\nstamps = 1\n[load]\nconnections = 4\n";

fn loadtest(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_synaxis-loadtest"));
    command.args(words).stdin(Stdio::null());
    command
}

fn scenario(folder: &Path, more: &str) -> String {
    let path = folder.join("scenario.toml");
    fs::write(&path, format!("{SMALL}{more}")).unwrap();
    path.display().to_string()
}

/// Processes that this one has started.
fn children_of(id: u32) -> Vec<u32> {
    let all =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let parent = |id: &u32| -> Option<u32> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
    };
    all.filter(|child| parent(child) == Some(id)).collect()
}

fn is_running(id: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < end, "never: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_run_that_passes_writes_its_report_and_exits_with_0() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let file = scenario(folder.path(), "lag_max = \"2s\"\n[[load.phases]]\nfor = \"1s\"\nrate = 100\n");
    let out = folder.path().join("made/for/it");
    let output = loadtest(&["run", &file, "--out", out.to_str().unwrap()]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("PASSED"), "{text}");
    let page = fs::read_to_string(out.join("small.html")).unwrap();
    assert!(page.contains("<svg") && !page.contains("http://") && !page.contains("src="), "self-contained");
    let json = out.join("small.json").display().to_string();
    let report = Report::read_json(Path::new(&json)).unwrap();
    let roles: Vec<&str> = report.scenario.binaries.iter().map(|binary| binary.role.as_str()).collect();
    assert_eq!(roles, ["proxy", "app", "generator"]);
    assert_eq!(report.scenario.arguments[..2], ["run".to_owned(), file.clone()]);
    // what was run can be run again from the report alone
    let again = Scenario::parse(&report.scenario.resolved).unwrap();
    assert_eq!(again, Scenario::load(&file).unwrap());
    let compared = loadtest(&["compare", &json, &json]).output().unwrap();
    assert!(compared.status.success() && !compared.stdout.is_empty());
}

/// A server that knows nothing of this harness; it answers every request with the same three bytes.
fn stranger() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let mut answer = stream;
                while let Some(Ok(line)) = lines.next() {
                    if line.is_empty() {
                        let _ = answer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nyes");
                    }
                }
            });
        }
    });
    address
}

#[test]
fn of_a_server_that_echoes_nothing_only_what_was_seen_is_judged() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let load = "lag_max = \"2s\"\n[[load.phases]]\nfor = \"500ms\"\nrate = 100\n[workload]\nreads = 1.0\n";
    let file = scenario(folder.path(), load);
    let target = stranger().to_string();
    let output = loadtest(&["run", &file, "--target", &target, "--no-echo", "--quiet"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let findings = "lost not judged, duplicated not judged, cross-talk not judged, misrouted not judged, unexplained 0";
    assert!(text.contains(findings), "{text}");
    // without the flag it is taken for one that must echo
    let output = loadtest(&["run", &file, "--target", &target, "--quiet"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_run_that_fails_exits_with_1_and_leaves_its_logs() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let more = "lag_max = \"2s\"\n[[load.phases]]\nfor = \"1s\"\nrate = 100\n[world.origin]\nforget = 1.0\n";
    let file = scenario(folder.path(), more);
    let output = loadtest(&["run", &file, "--quiet"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let left = text.lines().find_map(|line| line.strip_prefix("configurations, logs and journals: ")).unwrap();
    assert!(Path::new(left).join("synaxis-weu-001-0.log").is_file());
    fs::remove_dir_all(left).unwrap();
}

#[test]
fn a_report_that_cannot_be_written_takes_no_verdict_away() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    // a file cannot take the place of a folder
    fs::create_dir(folder.path().join("small.json")).unwrap();
    for (origin, code) in [("forget = 1.0", 1), ("", 2)] {
        let load = "lag_max = \"2s\"\n[[load.phases]]\nfor = \"500ms\"\nrate = 100\n";
        let file = scenario(folder.path(), &format!("{load}[world.origin]\n{origin}\n"));
        let mut command = loadtest(&["run", &file, "--quiet", "--out"]);
        let output = command.arg(folder.path()).env("TMPDIR", folder.path()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{text}{}", String::from_utf8_lossy(&output.stdout));
        assert!(text.contains("cannot write") && text.contains("small.json"), "{text}");
    }
}

#[test]
fn a_reader_that_is_gone_takes_neither_report_nor_verdict_away() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let load = "lag_max = \"2s\"\n[[load.phases]]\nfor = \"500ms\"\nrate = 100\n[world.origin]\nforget = 1.0\n";
    let file = scenario(folder.path(), load);
    let mut command = loadtest(&["run", &file, "--out"]);
    command.arg(folder.path()).env("TMPDIR", folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(Report::read_json(&folder.path().join("small.json")).unwrap().verdict, Verdict::Failed);
    assert!(folder.path().join("small.html").is_file());
}

#[test]
fn a_folder_for_reports_is_proved_before_the_load() {
    let folder = tempfile::tempdir().unwrap();
    let file = scenario(folder.path(), "[[load.phases]]\nfor = \"60s\"\nrate = 10\n");
    let begin = Instant::now();
    let output = loadtest(&["run", &file, "--out", &format!("{file}/below")]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("cannot make the folder") && begin.elapsed() < Duration::from_secs(5), "{text}");
}

#[test]
fn a_generator_that_stood_still_makes_the_run_void() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    // a fault that does nothing says that the load runs
    let load = "threads = 1\n[[load.phases]]\nfor = \"4s\"\nrate = 200\n[[faults]]\nat = \"500ms\"\ndo = \"calm\"\n";
    let (file, said) = (scenario(folder.path(), load), folder.path().join("said"));
    let said_by = fs::File::create(&said).unwrap();
    let mut child = loadtest(&["run", &file]).stdout(Stdio::piped()).stderr(said_by).spawn().unwrap();
    let says = || fs::read_to_string(&said).unwrap();
    eventually("the load runs", || says().contains("chaos ends"));
    let signal = |name: &str| Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(signal("-STOP").success());
    thread::sleep(Duration::from_millis(1_000));
    assert!(signal("-CONT").success());
    eventually("it ends", || child.try_wait().unwrap().is_some());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(3), "{text}{}", says());
    assert!(text.contains("VOID") && text.contains("fell behind"), "{text}");
}

/// A scenario of ten requests a second whose stamp has a network namespace.
fn apart(folder: &Path) -> String {
    let file = scenario(folder, "[[load.phases]]\nfor = \"60s\"\nrate = 10\n");
    let text = fs::read_to_string(&file).unwrap().replace("stamps = 1", "stamps = 1\nnetwork = \"namespaces\"");
    fs::write(&file, text).unwrap();
    file
}

#[test]
fn nothing_outlives_a_harness_that_is_killed() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let shared = scenario(folder.path(), "[[load.phases]]\nfor = \"60s\"\nrate = 10\n");
    let other = tempfile::tempdir().unwrap();
    // two more hold namespaces
    for (file, processes) in [(shared, 3), (apart(other.path()), 5)] {
        let links = || -> Vec<PathBuf> {
            let all = fs::read_dir("/sys/class/net").unwrap().map(|entry| entry.unwrap().path());
            all.filter(|path| path.to_string_lossy().contains("/synaxis")).collect()
        };
        let before = links();
        let mut child = loadtest(&["run", &file]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut children = Vec::new();
        eventually("the world is there", || {
            children = children_of(child.id());
            children.len() == processes
        });
        let made: Vec<PathBuf> = links().into_iter().filter(|link| !before.contains(link)).collect();
        assert!(processes == 3 || !made.is_empty());
        child.kill().unwrap();
        child.wait().unwrap();
        eventually("its children have ended", || children.iter().all(|id| !is_running(*id)));
        eventually("its links are gone", || made.iter().all(|link| !link.exists()));
    }
}

#[test]
fn a_machine_that_refuses_a_network_is_told_what_it_takes() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let file = apart(folder.path());
    // programs without iproute2's
    let programs = folder.path().join("programs");
    fs::create_dir(&programs).unwrap();
    for name in ["setpriv", "unshare", "nsenter", "sh", "sleep", "redis-server"] {
        let all = std::env::var("PATH").unwrap();
        let found = all.split(':').map(|folder| Path::new(folder).join(name)).find(|path| path.is_file()).unwrap();
        std::os::unix::fs::symlink(found, programs.join(name)).unwrap();
    }
    let program = env!("CARGO_BIN_EXE_synaxis-loadtest");
    let mut powerless = Command::new("setpriv");
    powerless.args(["--bounding-set", "-sys_admin", "--", program, "run", &file]).stdin(Stdio::null());
    let mut without = loadtest(&["run", &file]);
    without.env("PATH", &programs);
    for (mut command, wanted) in [(powerless, "Operation not permitted"), (without, "Debian package iproute2")] {
        let output = command.env("TMPDIR", folder.path()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("takes root (CAP_SYS_ADMIN, CAP_NET_ADMIN)") && text.contains(wanted), "{text}");
    }
}

/// Sends a run a signal so long after its processes are there; returns what it said, and left in its temporary folder.
fn interrupted(command: &str, more: &[&str], load: Duration, signal: &str) -> (String, Vec<PathBuf>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let temporary = folder.path().join("temporary");
    fs::create_dir(&temporary).unwrap();
    let file = scenario(folder.path(), "[[load.phases]]\nfor = \"60s\"\nrate = 10\n");
    let words = [&[command, &file, "--quiet"], more].concat();
    let command = &mut loadtest(&words);
    let child = command.env("TMPDIR", &temporary).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut children = Vec::new();
    eventually("the world is there", || {
        children = children_of(child.id());
        children.len() == 3
    });
    thread::sleep(load);
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    let begin = Instant::now();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(begin.elapsed() < Duration::from_secs(5), "it waits for {:?}", begin.elapsed());
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(children.iter().all(|id| !is_running(*id)), "its children outlive it");
    let left = fs::read_dir(&temporary).unwrap().map(|entry| entry.unwrap().path()).collect();
    (text, left, folder)
}

#[test]
fn a_signal_ends_a_run_and_nothing_of_its_world_is_left() {
    let _turn = turn();
    // while the world comes to be, and under load
    let (early, late) = (Duration::ZERO, Duration::from_millis(1_000));
    for (command, load, signal) in [("run", late, "-TERM"), ("run", early, "-INT"), ("highest", late, "-TERM")] {
        let (text, left, _folder) = interrupted(command, &[], load, signal);
        assert!(text.contains(&format!("interrupted by SIG{}", &signal[1..])), "{command}: {text}");
        assert_eq!(left, Vec::<PathBuf>::new(), "{command}: {text}");
    }
}

#[test]
fn a_run_that_is_to_keep_its_folder_names_it_when_a_signal_ends_it() {
    let _turn = turn();
    let (text, left, _folder) = interrupted("run", &["--keep"], Duration::ZERO, "-TERM");
    assert_eq!(left.len(), 1);
    assert_eq!(text.lines().last().unwrap(), format!("configurations, logs and journals: {}", left[0].display()));
}

#[test]
fn a_world_that_does_not_start_leaves_its_logs_and_says_where() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let file = scenario(folder.path(), "[[load.phases]]\nfor = \"1s\"\nrate = 1\n");
    let with_nonsense = fs::read_to_string(&file).unwrap().replace("stamps = 1", "stamps = 1\nproxy = \"colour = 1\"");
    fs::write(&file, with_nonsense).unwrap();
    let output = loadtest(&["run", &file, "--quiet"]).env("TMPDIR", folder.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    let left = text.lines().find_map(|line| line.strip_prefix("configurations, logs and journals: ")).unwrap();
    assert!(Path::new(left).starts_with(folder.path()), "{left}");
    let log = fs::read_to_string(Path::new(left).join("synaxis-weu-001-0.log")).unwrap();
    assert!(log.contains("colour") && text.contains("colour"), "{text}");
    assert!(Path::new(left).join("synaxis-weu-001-0.toml").is_file());
}

#[test]
fn what_cannot_be_run_exits_with_2_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    for (words, wanted) in [
        (vec!["run", "no-such-scenario"], "shipped"),
        (vec!["run", "steady", "--rate", "0"], "rate"),
        (vec!["run", "steady", "--proxy", "/etc/passwd"], "no program"),
        (vec!["run", "steady", "--target", "127.0.0.1:1"], "takes no connection"),
        (vec!["compare", "/etc/passwd", "/etc/passwd"], "passwd"),
    ] {
        let output = loadtest(&words).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{words:?}: {text}");
        assert!(text.contains(wanted), "{words:?}: {text}");
    }
    let file = scenario(folder.path(), "colour = 1\n[[load.phases]]\nfor = \"1s\"\nrate = 1\n");
    let output = loadtest(&["run", &file]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && text.contains("colour"), "{text}");
}

#[test]
fn list_names_every_scenario() {
    let output = loadtest(&["list"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut named: Vec<&str> = text.lines().filter_map(|line| line.split_once(' ')).map(|(name, _)| name).collect();
    named.sort_unstable();
    let files = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios")).unwrap();
    let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().strip_suffix(".toml").unwrap().to_owned();
    let mut shipped: Vec<String> = files.map(|file| name(file.unwrap().path())).collect();
    shipped.sort_unstable();
    assert_eq!(named, shipped);
    // each with what it is for
    assert!(text.lines().all(|line| line.ends_with('.')), "{text}");
}
