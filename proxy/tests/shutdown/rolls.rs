//! A stamp's processes are replaced under load, and no client notices.

use std::{fs, thread, time::Duration};

use super::{crowd::Crowd, stamp::Stamp};
use crate::world::{Origin, alone, eventually};

const LAME_DUCK: Duration = Duration::from_millis(300);

/// Where the configuration of every process lies. Idle clients ask again before `client_keepalive` is over.
fn config(origin: &Origin) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = alone(origin.address, "tunnels = \"200ms\"\nflush = \"1s\"\n")
        .replace("lame_duck = \"50ms\"", "lame_duck = \"300ms\"")
        .replace("client_keepalive = \"50ms\"", "client_keepalive = \"900ms\"")
        .replace("drain = \"2s\"", "drain = \"10s\"")
        .replace("workers = 1", "workers = 2");
    fs::write(folder.path().join("proxy.toml"), text).unwrap();
    folder
}

/// Waits until so many more requests have been answered.
fn answered(crowd: &Crowd, more: usize) {
    let before = crowd.answered();
    eventually("the crowd is served", || crowd.answered() >= before + more);
}

#[test]
fn processes_that_are_replaced_under_load_fail_no_request() {
    let rolls = std::env::var("SYNAXIS_ROLLS").map_or(10, |rolls| rolls.parse().unwrap());
    let origin = Origin::start("app");
    let folder = config(&origin);
    let mut stamp = Stamp::start(folder.path().join("proxy.toml"), 2);
    let crowd = Crowd::start(&stamp.balancer, LAME_DUCK / 2);
    answered(&crowd, 100);
    for _ in 0..rolls {
        stamp.add();
        stamp.stop_oldest();
        // the next one while this one drains
        thread::sleep(LAME_DUCK);
        answered(&crowd, 20);
    }
    stamp.ended();
    let account = crowd.account(&origin);
    // each process had clients of all kinds
    assert!(account.answered > 100 * rolls, "{}", account.answered);
    assert!(account.closed >= 3 * rolls && account.told >= rolls / 2, "{} {}", account.closed, account.told);
}

#[test]
fn a_rolling_restart_of_every_process_of_a_stamp_fails_no_request() {
    const PROCESSES: usize = 3;
    let origin = Origin::start("app");
    let folder = config(&origin);
    let mut stamp = Stamp::start(folder.path().join("proxy.toml"), PROCESSES);
    let crowd = Crowd::start(&stamp.balancer, LAME_DUCK / 2);
    answered(&crowd, 100);
    for _ in 0..PROCESSES {
        stamp.stop_oldest();
        stamp.ended();
        stamp.add();
    }
    answered(&crowd, 100);
    let account = crowd.account(&origin);
    assert!(account.closed >= PROCESSES && account.told >= 1, "{} {}", account.closed, account.told);
}
