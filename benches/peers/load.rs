//! Closed-loop load from wrk: tenants in turn over kept connections.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;

use crate::{kept::Key, origin, process};

/// The load of one measurement.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    script: PathBuf,
    tenants: [String; 2],
    pub(crate) connections: u32,
    pub(crate) duration: Duration,
    /// Whether no request is to reach the origin.
    pub(crate) hits: bool,
}

/// Whose requests a load consists of.
pub(crate) enum Tenants<'a> {
    /// A thousand, prepared before the load begins.
    Prepared,
    /// The same, and a user of each.
    WithUsers,
    /// So many, each made when its turn comes: what that costs the generator is the same for any number.
    Made(u64),
    /// These.
    Listed(&'a [String]),
    /// Those who want what is kept.
    Kept(&'a [Key]),
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
    pub(crate) fn new(
        folder: &Path,
        tenants: &Tenants<'_>,
        connections: u32,
        duration: Duration,
    ) -> anyhow::Result<Self> {
        let script = folder.join("load.lua");
        fs::write(&script, include_str!("load.lua"))?;
        let tenants = match tenants {
            Tenants::Prepared => ["prepared".to_owned(), "1000".to_owned()],
            Tenants::WithUsers => ["users".to_owned(), "1000".to_owned()],
            Tenants::Made(count) => ["made".to_owned(), count.to_string()],
            Tenants::Listed(ids) => ["listed".to_owned(), list(folder, ids)?],
            Tenants::Kept(keys) => {
                let lines: Vec<String> = keys.iter().map(|key| format!("{} {}", key.tenant, key.path)).collect();
                ["kept".to_owned(), list(folder, &lines)?]
            }
        };
        let hits = tenants[0] == "kept";
        Ok(Self { script, tenants, connections, duration, hits })
    }

    /// Sends for its duration.
    pub(crate) fn run(&self, port: u16) -> anyhow::Result<Seen> {
        let output = self.command(port, self.duration).output().context("wrk")?;
        seen(&output)
    }

    /// Sends until it is stopped, at the longest for so long.
    pub(crate) fn start(&self, port: u16, longest: Duration) -> anyhow::Result<Sending> {
        let child = self.command(port, longest).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Ok(Sending { child: Some(child.context("wrk")?) })
    }

    fn command(&self, port: u16, duration: Duration) -> Command {
        let mut command = process::pinned(origin::CORE, "wrk");
        command
            .args(["--threads", "1", "--timeout", "5s", "--connections", &self.connections.to_string()])
            .args(["--duration", &format!("{}s", duration.as_secs()), "--script"])
            .arg(&self.script)
            .arg(format!("http://127.0.0.1:{port}/"))
            .arg("--")
            .args(&self.tenants);
        command
    }
}

/// A file of these lines.
fn list(folder: &Path, lines: &[String]) -> anyhow::Result<String> {
    let file = tempfile::Builder::new().prefix("list").tempfile_in(folder)?;
    let (_, path) = file.keep()?;
    fs::write(&path, lines.join("\n"))?;
    Ok(path.display().to_string())
}

/// Load that is being sent. Ends with its handle.
pub(crate) struct Sending {
    child: Option<Child>,
}

impl Sending {
    /// Ends it.
    pub(crate) fn stop(mut self) -> anyhow::Result<Seen> {
        let child = self.child.take().context("no load")?;
        // wrk tells what it has seen when it is interrupted
        process::signal(child.id(), "INT")?;
        seen(&child.wait_with_output()?)
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn seen(output: &std::process::Output) -> anyhow::Result<Seen> {
    let text = String::from_utf8_lossy(&output.stdout);
    figures(&text).with_context(|| format!("wrk said {text}{}", String::from_utf8_lossy(&output.stderr)))
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
