//! Tables in files: `export`, `import`.
//!
//! Invariant: a file is the envelope that proxies keep as their snapshot, byte for byte, so that either can be imported;
//! it is readable by its owner only, because it holds the seed.

use std::{
    io::{IsTerminal as _, Read as _, Write as _},
    path::Path,
};

use serde::Serialize;
use synaxis_routing::{bundle::Bundle, change::Fleet, snapshot, store::Mode};

use crate::{
    args,
    failure::Failure,
    fetch,
    session::{Edit, Session, away, head_version},
};

#[derive(Serialize)]
struct Exported {
    version: String,
    file: String,
    bytes: usize,
}

pub(super) async fn export(session: &Session, said: &args::Export) -> Result<(), Failure> {
    let (readable, _) = session.table().await?;
    let version = readable.fleet.version().to_string();
    let bytes = readable.bundle.to_bytes();
    match said.file.as_deref().filter(|file| *file != Path::new("-")) {
        Some(file) => {
            let unwritable = |error| Failure::failed(format!("cannot write {}: {error}", file.display()));
            snapshot::write(file, &readable.bundle).map_err(unwritable)?;
            let exported = Exported { version, file: file.display().to_string(), bytes: bytes.len() };
            session.format().print(&exported, |e| format!("exported {} to {} ({} bytes)", e.version, e.file, e.bytes))
        }
        None if std::io::stdout().is_terminal() => Err(Failure::Usage(
            "the table holds the fleet's secret seed: name a file, or redirect the output".to_owned(),
        )),
        None => Ok(std::io::stdout().write_all(&bytes)?),
    }
}

pub(super) async fn import(session: &Session, said: &args::Import) -> Result<(), Failure> {
    let content = read(&said.file)?;
    let acks = session.store.acks().await.map_err(away)?;
    let seen = session.look().await?;
    let mut shown = vec![seen.acked];
    shown.extend(acks.iter().map(|ack| ack.applied));
    shown.extend(head_version(&seen));
    let how = format!("import {}", said.file.display());
    session
        .publish(seen, Mode::Recover, |seen| {
            Ok::<_, Edit>(Fleet::restore(&content, seen.fleet(), &shown, &how, seen.now)?)
        })
        .await?;
    Ok(())
}

/// Reads an envelope; nothing of it is believed before it verified.
fn read(file: &Path) -> Result<Fleet, Failure> {
    let wrong = |why: String| Failure::failed(format!("cannot import {}: {why}", file.display()));
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Failure::NotFound(format!("there is no file {}", file.display())),
        _ => wrong(error.to_string()),
    })?;
    let limit = u64::try_from(fetch::BYTES_MAX).unwrap_or(u64::MAX);
    opened.take(limit + 1).read_to_end(&mut bytes).map_err(|error| wrong(error.to_string()))?;
    if bytes.len() > fetch::BYTES_MAX {
        return Err(wrong(format!("it is larger than {} bytes", fetch::BYTES_MAX)));
    }
    let decoded = Bundle::from_bytes(&bytes).and_then(|bundle| bundle.decode()).map_err(|r| wrong(r.to_string()))?;
    Ok(Fleet { table: decoded.table, tenants: decoded.tenants })
}
