//! Watches resident memory: above the mark, requests are refused until it has fallen well below it.
//!
//! Invariant: sampled on the admin thread once a second; a request reads a flag.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::dataplane::DataPlane;

/// How often the control group's limit is read.
const LIMIT_EVERY: Duration = Duration::from_secs(60);
/// Where control groups of version 2 are mounted.
const CGROUPS: &str = "/sys/fs/cgroup";

/// The watch.
#[derive(Default)]
pub(super) struct Watch {
    group: Option<u64>,
    read_at: Option<Instant>,
}

impl Watch {
    /// Looks, publishes what there is, and raises or clears the flag.
    pub(super) fn sample(&mut self, plane: &DataPlane, now: Instant) {
        if self.read_at.is_none_or(|at| now.duration_since(at) >= LIMIT_EVERY) {
            self.read_at = Some(now);
            self.group = group_limit(Path::new("/proc/self/cgroup"), Path::new(CGROUPS));
        }
        let Some(resident) = fs::read_to_string("/proc/self/status").ok().and_then(|text| resident(&text)) else {
            return;
        };
        let settings = &plane.snapshot.load().settings;
        let high = settings.server.memory_high.or(self.group.map(|limit| limit / 100 * 85));
        let before = plane.capacity.is_overloaded();
        let after = high.is_some_and(|high| is_over(resident, high, before));
        if after != before {
            plane.capacity.set_overloaded(after);
            let (resident, high) = (resident >> 20, high.unwrap_or_default() >> 20);
            if after {
                tracing::warn!(resident, high, "memory is above its mark (MiB): requests are refused with overload");
            } else {
                tracing::warn!(resident, high, "memory is below its mark again (MiB): requests are served");
            }
        }
        plane.metrics.memory_resident.set(resident as f64);
        plane.metrics.memory_overload.set(f64::from(u8::from(after)));
    }
}

/// Above the mark it is over; once it is, it stays so down to 95 % of it, or it would go back and forth.
fn is_over(resident: u64, high: u64, before: bool) -> bool {
    resident > if before { high / 100 * 95 } else { high }
}

/// Resident bytes, from `/proc/self/status`: the line `VmRSS`, in KiB whatever the size of a page.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The least `memory.max` of the control group (version 2) and those around it, in bytes; `None` without a limit.
fn group_limit(of_self: &Path, mount: &Path) -> Option<u64> {
    let text = fs::read_to_string(of_self).ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let folder: PathBuf = mount.join(path);
    let limits = folder.ancestors().take_while(|folder| folder.starts_with(mount));
    limits.filter_map(|folder| fs::read_to_string(folder.join("memory.max")).ok()?.trim().parse().ok()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_falls_later_than_it_rises() {
        for (resident, before, expected) in [
            (1_000, false, false),
            (1_001, false, true),
            (1_000, true, true),
            (951, true, true),
            (950, true, false),
            (0, true, false),
        ] {
            assert_eq!(is_over(resident, 1_000, before), expected, "{resident}, {before}");
        }
        assert!(!is_over(u64::MAX, u64::MAX, false));
    }

    #[test]
    fn resident_memory_is_a_line_in_kibibytes() {
        for (text, expected) in [
            ("VmSize:\t  300 kB\nVmRSS:\t   25 kB\nRssAnon:\t 5 kB\n", Some(25 << 10)),
            ("VmRSS:25kB", Some(25 << 10)),
            ("", None),
            ("VmRSS:\t 25\n", None),
            ("VmRSS:\t x kB\n", None),
            ("VmRSS:\t 18446744073709551615 kB\n", None),
        ] {
            assert_eq!(resident(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_limit_is_the_least_of_the_groups_around_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let (of_self, mount) = (folder.path().join("self"), folder.path().join("mount"));
        fs::create_dir_all(mount.join("pod/box")).unwrap();
        let limit = |group: &str| {
            fs::write(&of_self, group).unwrap();
            group_limit(&of_self, &mount)
        };
        assert_eq!(limit("0::/pod/box\n"), None);
        fs::write(mount.join("pod/memory.max"), "1000\n").unwrap();
        assert_eq!(limit("0::/pod/box\n"), Some(1_000));
        fs::write(mount.join("pod/box/memory.max"), "max\n").unwrap();
        assert_eq!((limit("0::/pod/box\n"), limit("0::/\n")), (Some(1_000), None));
        fs::write(mount.join("pod/box/memory.max"), "500\n").unwrap();
        assert_eq!(limit("12:cpu:/x\n0::/pod/box\n"), Some(500));
        // version 1, nonsense, nothing
        assert_eq!((limit("4:memory:/pod\n"), limit("0::/../../etc"), limit("")), (None, None, None));
    }
}
