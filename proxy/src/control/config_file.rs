//! The configuration file: watched, loaded again when it changes or somebody asks, applied or refused.
//!
//! Invariant: a file that cannot be read or holds a fault changes nothing. It is counted, its faults are logged, and
//! [`status`](super::status) shows the first one until a good file comes.

mod watch;

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use synaxis_config::{
    FILE_BYTES_MAX, Faults, Settings, Warning,
    difference::{self, Reload},
};
use tokio::{sync::Notify, time::sleep_until};
use xxhash_rust::xxh3::Xxh3;

use super::{
    apply,
    status::{RefusedFile, Status},
};
use crate::{dataplane::DataPlane, tasks, telemetry::metrics::Reloaded};
use watch::Watch;

/// When a changed file is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// A burst of changes is over when nothing has changed for so long.
    pub quiet: Duration,
    /// Longest wait after the first change, however busy the folder is.
    pub most: Duration,
    /// Between two looks that nothing has called for: the watch may be blind, as on some network file systems.
    pub poll: Duration,
}

impl Default for Times {
    /// 200 ms, 1 s, 15 s.
    fn default() -> Self {
        Self { quiet: Duration::from_millis(200), most: Duration::from_secs(1), poll: Duration::from_secs(15) }
    }
}

/// Where the settings came from, and what was there when they were read.
#[derive(Debug)]
pub struct ConfigFile {
    /// When it is looked at.
    pub times: Times,
    /// The configuration first, then every other file that settings came from.
    files: Vec<PathBuf>,
    seen: u128,
}

impl ConfigFile {
    /// Loads a file's settings for the first time.
    ///
    /// # Errors
    /// [`Faults`], as of [`synaxis_config::load_file`].
    pub fn load(file: &Path) -> Result<(Self, Settings, Vec<Warning>), Faults> {
        let files = vec![file.to_owned()];
        // before it is read: a change in between is then seen as one
        let seen = fingerprint(&files);
        let (settings, warnings) = synaxis_config::load_file(file)?;
        Ok((Self { times: Times::default(), files, seen }, settings, warnings))
    }
}

/// Follows the configuration of one server.
pub struct Follower {
    plane: Arc<DataPlane>,
    status: Arc<Status>,
    file: ConfigFile,
    watch: Arc<Mutex<Watch>>,
    touched: Arc<Notify>,
}

impl Follower {
    /// A follower that has not looked yet; the settings of the current snapshot are those of the file.
    #[must_use]
    pub fn new(plane: Arc<DataPlane>, status: Arc<Status>, file: ConfigFile) -> Self {
        status.note_config(|config| config.applied_at = Some(Instant::now()));
        let touched = Arc::new(Notify::new());
        let watch = Arc::new(Mutex::new(Watch::new(Arc::clone(&touched))));
        Self { plane, status, file, watch, touched }
    }

    /// Looks whenever there is a reason to. Never returns.
    pub async fn run(mut self) {
        // what changed between the first load and the watch
        let mut asked = false;
        loop {
            self.look(asked).await;
            asked = self.wait().await;
        }
    }

    /// Waits for a reason to look. Whether somebody asked, who is then owed a counted result.
    async fn wait(&self) -> bool {
        let Times { quiet, most, poll } = self.file.times;
        tokio::select! {
            () = self.plane.reload.notified() => return true,
            () = tokio::time::sleep(poll) => return false,
            () = self.touched.notified() => {}
        }
        let last = tokio::time::Instant::now() + most;
        loop {
            let now = tokio::time::Instant::now();
            if now >= last {
                return false;
            }
            tokio::select! {
                () = self.plane.reload.notified() => return true,
                () = self.touched.notified() => {}
                () = sleep_until(last.min(now + quiet)) => return false,
            }
        }
    }

    /// Looks at the files and, if they have changed or somebody asked, loads them.
    async fn look(&mut self, asked: bool) {
        let (files, seen, watch) = (self.file.files.clone(), self.file.seen, Arc::clone(&self.watch));
        let looked = tasks::spawn_blocking(move || {
            // first the watch, then the look: what changes after the look is seen by the watch
            watch.lock().unwrap_or_else(PoisonError::into_inner).aim(&files);
            let now = fingerprint(&files);
            (now, (asked || now != seen).then(|| load(&files)))
        })
        .await;
        match looked {
            Ok((_, None)) => {}
            Ok((now, Some(loaded))) => {
                self.file.seen = now;
                match loaded {
                    Ok((settings, warnings)) => self.take(settings, &warnings),
                    Err(faults) => self.refuse(&faults),
                }
            }
            Err(error) => self.refuse(&format!("reading the configuration failed: {error}")),
        }
    }

    /// Applies what can be applied of valid settings.
    fn take(&self, wanted: Settings, warnings: &[Warning]) {
        let running = Arc::clone(&self.plane.snapshot.load().settings);
        let Reload { settings, applied, pending } = difference::reload(&running, wanted);
        let was_pending = self.status.config().pending;
        let changes = !applied.is_empty() || pending != was_pending;
        if changes {
            warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        }
        if !applied.is_empty() {
            apply::settings(&self.plane, Arc::new(settings));
        }
        if applied.iter().any(|key| key.starts_with("routing.")) {
            // whoever watches the store sleeps by the former times
            self.plane.refresh.notify_one();
        }
        if changes {
            tracing::info!(changed = names(&applied), "configuration applied");
        } else if self.status.config().refused.is_some() {
            tracing::info!("the configuration is valid again and says what runs");
        }
        if !pending.is_empty() && pending != was_pending {
            tracing::warn!(keys = names(&pending), "these settings stay as they are until a restart");
        }
        let metrics = &self.plane.metrics;
        metrics.config_restart_pending.set(pending.len() as f64);
        if changes {
            metrics.configured();
        }
        self.status.note_config(|config| {
            config.refused = None;
            config.pending = pending;
            if changes {
                config.applied_at = Some(Instant::now());
            }
        });
        // last: who sees the count sees the rest
        metrics.reloaded(if changes { Reloaded::Applied } else { Reloaded::Unchanged });
    }

    /// Leaves everything as it is and says why.
    fn refuse(&self, faults: &str) {
        tracing::warn!(faults = faults.lines().count(), "configuration refused; the running one stays");
        faults.lines().for_each(|fault| tracing::warn!("{fault}"));
        let refused = RefusedFile {
            at: Instant::now(),
            fault: faults.lines().next().unwrap_or_default().to_owned(),
            more: faults.lines().count().saturating_sub(1),
        };
        self.status.note_config(|config| config.refused = Some(refused));
        self.plane.metrics.reloaded(Reloaded::Refused);
    }
}

/// Keys of one event; more would hide the message.
const KEYS_NAMED: usize = 50;

/// Keys as one text.
pub(crate) fn names(keys: &[String]) -> String {
    let mut text = keys.iter().take(KEYS_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if keys.len() > KEYS_NAMED {
        text.push_str(&format!(" and {} more", keys.len() - KEYS_NAMED));
    }
    text
}

fn load(files: &[PathBuf]) -> Result<(Settings, Vec<Warning>), String> {
    let Some(file) = files.first() else { return Err("there is no configuration file".into()) };
    // a pipe would be waited for without end
    readable(file).map_err(|error| format!("{}: the file cannot be read again: {error}", file.display()))?;
    synaxis_config::load_file(file).map_err(|faults| faults.to_string())
}

/// A number that differs when the bytes of a file do, or the reason why it cannot be read.
fn fingerprint(files: &[PathBuf]) -> u128 {
    let mut state = Xxh3::new();
    for file in files {
        let bytes = read(file).unwrap_or_else(|error| error.to_string().into_bytes());
        state.update(&bytes.len().to_le_bytes());
        state.update(&bytes);
    }
    state.digest128()
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    readable(file)?;
    let mut bytes = Vec::new();
    let most = u64::try_from(FILE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    File::open(file)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn readable(file: &Path) -> io::Result<()> {
    if fs::metadata(file)?.is_file() { Ok(()) } else { Err(io::Error::other("it is no regular file")) }
}
