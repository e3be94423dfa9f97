//! A store in a folder: for the demo and for one host. One state file, replaced whole, under an exclusive lock.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    Glance, LogEntry, PublishError, Published, StoreError,
    memory::now,
    rule::{Content, Offer},
};
use crate::{
    ack::Ack,
    bundle::{Bundle, TABLE_BYTES_MAX, TENANTS_BYTES_MAX},
    failover::{Notice, Page, Place},
    id::StampId,
    snapshot,
};

/// Largest state file that is read.
const BYTES_MAX: u64 = 4 * (TABLE_BYTES_MAX + TENANTS_BYTES_MAX) as u64;

/// Longest wait for another process that writes.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// The folder.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The file whose change means that something was published.
    pub(super) fn head_path(&self) -> PathBuf {
        self.path.join("head.json")
    }

    /// The file whose change means that a stamp was told something.
    pub(super) fn noticed_path(&self) -> PathBuf {
        self.path.join("notices")
    }

    pub(super) async fn notify(&self, notices: &[Notice]) -> Result<(), StoreError> {
        let notices = notices.to_vec();
        let edit = move |content: &mut Content| -> Result<(), PublishError> {
            content.notices.append(&notices);
            Ok(())
        };
        self.write(edit).await.map_err(|error| self.unpublished(error))
    }

    pub(super) async fn notices(&self, stamp: &StampId, after: Option<&Place>) -> Result<Page, StoreError> {
        let (stamp, after) = (stamp.clone(), after.cloned());
        self.read(move |content, _| Ok(content.notices.read(&stamp, after.as_ref()))).await
    }

    pub(super) async fn glance(&self) -> Result<Glance, StoreError> {
        self.read(|content, _| Ok(content.glance())).await
    }

    pub(super) async fn documents(
        &self,
        epoch: u64,
        hash: &str,
        known: Option<Bytes>,
    ) -> Result<(Bytes, Bytes), StoreError> {
        let hash = hash.to_owned();
        self.read(move |content, at| content.documents(at, epoch, &hash, known)).await
    }

    pub(super) async fn at_epoch(&self, epoch: u64) -> Result<Option<Bundle>, StoreError> {
        self.read(move |content, at| content.at_epoch(at, epoch)).await
    }

    pub(super) async fn history(&self, count: usize) -> Result<Vec<LogEntry>, StoreError> {
        self.read(move |content, _| Ok(content.log.iter().rev().take(count).cloned().collect())).await
    }

    pub(super) async fn acks(&self) -> Result<Vec<Ack>, StoreError> {
        self.read(|content, _| Ok(content.acks.values().cloned().collect())).await
    }

    pub(super) async fn ack(&self, ack: &Ack) -> Result<(), StoreError> {
        let (ack, at) = (ack.clone(), self.at());
        let edit = move |content: &mut Content| -> Result<(), PublishError> {
            content.ack(&ack, now()).map_err(|why| StoreError::Content { at, why }.into())
        };
        self.write(edit).await.map_err(|error| self.unpublished(error))
    }

    /// The error of a change that publishes no table.
    fn unpublished(&self, error: PublishError) -> StoreError {
        match error {
            PublishError::Store(error) => error,
            other => StoreError::Content { at: self.at(), why: other.to_string() },
        }
    }

    pub(super) async fn publish(&self, offer: Offer) -> Result<Published, PublishError> {
        self.write(move |content| content.publish(&offer, now())).await?;
        Ok(Published::default())
    }

    fn at(&self) -> String {
        format!("file:{}", self.path.display())
    }

    async fn read<T: Send + 'static>(
        &self,
        take: impl FnOnce(&Content, &str) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let folder = self.clone();
        let work = move || {
            let at = folder.at();
            let content = load(&folder.state(), &at)?;
            take(&content, &at)
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| self.away(&error))?
    }

    async fn write<T: Send + 'static>(
        &self,
        edit: impl FnOnce(&mut Content) -> Result<T, PublishError> + Send + 'static,
    ) -> Result<T, PublishError> {
        let folder = self.clone();
        let work = move || {
            let away = |error: io::Error| folder.away(&error);
            fs::create_dir_all(&folder.path).map_err(away)?;
            let lock = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(folder.path.join("lock"))
                .map_err(away)?;
            lock_within(&lock, LOCK_WAIT).map_err(away)?;
            let mut content = load(&folder.state(), &folder.at())?;
            let (before, told) = (content.head.clone(), content.notices.last());
            let outcome = edit(&mut content)?;
            let mut bytes = serde_json::to_vec(&content).map_err(|error| folder.away(&error))?;
            // what is written must be read again: history gives way to size
            while bytes.len() as u64 > BYTES_MAX && content.forget_oldest() {
                bytes = serde_json::to_vec(&content).map_err(|error| folder.away(&error))?;
            }
            snapshot::write_bytes(&folder.state(), &bytes).map_err(away)?;
            if content.head != before {
                snapshot::write_bytes(&folder.head_path(), content.head.as_deref().unwrap_or_default().as_bytes())
                    .map_err(away)?;
            }
            if content.notices.last() != told {
                snapshot::write_bytes(&folder.noticed_path(), content.notices.last().to_string().as_bytes())
                    .map_err(away)?;
            }
            Ok(outcome)
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| self.away(&error))?
    }

    fn state(&self) -> PathBuf {
        self.path.join("state.json")
    }

    fn away(&self, why: &dyn std::fmt::Display) -> StoreError {
        StoreError::Away { at: self.at(), why: why.to_string() }
    }
}

/// Takes the lock, unless somebody holds it for longer than `wait`: a stopped process must not stop everybody.
fn lock_within(file: &File, wait: Duration) -> io::Result<()> {
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if started.elapsed() < wait => thread::sleep(Duration::from_millis(5)),
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, format!("its lock was held for {wait:?}")));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

fn load(path: &Path, at: &str) -> Result<Content, StoreError> {
    let away = |error: io::Error| StoreError::Away { at: at.to_owned(), why: error.to_string() };
    let content = |why: String| StoreError::Content { at: at.to_owned(), why };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Content::default()),
        metadata if metadata.as_ref().is_ok_and(|metadata| metadata.len() > BYTES_MAX) => {
            return Err(content(format!("{} is larger than {BYTES_MAX} bytes", path.display())));
        }
        _ => {}
    }
    let bytes = fs::read(path).map_err(away)?;
    serde_json::from_slice(&bytes).map_err(|error| content(format!("{} is not sound: {error}", path.display())))
}
