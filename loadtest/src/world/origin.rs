//! The process that is a stamp's app.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use rustix::process::Signal;
use synaxis_routing::id::StampId;
use tokio::{io::AsyncWriteExt as _, process::ChildStdin, sync::Mutex};

use super::{
    PATIENCE,
    network::Place,
    process::{Process, Registry},
};
use crate::origin::Script;

/// The app of a stamp.
pub struct Origin {
    stamp: StampId,
    address: SocketAddr,
    journal: PathBuf,
    log: PathBuf,
    program: PathBuf,
    place: Place,
    registry: Arc<Registry>,
    running: Mutex<(Arc<Process>, ChildStdin)>,
}

impl Origin {
    pub(super) async fn start(
        folder: &Path,
        registry: &Arc<Registry>,
        program: &Path,
        stamp: &StampId,
        place: Place,
    ) -> anyhow::Result<Self> {
        let (log, journal) = (folder.join(format!("origin-{stamp}.log")), folder.join(format!("{stamp}.journal")));
        let start =
            Begin { stamp, place, listen: (place.address, 0).into(), journal: &journal, log: &log, program, registry };
        let (process, input, address) = start.begin().await?;
        Ok(Self {
            stamp: stamp.clone(),
            address,
            journal: journal.clone(),
            log: log.clone(),
            program: program.to_owned(),
            place,
            registry: Arc::clone(registry),
            running: Mutex::new((process, input)),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it was asked; see [`crate::origin::journal`].
    #[must_use]
    pub fn journal(&self) -> &Path {
        &self.journal
    }

    /// Gives it another script and waits until that holds.
    ///
    /// # Errors
    /// It does not run, or is hung.
    pub async fn set(&self, script: &Script) -> anyhow::Result<()> {
        let line = serde_json::to_string(script)? + "\n";
        let mut running = self.running.lock().await;
        let (process, input) = &mut *running;
        let from = process.log().len();
        input.write_all(line.as_bytes()).await.context("the origin takes no script")?;
        input.flush().await.context("the origin takes no script")?;
        process.line(from, PATIENCE, |line| (line == "script").then_some(())).await
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It has ended.
    pub async fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        self.running.lock().await.0.signal(signal)
    }

    /// Kills it.
    ///
    /// # Errors
    /// It does not end.
    pub async fn kill(&self) -> anyhow::Result<()> {
        self.running.lock().await.0.kill(PATIENCE).await
    }

    /// Starts it again where it was, with the default script.
    ///
    /// # Errors
    /// It does not start.
    pub async fn restart(&self) -> anyhow::Result<()> {
        let mut running = self.running.lock().await;
        running.0.kill(PATIENCE).await?;
        let Self { stamp, address, journal, log, program, place, registry, .. } = self;
        let (process, input, _) =
            Begin { stamp, place: *place, listen: *address, journal, log, program, registry }.begin().await?;
        *running = (process, input);
        Ok(())
    }
}

struct Begin<'a> {
    stamp: &'a StampId,
    place: Place,
    listen: SocketAddr,
    journal: &'a Path,
    log: &'a Path,
    program: &'a Path,
    registry: &'a Registry,
}

impl Begin<'_> {
    async fn begin(&self) -> anyhow::Result<(Arc<Process>, ChildStdin, SocketAddr)> {
        // its number seeds what it does by chance, so that no two do the same
        let seed = self.stamp.as_str().rsplit('-').next().unwrap_or("0");
        let words = [
            "origin",
            "--stamp",
            self.stamp.as_str(),
            "--seed",
            seed,
            "--listen",
            &self.listen.to_string(),
            "--journal",
        ];
        let mut words: Vec<String> = words.map(str::to_owned).into();
        words.push(self.journal.display().to_string());
        let from = std::fs::metadata(self.log).map_or(0, |log| usize::try_from(log.len()).unwrap_or(usize::MAX));
        let name = format!("origin {}", self.stamp);
        let (process, input) = Process::start(self.registry, name, self.program, &words, self.log, self.place)?;
        let address = process.line(from, PATIENCE, |line| line.strip_prefix("listening ")?.parse().ok()).await?;
        Ok((process, input.context("an origin has a standard input")?, address))
    }
}
