//! The page that browsers get in maintenance, read from a file.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;

use super::{Level, keeper::TICK};
use crate::{
    dataplane::{DataPlane, degradation::PAGE},
    tasks,
};

/// Largest page in bytes.
const PAGE_BYTES_MAX: usize = 64 << 10;

/// Keeps the page as the settings name it: read when they name another one, and at the beginning of each maintenance. One
/// that cannot be read leaves the last one. Never returns.
pub(in crate::control) async fn follow(plane: Arc<DataPlane>) {
    let mut published = plane.published.subscribe();
    let (mut known, mut before): (Option<PathBuf>, _) = (None, Level::Full);
    loop {
        let path = plane.snapshot.load().settings.degradation.page.clone();
        let level = plane.degradation.now().level;
        let begins = level == Level::Maintenance && before != level;
        before = level;
        if path != known || begins {
            known.clone_from(&path);
            take(&plane, path).await;
        }
        tokio::select! {
            _ = published.changed() => {}
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

async fn take(plane: &DataPlane, path: Option<PathBuf>) {
    let Some(path) = path else { return plane.degradation.set_page(Bytes::from_static(PAGE.as_bytes())) };
    let shown = path.display().to_string();
    match tasks::spawn_blocking(move || read(&path)).await {
        Ok(Ok(page)) => plane.degradation.set_page(page),
        Ok(Err(why)) => tracing::warn!(path = shown, why, "the page of maintenance cannot be used; the last one stays"),
        Err(error) => tracing::warn!(path = shown, %error, "reading the page of maintenance failed"),
    }
}

/// Reads a page; blocks.
///
/// # Errors
/// In words: it cannot be read, is too large, or is no UTF-8.
fn read(path: &Path) -> Result<Bytes, String> {
    let bytes = synaxis_config::read_again(path).map_err(|error| error.to_string())?;
    if bytes.len() > PAGE_BYTES_MAX {
        return Err(format!("it has {} bytes, more than {PAGE_BYTES_MAX}", bytes.len()));
    }
    std::str::from_utf8(&bytes).map_err(|error| format!("it is not UTF-8: {error}"))?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_page_is_a_small_text_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page.html");
        assert!(read(&path).is_err());
        assert!(read(folder.path()).is_err(), "a folder");
        for (bytes, good) in [
            (b"<p>soon</p>".to_vec(), true),
            (Vec::new(), true),
            (vec![b'x'; PAGE_BYTES_MAX], true),
            (vec![b'x'; PAGE_BYTES_MAX + 1], false),
            (vec![b'<', 0xff], false),
        ] {
            fs::write(&path, &bytes).unwrap();
            assert_eq!(read(&path).ok(), good.then(|| Bytes::from(bytes)));
        }
    }
}
