//! What must be installed, said before anything is measured.

use std::{env, path::Path, thread};

/// Checks for programs and cores; names every missing package at once.
pub(crate) fn check(syscalls: bool, callgrind: bool) -> anyhow::Result<()> {
    let mut needed = vec![("nginx", "nginx"), ("haproxy", "haproxy"), ("wrk", "wrk"), ("taskset", "util-linux")];
    needed.extend(syscalls.then_some(("strace", "strace")));
    needed.extend(callgrind.then_some(("valgrind", "valgrind")));
    let missing: Vec<&str> =
        needed.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
    anyhow::ensure!(
        missing.is_empty(),
        "missing: {0}; on Debian: apt-get install --no-install-recommends {0}",
        missing.join(" ")
    );
    let cores = thread::available_parallelism()?.get();
    anyhow::ensure!(cores >= 2, "two cores are needed, one for the proxy alone; this machine has {cores}");
    Ok(())
}

/// Whether a program can be started by its name. Servers live in `sbin`, which is not on everybody's path.
fn is_there(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
        || Path::new("/usr/sbin").join(program).is_file()
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
        assert!(is_there("sh"));
        assert!(!is_there("no-such-program-anywhere"));
        assert_eq!(program("no-such-program-anywhere"), "no-such-program-anywhere");
    }
}
