//! Servers as child processes on a core of their own, and the CPU time that they have used.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;

/// Longest that a server may take to listen.
const START_MAX: Duration = Duration::from_secs(10);
/// Longest that a server may take to end after it was asked to.
const STOP_MAX: Duration = Duration::from_secs(5);

/// A running server. Ends with its handle.
pub(crate) struct Server {
    child: Child,
}

impl Server {
    /// Starts a program on one core and waits until its port answers. Its errors go to `log`.
    pub(crate) fn start(core: u8, words: &[String], port: u16, log: &Path) -> anyhow::Result<Self> {
        let errors = fs::File::create(log)?;
        let child = Command::new("taskset")
            .args(["-c", &core.to_string()])
            .args(words)
            .stdin(Stdio::null())
            .stdout(errors.try_clone()?)
            .stderr(errors)
            .spawn()?;
        let mut server = Self { child };
        let end = Instant::now() + START_MAX;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let ended = server.child.try_wait()?.map(|status| format!("ended with {status}"));
            let late = (Instant::now() > end).then(|| format!("does not listen on port {port}"));
            if let Some(what) = ended.or(late) {
                anyhow::bail!("{} {what}: {}", words[0], fs::read_to_string(log).unwrap_or_default().trim());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// CPU time of all its processes and threads that still run.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        family(self.id()).into_iter().map(cpu_of).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let _ = Command::new("kill").arg(self.id().to_string()).status();
        let end = Instant::now() + STOP_MAX;
        while Instant::now() < end {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process and its children.
pub(crate) fn family(id: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    std::iter::once(id).chain(children.flat_map(family)).collect()
}

fn cpu_of(id: u32) -> anyhow::Result<Duration> {
    let mut sum = Duration::ZERO;
    for task in fs::read_dir(format!("/proc/{id}/task"))? {
        // a thread may end while it is looked at
        if let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) {
            sum += run_time(&text).with_context(|| format!("schedstat of {id}: {text}"))?;
        }
    }
    Ok(sum)
}

/// The first number of a `schedstat`: time on a core, in nanoseconds.
fn run_time(schedstat: &str) -> Option<Duration> {
    schedstat.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
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
    fn this_process_has_used_the_core() {
        let own = std::process::id();
        assert_eq!(family(own)[0], own);
        assert!(cpu_of(own).unwrap() > Duration::ZERO);
    }

    #[test]
    fn a_server_that_does_not_start_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let words = ["sh", "-c", "echo no such thing >&2; exit 3"].map(str::to_owned);
        let error = Server::start(0, &words, free_port().unwrap(), &folder.path().join("log")).err().unwrap();
        assert!(error.to_string().contains("no such thing"), "{error}");
    }
}
