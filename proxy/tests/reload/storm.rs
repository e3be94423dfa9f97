//! The real binary, reloaded by SIGHUP again and again under load, every other file invalid.
//!
//! `SYNAXIS_RELOADS=1000 cargo test … a_storm_of_reloads -- --nocapture` is the long form and prints its figures.

use std::{
    fs,
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{metric, reloads, written};
use crate::world::{Client, Origin, Process, alone};

/// Clients, each with one connection that it keeps.
const CLIENTS: usize = 4;

/// What the process may grow by after its first reloads, in KiB: the allocator's own give and take.
const GROWTH_KIB: u64 = 6 << 10;

/// The configuration of one reload: the app moves, another upstream's endpoint was never there before; or it is invalid,
/// each time in another way.
fn text(number: usize, origins: &[Origin; 2]) -> String {
    let route = "[[routes]]\nname = \"all\"\npath_prefix = \"/\"\nupstream = \"app\"\n";
    let spare = format!("[upstreams.spare]\nendpoints = [\"http://127.0.0.1:{}\"]\n", 1_000 + number);
    let good = alone(origins[number / 2 % 2].address, &format!("{route}{spare}"));
    match number % 8 {
        1 => good.replace("drain", "drian"),
        3 => good[..good.len() / 2].to_owned() + "= [",
        5 => good.replace("upstream = \"app\"", "upstream = \"gone\""),
        7 => String::new(),
        _ => good,
    }
}

/// Resident memory of a process in KiB.
fn resident(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The inode of the socket that listens here (proc_pid_net(5): state 0A).
fn listening_inode(address: SocketAddr) -> String {
    let port = format!(":{:04X}", address.port());
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let mut rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = rows.find(|row| row[1].ends_with(&port) && row[3] == "0A").unwrap();
    row[9].to_owned()
}

#[test]
fn a_storm_of_reloads_fails_no_request() {
    let count: usize = std::env::var("SYNAXIS_RELOADS").map_or(100, |number| number.parse().unwrap());
    let origins = [Origin::start("a"), Origin::start("b")];
    let folder = tempfile::tempdir().unwrap();
    let path = written(&folder, &text(0, &origins).replace("spare", "first"));
    // through another name of the same file the watch sees nothing, so that every reload counted is one asked for
    let hidden = tempfile::tempdir_in(folder.path()).unwrap();
    let other = hidden.path().join("other.toml");
    fs::hard_link(&path, &other).unwrap();
    let (mut process, edge, admin) = Process::proxy_and_admin(&path);
    let inode = listening_inode(edge);
    let (ended, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let load = || {
        let (mut client, mut failed) = (Client::connect(edge), Vec::new());
        while !ended.load(Ordering::Relaxed) && failed.len() < 10 {
            match client.try_get("acme", "/") {
                Ok(answer) if answer.status == 200 => drop(answered.fetch_add(1, Ordering::Relaxed)),
                other => failed.push(format!("{other:?}")),
            }
            thread::sleep(Duration::from_millis(2));
        }
        failed
    };
    let storm = || {
        let limit = Instant::now() + Duration::from_secs(30) + Duration::from_millis(200) * count as u32;
        let until = |what: &str, done: &dyn Fn() -> bool| {
            while !done() {
                assert!(Instant::now() < limit, "never: {what}");
                thread::sleep(Duration::from_millis(2));
            }
        };
        until("requests flow", &|| answered.load(Ordering::Relaxed) > 100);
        let mut marks = vec![resident(process.id())];
        for number in 0..count {
            fs::write(&other, text(number, &origins)).unwrap();
            process.signal("HUP");
            until("the reload is counted", &|| reloads(admin).iter().sum::<u64>() == number as u64 + 1);
            if number + 1 == count / 10 {
                marks.push(resident(process.id()));
            }
        }
        marks.push(resident(process.id()));
        marks
    };
    let (failed, marks) = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(load)).collect();
        // the clients end, however the storm does
        let marks = std::panic::catch_unwind(std::panic::AssertUnwindSafe(storm));
        ended.store(true, Ordering::Relaxed);
        let failed: Vec<String> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        (failed, marks.unwrap())
    });
    let [applied, unchanged, refused] = reloads(admin);
    eprintln!(
        "{count} reloads: {applied} applied, {refused} refused, {unchanged} unchanged; {} requests, {} failed; resident \
         KiB at the start, after a tenth, at the end: {marks:?}",
        answered.load(Ordering::Relaxed),
        failed.len(),
    );
    assert_eq!(failed, [""; 0]);
    assert_eq!([applied, unchanged, refused], [count.div_ceil(2) as u64, 0, (count / 2) as u64]);
    assert_eq!(metric(admin, "connections_accepted_total"), CLIENTS as u64, "everybody kept the connection");
    assert_eq!(listening_inode(edge), inode, "the listener is the same socket");
    assert!(marks[2] < marks[1] + GROWTH_KIB, "memory grows: {marks:?}");
    process.signal("TERM");
    assert!(process.wait().success());
}
