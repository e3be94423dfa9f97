//! Instructions per request: the slope between one run and a longer one, so that start and stop do not count.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    path::Path,
    time::Duration,
};

use anyhow::Context as _;

use crate::contestant::Contestant;

/// Requests of the shorter run; the longer one sends twice as many.
const REQUESTS: u64 = 4_000;
/// Connections that take turns.
const CONNECTIONS: usize = 8;

/// One line: instructions per request.
pub(crate) fn report(contestant: &Contestant, folder: &Path) -> anyhow::Result<String> {
    let (short, _) = run(contestant, folder, REQUESTS)?;
    let (long, profile) = run(contestant, folder, 2 * REQUESTS)?;
    let kept = std::env::temp_dir().join(format!("callgrind.{}.out", contestant.name.replace([' ', ','], "-")));
    fs::copy(profile, &kept)?;
    Ok(format!(
        "{}: {} instructions/request; see `callgrind_annotate {}`",
        contestant.name,
        long.saturating_sub(short) / REQUESTS,
        kept.display()
    ))
}

/// Instructions of a whole run, and its profile.
fn run(contestant: &Contestant, folder: &Path, requests: u64) -> anyhow::Result<(u64, std::path::PathBuf)> {
    let profile = folder.join(format!("callgrind.{requests}"));
    let before = [
        "valgrind".to_owned(),
        "--tool=callgrind".to_owned(),
        "-q".to_owned(),
        format!("--callgrind-out-file={}", profile.display()),
    ];
    let server = contestant.start_under(&before)?;
    send(contestant.port, requests)?;
    drop(server);
    let text = fs::read_to_string(&profile).context("callgrind wrote nothing")?;
    Ok((instructions(&text).context("callgrind wrote no total")?, profile))
}

/// The program's total.
fn instructions(profile: &str) -> Option<u64> {
    let line =
        profile.lines().find_map(|line| line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:")))?;
    line.trim().parse().ok()
}

/// Exactly so many requests over kept connections, one after the other.
fn send(port: u16, requests: u64) -> anyhow::Result<()> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        connections.push(stream);
    }
    let mut buffer = [0; 16_384];
    for (number, turn) in (0..requests).zip((0..CONNECTIONS).cycle()) {
        let stream = &mut connections[turn];
        let tenant = number % 1_000;
        let head = format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-Tenant-Id: tenant-{tenant:04}\r\n\r\n");
        // in one piece, or the proxy would parse it in several
        stream.write_all(head.as_bytes())?;
        let mut got = 0;
        while !is_whole(&buffer[..got])? {
            let count = stream.read(&mut buffer[got..])?;
            anyhow::ensure!(count > 0, "the proxy closed a connection");
            got += count;
        }
    }
    Ok(())
}

/// Whether a whole answer with status 200 and a length is there.
fn is_whole(answer: &[u8]) -> anyhow::Result<bool> {
    let text = String::from_utf8_lossy(answer).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return Ok(false) };
    anyhow::ensure!(head.starts_with("http/1.1 200"), "the proxy answered {head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).context("no content-length")?;
    Ok(body.len() >= length.trim().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_and_answers_are_read() {
        assert_eq!(instructions("version: 1\nsummary: 12345\n"), Some(12_345));
        assert_eq!(instructions("events: Ir\ntotals: 77\n"), Some(77));
        assert_eq!(instructions(""), None);
        assert!(!is_whole(b"HTTP/1.1 200 OK\r\ncontent-le").unwrap());
        assert!(!is_whole(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab").unwrap());
        assert!(is_whole(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc").unwrap());
        assert!(is_whole(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").is_err());
    }
}
