//! A child process that ends with this one, and what it costs.

use std::{
    env,
    fs::{self, File},
    future::Future,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::{
    process::{Pid, Signal, kill_process},
    time::{ClockId, clock_gettime},
};
use tokio::{
    process::{Child, ChildStdin, Command},
    sync::Mutex,
};

use super::network::Place;

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// Lines of a log that an error quotes.
const QUOTED: usize = 20;

/// What a process has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time of all of its threads that still run, by the scheduler.
    pub cpu: Duration,
    /// Resident memory, in KiB.
    pub rss_kib: u64,
    /// The most it ever was, in KiB.
    pub rss_max_kib: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// The most that was seen.
    pub descriptors_max: u64,
}

impl Usage {
    /// The same after an earlier look.
    #[must_use]
    pub fn after(self, earlier: Self) -> Self {
        Self { descriptors_max: self.descriptors_max.max(earlier.descriptors_max), ..self }
    }
}

/// A child process. Killed when dropped, and by the kernel when this process ends.
pub struct Process {
    name: String,
    /// 0 once it has been waited for, because the kernel may give the number to another process.
    id: AtomicU32,
    child: Mutex<Child>,
    /// Whether it was asked or made to end.
    asked: AtomicBool,
    log: PathBuf,
    /// The last usage that was seen.
    usage: std::sync::Mutex<Usage>,
}

/// Everything that was ever started in a world, in order.
pub type Registry = std::sync::Mutex<Vec<Arc<Process>>>;

impl Process {
    /// Starts a program in the network of a place. Its standard error and output go to a log. Returns its standard input, too.
    ///
    /// # Errors
    /// It cannot be started, or its log cannot be written.
    pub fn start(
        registry: &Registry,
        name: String,
        program: &Path,
        words: &[String],
        log: &Path,
        place: Place,
    ) -> anyhow::Result<(Arc<Self>, Option<ChildStdin>)> {
        let open = || File::options().create(true).append(true).open(log).with_context(|| log.display().to_string());
        // the parent's death reaches the child only by way of the kernel: setpriv asks for that and becomes the program
        let mut command = Command::new("setpriv");
        let network = place.namespace.map(|holder| format!("--net=/proc/{holder}/ns/net"));
        command
            .args(["--pdeathsig", "KILL", "--"])
            .args(network.iter().flat_map(|network| ["nsenter", network, "--"]))
            .arg(program)
            .args(words)
            .env_clear()
            .envs(env::vars_os().filter(|(name, _)| name == "PATH"));
        command.stdin(Stdio::piped()).stdout(open()?).stderr(open()?).kill_on_drop(true);
        let child = command.spawn();
        let mut child =
            child.with_context(|| format!("{name}: {} by setpriv (Debian package util-linux)", program.display()))?;
        let input = child.stdin.take();
        let process = Arc::new(Self {
            name,
            id: AtomicU32::new(child.id().unwrap_or_default()),
            child: Mutex::new(child),
            asked: AtomicBool::new(false),
            log: log.to_owned(),
            usage: std::sync::Mutex::default(),
        });
        registry.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&process));
        Ok((process, input))
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its number in the system, while it has not been waited for.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        Some(self.id.load(Relaxed)).filter(|id| *id != 0)
    }

    /// Its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The first line behind byte `from` of its log for which `find` has an answer.
    ///
    /// # Errors
    /// It ended, or there was none in `patience`; with the end of the log.
    pub async fn line<T>(
        &self,
        from: usize,
        patience: Duration,
        find: impl Fn(&str) -> Option<T>,
    ) -> anyhow::Result<T> {
        let end = Instant::now() + patience;
        loop {
            let ended = !self.is_running().await;
            let log = self.log();
            // a line counts once it is whole
            let whole = log.get(from..).and_then(|log| Some(&log[..=log.rfind('\n')?]));
            if let Some(found) = whole.and_then(|log| log.lines().find_map(&find)) {
                return Ok(found);
            }
            let state = if ended { "has ended" } else { "says nothing that was expected" };
            if ended || Instant::now() > end {
                let lines: Vec<&str> = log.lines().collect();
                let last = &lines[lines.len().saturating_sub(QUOTED)..];
                anyhow::bail!("{} {state}; its log ends with\n{}", self.name, last.join("\n"));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Whether it still runs.
    pub async fn is_running(&self) -> bool {
        self.id.load(Relaxed) != 0 && self.wait(Duration::ZERO).await.is_err()
    }

    /// Whether it ended though nobody asked it to.
    pub async fn has_ended_by_itself(&self) -> bool {
        !self.asked.load(Relaxed) && !self.is_running().await
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = i32::try_from(self.id.load(Relaxed)).ok().and_then(Pid::from_raw);
        let id = id.with_context(|| format!("{} has ended", self.name))?;
        if [Signal::KILL, Signal::TERM, Signal::INT].contains(&signal) {
            self.asked.store(true, Relaxed);
        }
        kill_process(id, signal).with_context(|| format!("{} takes no signal", self.name))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It has not ended in `patience`.
    pub async fn wait(&self, patience: Duration) -> anyhow::Result<ExitStatus> {
        let ended = async { self.child.lock().await.wait().await };
        let status = tokio::time::timeout(patience, ended).await;
        let status = status.with_context(|| format!("{} does not end", self.name))?.context("wait")?;
        self.id.store(0, Relaxed);
        Ok(status)
    }

    /// Kills it and waits for its end.
    ///
    /// # Errors
    /// The kernel did not end it.
    pub async fn kill(&self, patience: Duration) -> anyhow::Result<()> {
        // one that has ended needs no signal
        let _ = self.signal(Signal::KILL);
        self.wait(patience).await.map(|_| ())
    }

    /// What it has used so far; the last that was seen of one that has ended.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let mut last = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(usage) = self.id().and_then(usage_of) {
            *last = usage.after(*last);
        }
        *last
    }
}

fn usage_of(id: u32) -> Option<Usage> {
    let threads = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    // the first figure is nanoseconds on a processor
    let nanos = |path: PathBuf| fs::read_to_string(path).ok()?.split(' ').next()?.parse::<u64>().ok();
    let cpu = threads.filter_map(|thread| nanos(thread.path().join("schedstat"))).sum();
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let kib =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok());
    let descriptors = fs::read_dir(format!("/proc/{id}/fd")).map_or(0, Iterator::count);
    let descriptors = u64::try_from(descriptors).unwrap_or(u64::MAX);
    Some(Usage {
        cpu: Duration::from_nanos(cpu),
        // a process that has ended and was not waited for has no memory
        rss_kib: kib("VmRSS:")?,
        rss_max_kib: kib("VmHWM:")?,
        descriptors,
        descriptors_max: descriptors,
    })
}

/// What this process has used, by threads that have ended too.
#[must_use]
pub fn own_usage() -> Usage {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = Duration::from_secs(u64::try_from(spent.tv_sec).unwrap_or_default());
    let cpu = seconds + Duration::from_nanos(u64::try_from(spent.tv_nsec).unwrap_or_default());
    Usage { cpu, ..usage_of(std::process::id()).unwrap_or_default() }
}

/// Waits until `done`.
///
/// # Errors
/// It did not come in `patience`.
pub async fn eventually<F: Future<Output = bool>>(
    patience: Duration,
    mut done: impl FnMut() -> F,
) -> anyhow::Result<()> {
    let end = Instant::now() + patience;
    while !done().await {
        anyhow::ensure!(Instant::now() < end, "not in {patience:?}");
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Whether a file can be executed.
pub(super) fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}
