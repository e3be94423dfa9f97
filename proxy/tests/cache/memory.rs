//! What a process takes for what it keeps: the real binary, filled again and again beyond what it may keep.

use std::{net::SocketAddr, thread};

use super::app::{App, Does, ok};
use crate::world::{Client, Process, alone, eventually};

const MIB: usize = 1 << 20;
/// What it may keep: so much that what a process takes in any case, some 14 MiB, is little of it.
const CAP: usize = 128 * MIB;
/// Who asks at a time, each for what nobody has asked for before.
const CLIENTS: usize = 4;
/// What each asks for: all together three times as much as may be kept.
const ASKED: usize = 8_400;

/// Bytes of a body: from 200 to 64 Ki, as many of one order of magnitude as of another.
fn size(turn: usize) -> usize {
    let step = turn * 617 % 1_000;
    (200.0 * 327.68_f64.powf(step as f64 / 1_000.0)) as usize
}

fn gauge(admin: SocketAddr, name: &str) -> usize {
    let page = Client::connect(admin).exchange(b"GET /metrics HTTP/1.1\r\nHost: admin\r\n\r\n").unwrap().text();
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap();
    value.parse::<f64>().unwrap() as usize
}

/// Asks for so many answers that are not kept yet, beginning with this one.
fn churn(edge: SocketAddr, from: usize, count: usize) {
    let mut client = Client::connect(edge);
    for turn in from..from + count {
        let answer = client.get(&format!("tenant-{}", turn % 7), &format!("/{}?{turn}", size(turn)));
        assert_eq!((answer.status, answer.body.len()), (200, size(turn)));
    }
}

#[test]
fn a_process_takes_little_more_memory_than_it_may_keep() {
    let app = App::start(|asked| {
        let size = asked.path()[1..].split('?').next().unwrap().parse().unwrap();
        let fields = "Cache-Control: max-age=3600\r\nETag: \"one\"\r\nX-App: one\r\nContent-Type: text/plain\r\n";
        Does::Sends(ok(fields, &"x".repeat(size)))
    });
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("proxy.toml");
    let cache = "[cache]\nmemory = \"128MiB\"\n[cache.classes.pages]\nttl = \"1h\"\n\
                 [[routes]]\nname = \"all\"\npath_prefix = \"/\"\nupstream = \"app\"\ncache = \"pages\"\n";
    std::fs::write(&config, alone(app.address, cache)).unwrap();
    let (proxy, edge, admin) = Process::proxy_and_admin(&config);
    churn(edge, 0, 1);
    let before = proxy.resident();
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || churn(edge, 1 + client * ASKED, ASKED));
        }
    });
    // what is above the cap leaves within a tenth of a second
    eventually("no more is kept than may be", || gauge(admin, "cache_bytes") <= CAP);
    let kept = gauge(admin, "cache_bytes");
    assert!(kept >= CAP / 20 * 19, "{kept} bytes are kept of {CAP}");
    assert!(gauge(admin, "cache_evicted_total") > CLIENTS * ASKED / 2);
    let grown = proxy.resident().saturating_sub(before);
    println!("{grown} bytes of memory for {kept} that are kept of {CAP}");
    assert!(grown <= CAP / 10 * 13, "{grown} bytes of memory for {kept} that are kept of {CAP}");
}
