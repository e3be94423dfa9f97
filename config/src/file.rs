//! Reading a file that may be anything: a folder, a device, a pipe that nobody writes to.
//!
//! Invariant: reading ends, soon, and holds no more than it is allowed.

use std::{
    fs::File,
    io::{ErrorKind, Read},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::fs::{Mode, OFlags};

/// How long whoever writes into a pipe may take.
const PIPE_WAIT: Duration = Duration::from_secs(5);
/// How often a pipe is looked at.
const PIPE_PAUSE: Duration = Duration::from_millis(5);

/// Why a file cannot be read. Says nothing of its content.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("cannot be opened: {0}")]
    Open(std::io::Error),
    #[error("cannot be read: {0}")]
    Read(std::io::Error),
    #[error("is a folder")]
    Folder,
    #[error("is no regular file")]
    Kind,
    #[error("is a pipe, and whoever writes into it did not end within 5 s")]
    Slow,
    #[error("is too large")]
    TooLarge,
}

/// Whether a pipe is read too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pipes {
    /// As the shell's `<(…)` and `/dev/stdin` make them. One that nobody writes to is empty.
    Read,
    /// Only a regular file can be read again later.
    Refused,
}

/// The bytes of a regular file, at most so many as a configuration may have: to see whether it has changed. Never waits
/// for whoever is at the other end of what is no file.
///
/// # Errors
/// Why it cannot be read, in words; nothing of its content.
pub fn read_again(path: &Path) -> Result<Vec<u8>, impl std::error::Error + use<>> {
    read(path, crate::FILE_BYTES_MAX, Pipes::Refused)
}

/// At most `bytes_max` bytes of a file.
pub(crate) fn read(path: &Path, bytes_max: usize, pipes: Pipes) -> Result<Vec<u8>, Unreadable> {
    // opening a pipe would wait for its writer, opening a terminal could make it ours
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| Unreadable::Open(error.into()))?;
    let file = File::from(opened);
    let kind = file.metadata().map_err(Unreadable::Read)?.file_type();
    let is_pipe = std::os::unix::fs::FileTypeExt::is_fifo(&kind);
    match () {
        () if kind.is_dir() => return Err(Unreadable::Folder),
        () if kind.is_file() || is_pipe && pipes == Pipes::Read => {}
        () => return Err(Unreadable::Kind),
    }
    // one byte more than allowed tells a file that is too large from one that just fits
    let most = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let bytes = read_to_end(file.take(most))?;
    if bytes.len() > bytes_max {
        return Err(Unreadable::TooLarge);
    }
    Ok(bytes)
}

fn read_to_end(mut source: impl Read) -> Result<Vec<u8>, Unreadable> {
    let end = Instant::now() + PIPE_WAIT;
    let mut bytes = Vec::new();
    loop {
        match source.read_to_end(&mut bytes) {
            Ok(_) => return Ok(bytes),
            Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < end => thread::sleep(PIPE_PAUSE),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(Unreadable::Slow),
            Err(error) => return Err(Unreadable::Read(error)),
        }
    }
}
