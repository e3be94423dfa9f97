//! Where everything happens: one scratch folder, and the origin that all contestants proxy to.
//!
//! Invariant: whatever is written lies below the folder, so that removing it removes everything.

use std::path::{Path, PathBuf};

use crate::origin::{self, Origin};

/// The scratch folder and the running origin.
pub(crate) struct Scene {
    pub(crate) folder: PathBuf,
    pub(crate) origins: [u16; 3],
    pub(crate) origin: Origin,
}

impl Scene {
    /// Starts the origin, with room for so many connections.
    pub(crate) fn set(folder: &Path, connections: u32) -> anyhow::Result<Self> {
        let origin = origin::start(folder, connections)?;
        Ok(Self { folder: folder.to_owned(), origins: origin.ports, origin })
    }
}
