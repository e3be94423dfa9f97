//! What is found in a world when the load has ended.

use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use synaxis_loadtest::report::Verdict;

use crate::support::{run_text, turn};

/// A proxy that this process has started.
fn proxy() -> Option<u32> {
    let ids = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_own = |id: &u32| {
        let read = |name: &str| fs::read_to_string(format!("/proc/{id}/{name}")).unwrap_or_default();
        let stat = read("stat");
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<u32>().ok());
        parent == Some(std::process::id()) && read("cmdline").split('\0').next().unwrap().ends_with("synaxis-proxy")
    };
    ids.into_iter().find(is_own)
}

#[test]
fn a_process_that_nobody_asked_to_end_fails_the_run_by_its_name() {
    let _turn = turn();
    let stranger = thread::spawn(|| {
        let end = Instant::now() + Duration::from_secs(20);
        while proxy().is_none() {
            assert!(Instant::now() < end, "no proxy was started");
            thread::sleep(Duration::from_millis(20));
        }
        // the load has begun
        thread::sleep(Duration::from_millis(1_500));
        let id = proxy().unwrap().to_string();
        assert!(Command::new("kill").args(["-KILL", &id]).status().unwrap().success());
    });
    let report = run_text(
        "name = \"planted\"\nabout = \"a proxy dies\"\n[world]\nstamps = 1\n[load]\nconnections = 4\ntimeout = \"1s\"\n\
         [[load.phases]]\nfor = \"4s\"\nrate = 20\n",
    );
    stranger.join().unwrap();
    assert_eq!(report.verdict, Verdict::Failed);
    let ended =
        report.checks.iter().filter(|check| check.measured == "ended by itself").map(|check| check.name.as_str());
    assert_eq!(ended.collect::<Vec<_>>(), ["proxy synaxis-weu-001/0"]);
}
