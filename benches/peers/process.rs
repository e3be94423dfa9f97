//! Servers as child processes on a core of their own. They end with their handle, and with this program however it ends.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::usage;

/// Longest that a server may take to listen.
const START_MAX: Duration = Duration::from_secs(10);
/// Longest that a server may take to end after it was asked to.
const STOP_MAX: Duration = Duration::from_secs(5);

/// A program that the kernel ends when this one is gone.
pub(crate) fn bound(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--", program]);
    command
}

/// The same, and on one core only.
pub(crate) fn pinned(core: u8, program: &str) -> Command {
    let mut command = bound("taskset");
    command.args(["-c", &core.to_string(), program]);
    command
}

/// Asks a process to end with a signal, or to do what else it does then.
pub(crate) fn signal(id: u32, name: &str) -> std::io::Result<()> {
    Command::new("kill").args([&format!("-{name}"), &id.to_string()]).status().map(|_| ())
}

/// A running server. Ends with its handle.
pub(crate) struct Server {
    child: Child,
}

impl Server {
    /// Starts a program on one core and waits until its port answers. Its errors go to `log`.
    pub(crate) fn start(core: u8, words: &[String], port: u16, log: &Path) -> anyhow::Result<Self> {
        let errors = fs::File::create(log)?;
        let child = pinned(core, &words[0])
            .args(&words[1..])
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

    /// It and its children.
    pub(crate) fn family(&self) -> Vec<u32> {
        usage::family(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let _ = signal(self.child.id(), "TERM");
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

/// A port that was free a moment ago.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_does_not_start_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let words = ["sh", "-c", "echo no such thing >&2; exit 3"].map(str::to_owned);
        let error = Server::start(0, &words, free_port().unwrap(), &folder.path().join("log")).err().unwrap();
        assert!(error.to_string().contains("no such thing"), "{error}");
    }

    #[test]
    fn a_child_does_not_outlive_who_started_it() {
        // setpriv's child is asked to end as soon as the shell that waits for nothing is gone
        let mut shell = Command::new("sh");
        shell.args(["-c", "setpriv --pdeathsig TERM -- sleep 60 & echo $!; sleep 0.3"]);
        let output = shell.stderr(Stdio::null()).output().unwrap();
        let id: u32 = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
        let end = Instant::now() + Duration::from_secs(5);
        let runs = || fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(" Z "));
        while runs() {
            assert!(Instant::now() < end, "the child still runs");
            thread::sleep(Duration::from_millis(10));
        }
    }
}
