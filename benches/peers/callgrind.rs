//! Instructions per request: the slope between one run and a longer one, so that stop does not count. What the start took is
//! forgotten, because it is not always the same: a clock's calibration takes as long as it takes.

use std::{
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

use crate::{contestant::Contestant, exchange::Client, kept};

/// Requests of the shorter run; the longer one sends twice as many.
const REQUESTS: u64 = 4_000;
/// Requests before anything counts.
const WARM: u64 = 100;
/// Connections that take turns.
const CONNECTIONS: usize = 8;

/// What the requests are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asks {
    /// Of a thousand tenants.
    Plainly,
    /// The same, each with a user.
    AsUsers,
    /// Those of [`kept()`].
    ForKept,
}

/// One table: instructions per request of every build of this project.
pub(crate) fn report(contestants: &[Contestant], folder: &Path, asks: Asks) -> anyhow::Result<String> {
    let mut text =
        String::from("## Instructions per request\n\n| proxy | instructions | profile |\n| --- | --- | --- |\n");
    for contestant in contestants.iter().filter(|contestant| contestant.is_ours()) {
        let (short, _) = run(contestant, folder, REQUESTS, asks)?;
        let (long, profile) = run(contestant, folder, 2 * REQUESTS, asks)?;
        let kept = env::temp_dir().join(kept(&contestant.name));
        fs::copy(profile, &kept)?;
        let instructions = long.saturating_sub(short) / REQUESTS;
        let _ = writeln!(text, "| {} | {instructions} | `callgrind_annotate {}` |", contestant.name, kept.display());
    }
    Ok(text)
}

/// The file's name that a profile is kept under.
fn kept(name: &str) -> String {
    let name: String = name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
    format!("callgrind.{name}.out")
}

/// Instructions of a whole run, and its profile.
fn run(contestant: &Contestant, folder: &Path, requests: u64, asks: Asks) -> anyhow::Result<(u64, PathBuf)> {
    let profile = folder.join(format!("callgrind.{requests}"));
    let before = [
        "valgrind".to_owned(),
        "--tool=callgrind".to_owned(),
        "-q".to_owned(),
        format!("--callgrind-out-file={}", profile.display()),
    ];
    let servers = contestant.start_under(&before)?;
    send(contestant.port, WARM, asks)?;
    servers.ids().into_iter().try_for_each(forget)?;
    send(contestant.port, requests, asks)?;
    // its total is written when it ends
    drop(servers);
    let text = fs::read_to_string(&profile).context("callgrind wrote nothing")?;
    Ok((instructions(&text).context("callgrind wrote no total")?, profile))
}

/// Sets what was counted so far to zero.
fn forget(id: u32) -> anyhow::Result<()> {
    let told = Command::new("callgrind_control").args(["--zero", &id.to_string()]).output()?;
    let said = String::from_utf8_lossy(&told.stdout);
    anyhow::ensure!(told.status.success() && said.contains("OK"), "callgrind_control --zero {id}: {said}");
    Ok(())
}

/// The program's total.
fn instructions(profile: &str) -> Option<u64> {
    let line =
        profile.lines().find_map(|line| line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:")))?;
    line.trim().parse().ok()
}

/// Exactly so many requests over kept connections, one after the other.
fn send(port: u16, requests: u64, asks: Asks) -> anyhow::Result<()> {
    let mut clients = (0..CONNECTIONS).map(|_| Client::connect(port)).collect::<anyhow::Result<Vec<_>>>()?;
    let keys = kept::keys();
    for ((number, turn), key) in (0..requests).zip((0..CONNECTIONS).cycle()).zip(keys.iter().cycle()) {
        let (number, client) = (number % 1_000, &mut clients[turn]);
        let tenant = format!("tenant-{number:04}");
        match asks {
            Asks::Plainly => client.get("/", &tenant)?,
            Asks::AsUsers => client.get_with("/", &tenant, &format!("X-User-Id: user-{number:04}\r\n"))?,
            Asks::ForKept => client.get(&key.path, &key.tenant)?,
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_read() {
        assert_eq!(instructions("version: 1\nsummary: 12345\n"), Some(12_345));
        assert_eq!(instructions("events: Ir\ntotals: 77\n"), Some(77));
        assert_eq!(instructions(""), None);
    }

    #[test]
    fn a_profile_of_any_commit_has_a_name() {
        assert_eq!(kept("origin/main~1 (abc)"), "callgrind.origin-main-1--abc-.out");
    }
}
