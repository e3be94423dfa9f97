//! What a run ran on.

use std::{fs, path::Path, process::Command, thread};

use crate::report::Machine;

/// This machine.
pub(super) fn machine() -> Machine {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
    let kib = memory.split(' ').next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default();
    Machine {
        cores: thread::available_parallelism().map_or(1, Into::into),
        model: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".into()),
        memory_mib: kib / 1_024,
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
    }
}

/// The commit of the checkout in which a program was built, with `+` when the work tree differs; `None` outside of one.
pub(super) fn commit(program: &Path) -> Option<String> {
    let folder = program.parent()?;
    let git = |words: &[&str]| {
        let output = Command::new("git")
            .arg("-C")
            .arg(folder)
            .args(words)
            .output()
            .ok()
            .filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|text| !text.is_empty());
    Some(if changed { commit + "+" } else { commit })
}
