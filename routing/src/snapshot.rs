//! The last applied table on disk, so that a proxy starts without its store.
//!
//! Invariant: the file is whole or it is the previous one. It holds the seed, so only its owner may read it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use crate::{
    bundle::{Bundle, HEAD_BYTES_MAX, TABLE_BYTES_MAX, TENANTS_BYTES_MAX},
    sanity::Refusal,
};

/// Largest file that is read: every document at its cap, escaped at worst, and some room.
const BYTES_MAX: u64 = 2 * (HEAD_BYTES_MAX + TABLE_BYTES_MAX + TENANTS_BYTES_MAX) as u64 + 4_096;

/// Why a snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// It cannot be read.
    #[error("the routing snapshot {path} cannot be read: {source}")]
    Io {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// It is torn or was tampered with.
    #[error("the routing snapshot {path} is not sound: {source}; it is ignored and will be replaced")]
    Unsound {
        /// The file.
        path: String,
        /// Why.
        source: Box<Refusal>,
    },
}

/// Writes a snapshot: temporary file in the same folder, synced, renamed, folder synced; mode 0600.
///
/// # Errors
/// Those of the file system; the previous file stands then.
pub fn write(path: &Path, bundle: &Bundle) -> io::Result<()> {
    write_bytes(path, &bundle.to_bytes())
}

/// Replaces a file as [`write`] does.
pub(crate) fn write_bytes(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".synaxis-")
        .permissions(fs::Permissions::from_mode(0o600))
        .tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(folder)?.sync_all()
}

/// Reads a snapshot; `None` when there is none.
///
/// # Errors
/// [`SnapshotError`].
pub fn read(path: &Path) -> Result<Option<Bundle>, SnapshotError> {
    let io = |source| SnapshotError::Io { path: path.display().to_string(), source };
    let file = match OpenOptions::new().read(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(io)?,
    };
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(io)?;
    Bundle::from_bytes(&bytes)
        .map(Some)
        .map_err(|source| SnapshotError::Unsound { path: path.display().to_string(), source: Box::new(source) })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn bundle() -> Bundle {
        Bundle { head: Bytes::from_static(b"h"), table: Bytes::from_static(b"{}"), tenants: Bytes::from_static(b"{}") }
    }

    #[test]
    fn what_was_written_is_read_and_nobody_else_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("routing.json");
        assert!(read(&path).unwrap().is_none());
        write(&path, &bundle()).unwrap();
        assert_eq!(read(&path).unwrap().unwrap().table, bundle().table);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_torn_or_foreign_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("routing.json");
        write(&path, &bundle()).unwrap();
        let whole = fs::read(&path).unwrap();
        for bytes in [&b""[..], b"garbage", b"\xff\xfe", &whole[..whole.len() - 1], &[&whole[..], b"x"].concat()] {
            fs::write(&path, bytes).unwrap();
            assert!(matches!(read(&path), Err(SnapshotError::Unsound { .. })), "{bytes:?}");
        }
        assert!(matches!(read(folder.path()), Err(SnapshotError::Io { .. })));
    }
}
