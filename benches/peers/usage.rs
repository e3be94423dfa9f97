//! What a process and its children use, as the kernel counts it: CPU time, memory, descriptors.

use std::{fs, time::Duration};

use anyhow::Context as _;

/// A process and its children.
pub(crate) fn family(id: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    std::iter::once(id).chain(children.flat_map(family)).collect()
}

/// CPU time of all threads that still run.
pub(crate) fn cpu(id: u32) -> anyhow::Result<Duration> {
    let mut sum = Duration::ZERO;
    for task in fs::read_dir(format!("/proc/{id}/task"))? {
        // a thread may end while it is looked at
        if let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) {
            sum += run_time(&text).with_context(|| format!("schedstat of {id}: {text}"))?;
        }
    }
    Ok(sum)
}

/// Memory in KiB, shared pages counted in parts: what would be free without the process.
pub(crate) fn memory(id: u32) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup"))?;
    proportional(&text).with_context(|| format!("smaps_rollup of {id} has no Pss"))
}

/// Open descriptors.
pub(crate) fn descriptors(id: u32) -> anyhow::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{id}/fd"))?.count())
}

/// The first number of a `schedstat`: time on a core, in nanoseconds.
fn run_time(schedstat: &str) -> Option<Duration> {
    schedstat.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// `Pss` of a `smaps_rollup`, in KiB.
fn proportional(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedstat_is_read_or_refused() {
        assert_eq!(run_time("1500 20 3\n"), Some(Duration::from_nanos(1_500)));
        assert_eq!(run_time(""), None);
        assert_eq!(run_time("x 1 2"), None);
    }

    #[test]
    fn proportional_memory_is_not_taken_for_one_of_its_parts() {
        let text = "5583a000-7ffd [rollup]\nRss:    2000 kB\nPss_Dirty:   10 kB\nPss:      1234 kB\nPss_Anon: 99 kB\n";
        assert_eq!(proportional(text), Some(1_234));
        assert_eq!(proportional("Rss: 2000 kB\n"), None);
    }

    #[test]
    fn this_process_uses_everything() {
        let own = std::process::id();
        assert_eq!(family(own)[0], own);
        assert!(cpu(own).unwrap() > Duration::ZERO);
        assert!(memory(own).unwrap() > 100);
        assert!(descriptors(own).unwrap() >= 3);
    }
}
