//! What must be installed, said before anything is measured.

use std::{
    env,
    path::{Path, PathBuf},
    thread,
};

use crate::{arguments::Arguments, peer::Peer};

/// Checks for programs and cores; names every missing package at once. Returns the peers that take part: without Varnish, if
/// it is not there and nobody has asked for it by name.
pub(crate) fn check(arguments: &Arguments) -> anyhow::Result<Vec<Peer>> {
    // nginx is the origin whoever takes part
    let mut needed = vec![("nginx", "nginx"), ("wrk", "wrk"), ("taskset", "util-linux"), ("setpriv", "util-linux")];
    let mut peers = arguments.peers()?;
    if peers.contains(&Peer::Varnish) && !arguments.insists() && find("varnishd").is_none() {
        eprintln!(
            "Varnish is missing and does not take part; on Debian: apt-get install --no-install-recommends varnish"
        );
        peers.retain(|peer| *peer != Peer::Varnish);
    }
    needed.extend(peers.contains(&Peer::HaProxy).then_some(("haproxy", "haproxy")));
    needed.extend(peers.contains(&Peer::Pingora).then_some(("cmake", "cmake")));
    needed.extend(peers.contains(&Peer::Varnish).then_some(("varnishd", "varnish")));
    needed.extend(arguments.syscalls.then_some(("strace", "strace")));
    needed.extend(arguments.callgrind.then_some(("valgrind", "valgrind")));
    needed.extend(arguments.baseline.is_some().then_some(("git", "git")));
    let mut missing: Vec<&str> =
        needed.iter().filter(|(program, _)| find(program).is_none()).map(|(_, package)| *package).collect();
    missing.dedup();
    anyhow::ensure!(
        missing.is_empty(),
        "missing: {0}; on Debian: apt-get install --no-install-recommends {0}",
        missing.join(" ")
    );
    let cores = thread::available_parallelism()?.get();
    anyhow::ensure!(cores >= 2, "two cores are needed, one for the proxy alone; this machine has {cores}");
    Ok(peers)
}

/// Where a program is. Servers live in `sbin`, which is not on everybody's path.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// The program's name, or its path in `sbin` if only that works.
pub(crate) fn program(name: &str) -> String {
    let sbin = format!("/usr/sbin/{name}");
    if Path::new(&sbin).is_file() { sbin } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_or_not() {
        assert!(find("sh").is_some());
        assert!(find("no-such-program-anywhere").is_none());
        assert_eq!(program("no-such-program-anywhere"), "no-such-program-anywhere");
    }
}
