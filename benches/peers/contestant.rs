//! A proxy under test: how it is started, and which row it is.

use std::{path::PathBuf, time::Duration};

use crate::{
    exchange,
    group::Group,
    kept::{self, Key},
    process::Server,
};

/// The core of the proxy under test.
const CORE: u8 = 0;
/// Longest that a contestant that listens may take to serve: the table of a thousand stamps is built first.
const SERVE_MAX: Duration = Duration::from_secs(30);

/// What a row is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Somebody else's proxy.
    Peer,
    /// This proxy.
    Ours,
    /// This proxy with its access log on.
    Logging,
    /// This proxy with limits that refuse nobody.
    Limited,
    /// Somebody else's with the same.
    LimitedPeer,
    /// This proxy twice: every request goes through both.
    Forwarded,
    /// This proxy as it was.
    Baseline,
}

/// A process of a contestant.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    /// Program and arguments.
    pub(crate) words: Vec<String>,
    /// Where it listens.
    pub(crate) port: u16,
    /// Where its errors go.
    pub(crate) log: PathBuf,
}

/// A proxy under test. It runs only while it is measured.
#[derive(Clone, Debug)]
pub(crate) struct Contestant {
    /// Its row.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Where requests enter.
    pub(crate) port: u16,
    /// A tenant whose requests it answers.
    pub(crate) tenant: String,
    /// What it is to have kept before it counts as started.
    kept: Vec<Key>,
    processes: Vec<Process>,
}

impl Contestant {
    /// Requests enter at the last process.
    pub(crate) fn new(name: impl Into<String>, kind: Kind, processes: Vec<Process>) -> Self {
        let port = processes.last().map_or(0, |process| process.port);
        Self { name: name.into(), kind, port, tenant: "tenant-0001".into(), kept: Vec::new(), processes }
    }

    /// The same, which is to keep these.
    pub(crate) fn with(mut self, kept: Vec<Key>) -> Self {
        self.kept = kept;
        self
    }

    /// Whether it is a build of this project that goes alone.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self.kind, Kind::Ours | Kind::Logging | Kind::Limited | Kind::Baseline)
    }

    pub(crate) fn start(&self) -> anyhow::Result<Group> {
        self.start_under(&[])
    }

    /// Starts its processes as the arguments of another program, and waits until it answers.
    pub(crate) fn start_under(&self, before: &[String]) -> anyhow::Result<Group> {
        let mut servers = Vec::new();
        for process in &self.processes {
            let words: Vec<String> = before.iter().chain(&process.words).cloned().collect();
            servers.push(Server::start(CORE, &words, process.port, &process.log)?);
        }
        exchange::wait_until_served(self.port, &self.tenant, SERVE_MAX)
            .map_err(|error| error.context(format!("{} does not serve", self.name)))?;
        kept::warm(self.port, &self.kept).map_err(|error| error.context(self.name.clone()))?;
        Ok(Group::of(servers))
    }
}

/// `NAME=PATH`.
pub(crate) fn named(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("say NAME=PATH")?;
    let path = PathBuf::from(path);
    if name.is_empty() || !path.is_file() {
        return Err(format!("{} is no file", path.display()));
    }
    Ok((name.to_owned(), path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_needs_a_name_and_a_file() {
        assert!(named("old").is_err());
        assert!(named("old=/no/such/file").is_err());
        assert!(named("=/bin/sh").is_err());
        assert_eq!(named("old=/bin/sh").unwrap().0, "old");
    }

    #[test]
    fn requests_enter_at_the_last_process() {
        let process = |port| Process { words: vec!["sh".into()], port, log: PathBuf::new() };
        let pair = Contestant::new("pair", Kind::Forwarded, vec![process(1), process(2)]);
        assert_eq!(pair.port, 2);
        assert!(!pair.is_ours());
    }
}
