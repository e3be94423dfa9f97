//! What a world stands on: its folder, and every process that was started in it.
//!
//! Invariant: it does not belong to the [`World`](super::World), so that processes end and the folder goes, or stays and is
//! named, also when the world never came to be or a task still holds it.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
};

use anyhow::Context as _;
use tempfile::TempDir;

use super::{
    PATIENCE,
    process::{Process, Registry},
};

/// A folder below the system's temporary one, removed when dropped, and the processes in it.
pub struct Site {
    folder: TempDir,
    registry: Arc<Registry>,
}

impl Site {
    /// A new, empty one.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("synaxis-world-").tempdir().context("a folder for the world")?;
        Ok(Self { folder, registry: Arc::default() })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    fn processes(&self) -> Vec<Arc<Process>> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Kills every process and waits for their ends, those included that a fault starts meanwhile.
    pub async fn clear(&self) {
        let mut ended = 0;
        while let Some(process) = self.processes().get(ended) {
            // one that the kernel does not end now ends with this process
            let _ = process.kill(PATIENCE).await;
            ended += 1;
        }
    }

    /// Leaves the folder where it is.
    #[must_use]
    pub fn keep(self) -> PathBuf {
        self.folder.keep()
    }

    /// Removes the folder; returns it when it cannot be removed.
    #[must_use]
    pub fn remove(self) -> Option<PathBuf> {
        let path = self.path().to_owned();
        self.folder.close().is_err().then_some(path)
    }
}
