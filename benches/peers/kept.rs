//! Answers that are kept: which ones, how they come into a cache, and that each is its tenant's.
//!
//! Invariant: several tenants ask for the same paths, and each answer names its tenant: a cache that took one for another
//! would be found out before it is measured.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use anyhow::Context as _;
use tempfile::TempDir;

use crate::exchange::Client;

/// How many tenants there are.
const TENANTS: usize = 50;
/// Paths that each of them asks for.
const PATHS: usize = 20;
/// A folder in memory: what a peer keeps in files, and what it writes beside, costs no disk.
const MEMORY: &str = "/dev/shm";

/// One answer to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) tenant: String,
    pub(crate) path: String,
}

/// A thousand of them. All have the same length, and so have their answers.
pub(crate) fn keys() -> Vec<Key> {
    let key = |number: usize| Key {
        tenant: format!("tenant-{:04}", number % TENANTS),
        path: format!("/kept/item-{:04}", number / TENANTS),
    };
    (0..TENANTS * PATHS).map(key).collect()
}

/// The scratch folder: in memory where answers are to be kept in files.
pub(crate) fn scratch(cache: bool) -> anyhow::Result<TempDir> {
    if !cache {
        return Ok(tempfile::tempdir()?);
    }
    let folder = if Path::new(MEMORY).is_dir() { tempfile::tempdir_in(MEMORY)? } else { tempfile::tempdir()? };
    // nginx's worker is another user and has to reach its own folder in it
    fs::set_permissions(folder.path(), Permissions::from_mode(0o711))?;
    Ok(folder)
}

/// Brings these into the cache that listens there, and looks whether each is given to whom it belongs.
///
/// # Errors
/// An answer is another one's.
pub(crate) fn warm(port: u16, keys: &[Key]) -> anyhow::Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let mut client = Client::connect(port)?;
    for _ in 0..2 {
        for Key { tenant, path } in keys {
            let answer = client.get(path, tenant).context("an answer to be kept")?;
            let own = answer.contains(&format!("\"{tenant}\"")) && answer.contains(&format!("\"{path}\""));
            anyhow::ensure!(own, "{tenant} has asked for {path} and got {answer}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_another_one_and_every_path_has_many_tenants() {
        let keys = keys();
        assert_eq!(keys.len(), 1_000);
        let mut lines: Vec<String> = keys.iter().map(|key| format!("{} {}", key.tenant, key.path)).collect();
        lines.sort_unstable();
        lines.dedup();
        assert_eq!(lines.len(), keys.len());
        assert!(lines.iter().all(|line| line.len() == lines[0].len()));
        assert_eq!(keys.iter().filter(|key| key.path == keys[0].path).count(), TENANTS);
    }

    #[test]
    fn an_answer_of_another_tenant_is_found_out() {
        use std::io::{Read as _, Write as _};
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let body = r#"{"tenant":"tenant-0000","path":"/kept/item-0000"}"#;
            let mut asked = [0; 1_024];
            while stream.read(&mut asked).is_ok_and(|count| count > 0) {
                let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            }
        });
        assert!(warm(port, &[]).is_ok());
        let error = warm(port, &keys()[..2]).unwrap_err().to_string();
        assert!(error.starts_with("tenant-0001 has asked for /kept/item-0000 and got"), "{error}");
        server.join().unwrap();
    }
}
