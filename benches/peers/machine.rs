//! What stands above the tables: where, what and how was measured.

use std::{fs, process::Command, thread};

use crate::{arguments::Arguments, build, peer::Installed};

/// One line each of the machine, the commit, the peers and the method.
pub(crate) fn heading(arguments: &Arguments, peers: &[Installed]) -> String {
    let versions: Vec<String> = peers.iter().map(Installed::version).collect();
    format!(
        "# This proxy beside its peers\n\n- machine: {}\n- checkout: {}\n- peers: {}\n- method: {} rounds of {} s, {} \
         connections; medians (minimum–maximum); ratios are paired round by round\n",
        machine(),
        checkout(),
        if versions.is_empty() { "none".into() } else { versions.join(", ") },
        arguments.rounds,
        arguments.seconds,
        arguments.connections,
    )
}

fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let processor = value(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown processor".into());
    let memory = value(&read("/proc/meminfo"), "MemTotal").and_then(|text| gibibytes(&text)).unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{processor}, {cores} cores, {memory} GiB, Linux {}", kernel.trim())
}

/// The commit of this checkout.
fn checkout() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(build::here()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["log", "-1", "--format=%h of %cs"]) else { return "no repository".into() };
    let changed = git(&["status", "--porcelain"]).is_some_and(|status| !status.is_empty());
    if changed { format!("{commit}, with changes") } else { commit }
}

/// The value of the first `KEY : VALUE`.
fn value(text: &str, key: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// `24576000 kB` in whole GiB.
fn gibibytes(text: &str) -> Option<u64> {
    let kibibytes: u64 = text.strip_suffix("kB")?.trim().parse().ok()?;
    Some((kibibytes + (1 << 19)) >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_from_what_the_kernel_says() {
        let text = "processor\t: 0\nmodel name\t: A CPU @ 2.0GHz\nmodel name\t: another\n";
        assert_eq!(value(text, "model name").as_deref(), Some("A CPU @ 2.0GHz"));
        assert_eq!(value(text, "flags"), None);
        assert_eq!(gibibytes("24576000 kB"), Some(23));
        assert_eq!(gibibytes("much"), None);
    }
}
