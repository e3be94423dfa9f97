//! The running servers of one contestant, and what they use together.

use std::time::Duration;

use crate::{process::Server, usage};

/// Running servers. They end with their handle.
pub(crate) struct Group(Vec<Server>);

impl Group {
    pub(crate) fn of(servers: Vec<Server>) -> Self {
        Self(servers)
    }

    /// All processes.
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.0.iter().flat_map(Server::family).collect()
    }

    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        self.ids().into_iter().map(usage::cpu).sum()
    }

    /// In KiB.
    pub(crate) fn memory(&self) -> anyhow::Result<u64> {
        self.ids().into_iter().map(usage::memory).sum()
    }

    pub(crate) fn descriptors(&self) -> anyhow::Result<usize> {
        self.ids().into_iter().map(usage::descriptors).sum()
    }
}
