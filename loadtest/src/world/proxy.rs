//! The process that is one of a stamp's proxies.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use rustix::process::Signal;

use super::{
    PATIENCE, admin,
    config::{self, Addresses, Written},
    network::Place,
    process::{Process, Registry, eventually},
};

/// A proxy of a stamp.
pub struct Proxy {
    addresses: Addresses,
    name: String,
    files: Files,
    program: PathBuf,
    place: Place,
    registry: Arc<Registry>,
    process: Mutex<Arc<Process>>,
}

struct Files {
    config: PathBuf,
    log: PathBuf,
}

impl Proxy {
    pub(super) async fn start(
        folder: &Path,
        registry: &Arc<Registry>,
        program: &Path,
        written: Written<'_>,
    ) -> anyhow::Result<Self> {
        let name = format!("proxy {}/{}", written.id, written.process);
        let file = |ending: &str| folder.join(format!("{}-{}.{ending}", written.id, written.process));
        let (files, place) = (Files { config: file("toml"), log: file("log") }, written.place);
        let write = |addresses: &Addresses| {
            let text = config::toml(&written, addresses, &file("snapshot.json"));
            fs::write(&files.config, text).with_context(|| files.config.display().to_string())
        };
        write(&Addresses::any(place))?;
        let (process, addresses) = begin(registry, &name, program, place, &files).await?;
        // from now on it is found where it is
        write(&addresses)?;
        let (program, registry) = (program.to_owned(), Arc::clone(registry));
        Ok(Self { addresses, name, files, program, place, registry, process: Mutex::new(process) })
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> Arc<Process> {
        Arc::clone(&self.process.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where clients enter.
    #[must_use]
    pub fn edge(&self) -> SocketAddr {
        self.addresses.edge
    }

    /// Where other stamps enter.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.addresses.peer
    }

    /// Where operators enter.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.addresses.admin
    }

    /// The text of its configuration.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn configuration(&self) -> anyhow::Result<String> {
        fs::read_to_string(&self.files.config).with_context(|| self.files.config.display().to_string())
    }

    /// Replaces its configuration as an editor does: a new file takes the name of the old one.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn configure(&self, text: &str) -> anyhow::Result<()> {
        let new = self.files.config.with_extension("new");
        let replace = || fs::write(&new, text).and_then(|()| fs::rename(&new, &self.files.config));
        replace().with_context(|| self.files.config.display().to_string())
    }

    /// Starts it again where it was, and waits until it is ready. One that still runs is killed.
    ///
    /// # Errors
    /// It does not start or become ready.
    pub async fn restart(&self) -> anyhow::Result<()> {
        self.process().kill(PATIENCE).await?;
        let (process, _) = begin(&self.registry, &self.name, &self.program, self.place, &self.files).await?;
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = process;
        let admin = self.admin();
        eventually(
            PATIENCE,
            || async move { admin::get(admin, "/readyz").await.is_ok_and(|answer| answer.status == 200) },
        )
        .await
        .with_context(|| format!("{} does not become ready", self.name))
    }

    /// Asks it to end and waits until it has.
    ///
    /// # Errors
    /// It does not end in `patience`, or not with success.
    pub async fn stop(&self, patience: Duration) -> anyhow::Result<()> {
        let process = self.process();
        process.signal(Signal::TERM)?;
        let status = process.wait(patience).await?;
        anyhow::ensure!(status.success(), "{} ended with {status}", self.name);
        Ok(())
    }
}

async fn begin(
    registry: &Registry,
    name: &str,
    program: &Path,
    place: Place,
    files: &Files,
) -> anyhow::Result<(Arc<Process>, Addresses)> {
    let words = ["--log-format", "json", "run", "--config"].map(str::to_owned);
    let mut words = words.to_vec();
    words.push(files.config.display().to_string());
    let from = fs::metadata(&files.log).map_or(0, |log| usize::try_from(log.len()).unwrap_or(usize::MAX));
    let (process, _) = Process::start(registry, name.to_owned(), program, &words, &files.log, place)?;
    let addresses = process.line(from, PATIENCE, addresses).await?;
    Ok((process, addresses))
}

/// Addresses from the event with which a proxy says that it listens.
fn addresses(line: &str) -> Option<Addresses> {
    let event: serde_json::Value = serde_json::from_str(line).ok()?;
    let fields = event.get("fields").filter(|fields| fields["message"] == "listening")?;
    let first = |name: &str| fields[name].as_str()?.trim_matches(['[', ']']).split(',').next()?.trim().parse().ok();
    Some(Addresses { edge: first("edges")?, peer: first("peers")?, admin: first("admin")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_from_the_listening_event() {
        let line = r#"{"level":"INFO","fields":{"message":"listening","edges":"[127.0.0.1:1, 127.0.0.1:9]","peers":"[127.0.0.1:2]","admin":"127.0.0.1:3"}}"#;
        let found = addresses(line).unwrap();
        assert_eq!([found.edge, found.peer, found.admin].map(|address| address.port()), [1, 2, 3]);
        assert_eq!(addresses("{\"fields\":{\"message\":\"stopping\"}}"), None);
        assert_eq!(addresses("not json"), None);
    }
}
