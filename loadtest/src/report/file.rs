//! The report as a file: pretty JSON, written so that a reader sees the old document or the new one, never half of one.
//!
//! Invariant: what is written can be read back; what is read is of this [`FORMAT`], or the error says what it is.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use anyhow::Context as _;
use serde::Deserialize;

use crate::report::{FORMAT, Report, html};

/// Longest document that is read, in bytes; a day of seconds is a tenth of it.
const BYTES_MAX: u64 = 256 << 20;

/// The one key that every version has.
#[derive(Deserialize)]
struct Versioned {
    format: Option<serde_json::Value>,
}

impl Report {
    /// Writes the document as pretty JSON, in place of an older file of that name.
    ///
    /// # Errors
    /// When a figure is no finite number (JSON has no way to write it), or when the file cannot be written.
    pub fn write_json(&self, path: &Path) -> anyhow::Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        serde_json::from_slice::<Self>(&text).context("the report has a figure that is no finite number")?;
        text.push(b'\n');
        write(path, &text)
    }

    /// Writes the page, in place of an older file of that name.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_html(&self, path: &Path) -> anyhow::Result<()> {
        write(path, html::page(self).as_bytes())
    }

    /// Reads a document that [`Self::write_json`] wrote.
    ///
    /// # Errors
    /// When the file cannot be read, is no JSON, no report, or a report of another [`FORMAT`].
    pub fn read_json(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let file = fs::File::open(path).with_context(|| format!("cannot read {shown}"))?;
        let mut text = Vec::new();
        file.take(BYTES_MAX + 1).read_to_end(&mut text).with_context(|| format!("cannot read {shown}"))?;
        anyhow::ensure!(text.len() as u64 <= BYTES_MAX, "{shown} is larger than {} MiB: no report is", BYTES_MAX >> 20);
        let json: serde_json::Value = serde_json::from_slice(&text).with_context(|| format!("{shown} is no JSON"))?;
        let versioned = Versioned::deserialize(&json).ok().and_then(|document| document.format);
        let format =
            versioned.with_context(|| format!("{shown} is JSON, but no report of this program: no `format`"))?;
        anyhow::ensure!(
            format == FORMAT,
            "{shown} is a report of format {format}, this program reads format {FORMAT}: compare it with the build that \
             wrote it, or run the scenario again"
        );
        serde_json::from_slice(&text).with_context(|| format!("{shown} says format {FORMAT}, but is no whole report"))
    }
}

/// Makes a folder for reports, with its parents, and proves that a file can be written into it.
///
/// # Errors
/// It cannot be made, or not be written into.
pub fn prepare(folder: &Path) -> anyhow::Result<()> {
    let shown = folder.display();
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {shown}"))?;
    let proof = tempfile::Builder::new().tempfile_in(folder).and_then(|mut file| file.write_all(b"a report"));
    proof.with_context(|| format!("cannot write into the folder {shown}"))
}

/// Writes beside the target and renames; makes the folder if there is none.
fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let shown = path.display();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder of {shown}"))?;
    // the permissions of any new file, where a temporary one would be for its owner alone
    let permissions = fs::Permissions::from_mode(0o666);
    let mut file = tempfile::Builder::new()
        .permissions(permissions)
        .tempfile_in(folder)
        .with_context(|| format!("cannot write beside {shown}"))?;
    file.write_all(bytes).with_context(|| format!("cannot write {shown}"))?;
    file.as_file().sync_all().with_context(|| format!("cannot write {shown}"))?;
    file.persist(path).map_err(|error| error.error).with_context(|| format!("cannot write {shown}"))?;
    Ok(())
}
