//! A redis-server of its own.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use rustix::process::Signal;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{
    PATIENCE,
    network::Place,
    process::{Process, Registry, eventually},
};

/// Another port is tried this often when somebody took the one that was free.
const TRIES: usize = 5;

/// A redis-server that keeps nothing on disk.
pub struct Redis {
    process: Mutex<Arc<Process>>,
    address: SocketAddr,
    folder: PathBuf,
    registry: Arc<Registry>,
}

impl Redis {
    pub(super) async fn start(folder: &Path, registry: &Arc<Registry>, at: Ipv4Addr) -> anyhow::Result<Self> {
        let mut tried = 0;
        loop {
            tried += 1;
            let address = TcpListener::bind((at, 0)).await?.local_addr()?;
            match begin(address, folder, registry).await {
                Ok(process) => {
                    let (folder, registry) = (folder.to_owned(), Arc::clone(registry));
                    return Ok(Self { process: Mutex::new(process), address, folder, registry });
                }
                Err(error) if tried == TRIES => return Err(error),
                Err(_) => {}
            }
        }
    }

    fn process(&self) -> Arc<Process> {
        Arc::clone(&self.process.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts it again, empty.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn restart(&self) -> anyhow::Result<()> {
        self.kill().await?;
        let process = begin(self.address, &self.folder, &self.registry).await?;
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = process;
        Ok(())
    }

    /// Kills it.
    ///
    /// # Errors
    /// It does not end.
    pub async fn kill(&self) -> anyhow::Result<()> {
        self.process().kill(PATIENCE).await
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        self.process().signal(signal)
    }

    /// Forgets everything.
    ///
    /// # Errors
    /// It does not do so.
    pub async fn flush(&self) -> anyhow::Result<()> {
        let answer = command(self.address, "FLUSHALL").await?;
        anyhow::ensure!(answer.starts_with("+OK"), "FLUSHALL: {answer}");
        Ok(())
    }
}

async fn begin(address: SocketAddr, folder: &Path, registry: &Registry) -> anyhow::Result<Arc<Process>> {
    let (ip, port) = (address.ip().to_string(), address.port().to_string());
    // its protection takes only 127.0.0.1 for this machine
    let words = ["--port", &port, "--bind", &ip, "--protected-mode", "no", "--save", "", "--appendonly", "no"];
    let mut words: Vec<String> = words.map(str::to_owned).into();
    words.extend(["--dir".to_owned(), folder.display().to_string()]);
    let log = folder.join("redis.log");
    let from = std::fs::metadata(&log).map_or(0, |log| usize::try_from(log.len()).unwrap_or(usize::MAX));
    let (process, _) =
        Process::start(registry, "redis".into(), Path::new("redis-server"), &words, &log, Place::LOOPBACK)
            .context("Debian package redis-server")?;
    process.line(from, PATIENCE, |line| line.contains("Ready to accept connections").then_some(())).await?;
    eventually(
        PATIENCE,
        || async move { command(address, "PING").await.is_ok_and(|answer| answer.starts_with("+PONG")) },
    )
    .await
    .context("redis-server does not answer")?;
    Ok(process)
}

/// An inline command and the begin of its answer.
async fn command(address: SocketAddr, words: &str) -> anyhow::Result<String> {
    let talk = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(format!("{words}\r\n").as_bytes()).await?;
        let mut answer = [0; 256];
        let length = stream.read(&mut answer).await?;
        anyhow::Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
    };
    timeout(Duration::from_secs(2), talk).await.context("redis-server does not answer")?
}
