//! The configuration file: watched, loaded again when it changes or somebody asks, applied or refused.
//!
//! Invariant: a file that cannot be read or holds a fault changes nothing. It is counted, its faults are logged, and
//! [`status`](super::status) shows the first one until a good file comes.

mod watch;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use synaxis_config::{
    Environment, Faults, Loaded, Settings, Warning,
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
    /// The configuration first, then the files of secrets that it names.
    files: Vec<PathBuf>,
    seen: u128,
    /// What was wrong with it when it was last loaded.
    faults: Option<String>,
}

impl ConfigFile {
    /// Loads a file's settings for the first time.
    ///
    /// # Errors
    /// [`Faults`], as of [`synaxis_config::load_file`].
    pub fn load(file: &Path) -> Result<(Self, Settings, Vec<Warning>), Faults> {
        let Found { files, seen, loaded } = find(vec![file.to_owned()], Faults::clone)?;
        let Loaded { settings, warnings, .. } = loaded;
        Ok((Self { times: Times::default(), files, seen, faults: None }, settings, warnings))
    }
}

/// What a look found.
struct Found {
    files: Vec<PathBuf>,
    /// Of these files, from before they were read: a change in between is then seen as one.
    seen: u128,
    loaded: Loaded,
}

/// Loads the first of `files`; once more if it names other files of secrets than were looked at before.
fn find<E>(mut files: Vec<PathBuf>, fault: impl Fn(&Faults) -> E) -> Result<Found, E> {
    let mut first = true;
    loop {
        let seen = fingerprint(&files);
        let file = files.first().cloned().unwrap_or_default();
        let loaded = synaxis_config::load_with_sources(&file, &Environment::of_process()).map_err(|why| fault(&why))?;
        let named: Vec<PathBuf> = std::iter::once(file).chain(loaded.files.iter().cloned()).collect();
        // a pipe is gone once it was read: it is loaded once, and followed only when it has become a file
        if named == files || !first || readable(&named[0]).is_err() {
            return Ok(Found { files, seen, loaded });
        }
        (files, first) = (named, false);
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
        let ConfigFile { files, seen, faults, .. } = &self.file;
        // what a file with faults lacks may be elsewhere, such as a secret that is not mounted yet
        let (files, seen, again) = (files.clone(), *seen, asked || faults.is_some());
        let watch = Arc::clone(&self.watch);
        let looked = tasks::spawn_blocking(move || {
            let aim = |files: &[PathBuf]| watch.lock().unwrap_or_else(PoisonError::into_inner).aim(files);
            // first the watch, then the look: what changes after the look is seen by the watch
            aim(&files);
            let now = fingerprint(&files);
            let found = (again || now != seen).then(|| load(files));
            if let Some(Ok(found)) = &found {
                aim(&found.files);
            }
            (now, found)
        })
        .await;
        match looked {
            Ok((_, None)) => {}
            Ok((_, Some(Ok(Found { files, seen, loaded })))) => {
                (self.file.files, self.file.seen, self.file.faults) = (files, seen, None);
                self.take(loaded.settings, &loaded.warnings);
            }
            Ok((now, Some(Err(faults)))) => {
                let known = !asked && now == seen && self.file.faults.as_ref() == Some(&faults);
                self.file.seen = now;
                if !known {
                    self.refuse(&faults);
                }
                self.file.faults = Some(faults);
            }
            Err(error) => self.refuse(&format!("reading the configuration failed: {error}")),
        }
    }

    /// Applies what can be applied of valid settings.
    fn take(&self, wanted: Settings, warnings: &[Warning]) {
        let running = Arc::clone(&self.plane.snapshot.load().settings);
        let Reload { settings, applied, pending } = difference::reload(&running, wanted);
        let was_pending = self.status.config().pending;
        let changes = !applied.is_empty();
        if changes || pending != was_pending {
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

fn load(files: Vec<PathBuf>) -> Result<Found, String> {
    let Some(file) = files.first() else { return Err("there is no configuration file".into()) };
    // a pipe would be waited for without end
    readable(file).map_err(|error| format!("{}: the file cannot be read again: {error}", file.display()))?;
    find(files, Faults::to_string)
}

/// A number that differs when the bytes of a file do, or the reason why it cannot be read.
fn fingerprint(files: &[PathBuf]) -> u128 {
    let mut state = Xxh3::new();
    for file in files {
        let bytes = synaxis_config::read_again(file).unwrap_or_else(|error| error.to_string().into_bytes());
        state.update(&bytes.len().to_le_bytes());
        state.update(&bytes);
    }
    state.digest128()
}

fn readable(file: &Path) -> io::Result<()> {
    if fs::metadata(file)?.is_file() { Ok(()) } else { Err(io::Error::other("it is no regular file")) }
}
