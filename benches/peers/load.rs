//! Closed-loop load from wrk: 1,000 tenants in turn over kept connections.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Context as _;

use crate::origin;

/// The load of one measurement.
pub(crate) struct Load {
    script: PathBuf,
    connections: u32,
    duration: Duration,
}

/// What wrk saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) duration: Duration,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

impl Load {
    pub(crate) fn new(folder: &Path, connections: u32, duration: Duration) -> anyhow::Result<Self> {
        let script = folder.join("load.lua");
        fs::write(&script, include_str!("load.lua"))?;
        Ok(Self { script, connections, duration })
    }

    pub(crate) fn run(&self, port: u16) -> anyhow::Result<Seen> {
        let output = Command::new("taskset")
            .args(["-c", &origin::CORE.to_string(), "wrk", "--threads", "1", "--timeout", "5s"])
            .args(["--connections", &self.connections.to_string(), "--duration"])
            .arg(format!("{}s", self.duration.as_secs()))
            .arg("--script")
            .arg(&self.script)
            .arg(format!("http://127.0.0.1:{port}/"))
            .output()
            .context("wrk")?;
        let text = String::from_utf8_lossy(&output.stdout);
        figures(&text).with_context(|| format!("wrk said {text}{}", String::from_utf8_lossy(&output.stderr)))
    }
}

/// The line that `load.lua` writes.
fn figures(text: &str) -> Option<Seen> {
    let line = text.lines().find_map(|line| line.strip_prefix("figures "))?;
    let figure = |name: &str| -> Option<u64> {
        line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))?.parse().ok()
    };
    let micros = |name: &str| figure(name).map(Duration::from_micros);
    Some(Seen {
        requests: figure("requests")?,
        errors: figure("errors")?,
        duration: micros("duration_us")?,
        p50: micros("p50_us")?,
        p99: micros("p99_us")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_read_from_among_the_rest() {
        let text = "Running 5s test\nfigures requests=10 duration_us=5000000 errors=1 p50_us=200 p99_us=900\n";
        let seen = figures(text).unwrap();
        assert_eq!((seen.requests, seen.errors, seen.p99), (10, 1, Duration::from_micros(900)));
        assert_eq!(seen.duration, Duration::from_secs(5));
        assert_eq!(figures("Running 5s test\n"), None);
        assert_eq!(figures("figures requests=ten"), None);
    }
}
