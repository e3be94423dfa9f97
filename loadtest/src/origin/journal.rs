//! What an origin was asked, in the order in which it ran: one line a request, `ID METHOD UPLOAD TENANT`.
//!
//! Invariant: a line is written with one call before its request is answered, so it survives the origin being killed;
//! only the last line can be torn, by a kill inside that call, and is no record. Who goes on with the journal marks it.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
};

use anyhow::Context as _;

/// Ends a line that was torn. No field of a request can hold its first character.
const TORN: &str = "\0torn";

/// The writing end.
pub(super) struct Journal {
    file: File,
    line: Vec<u8>,
}

impl Journal {
    pub(super) fn append_to(path: &Path) -> anyhow::Result<Self> {
        let open = || {
            let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
            if is_torn(&mut file)? {
                writeln!(file, "{TORN}")?;
            }
            io::Result::Ok(file)
        };
        Ok(Self { file: open().with_context(|| path.display().to_string())?, line: Vec::new() })
    }

    /// Writes a request down.
    pub(super) fn record(&mut self, id: u64, writes: bool, upload: u64, tenant: &str) -> io::Result<()> {
        self.line.clear();
        let method = if writes { 'w' } else { 'r' };
        writeln!(self.line, "{id} {method} {upload:016x} {tenant}")?;
        self.file.write_all(&self.line)
    }
}

/// Whether the last line has no end.
fn is_torn(file: &mut File) -> io::Result<bool> {
    let mut last = [b'\n'];
    if file.seek(SeekFrom::End(0))? > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    Ok(last != [b'\n'])
}

/// One request as an origin recorded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: u64,
    /// Whether it writes.
    pub writes: bool,
    /// [`digest`](crate::echo::digest) of what came with it; of nothing for one that reads.
    pub upload: u64,
    /// The tenant in whose name it came.
    pub tenant: String,
}

/// Hands every record of a journal to `each`.
///
/// # Errors
/// The file cannot be read, or a whole line is no record.
pub fn read(path: &Path, mut each: impl FnMut(Entry)) -> anyhow::Result<()> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    let mut reader = BufReader::new(file);
    let mut line = String::new();
    loop {
        line.clear();
        reader.read_line(&mut line).with_context(|| path.display().to_string())?;
        let Some(whole) = line.strip_suffix('\n') else { return Ok(()) };
        if whole.ends_with(TORN) {
            continue;
        }
        each(entry(whole).with_context(|| format!("{}: {whole:?} is no record", path.display()))?);
    }
}

fn entry(line: &str) -> Option<Entry> {
    let mut words = line.splitn(4, ' ');
    let id = words.next()?.parse().ok()?;
    let writes = match words.next()? {
        "w" => true,
        "r" => false,
        _ => return None,
    };
    let upload = u64::from_str_radix(words.next()?, 16).ok()?;
    Some(Entry { id, writes, upload, tenant: words.next()?.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_written_is_read_and_a_torn_end_is_no_record() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::append_to(&path).unwrap();
        journal.record(7, true, u64::MAX, "a b").unwrap();
        Journal::append_to(&path).unwrap().record(8, false, 1, "").unwrap();
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend_from_slice(b"9 w 1f tor");
        fs::write(&path, &bytes).unwrap();
        let mut seen = Vec::new();
        read(&path, |entry| seen.push(entry)).unwrap();
        assert_eq!(
            seen,
            [
                Entry { id: 7, writes: true, upload: u64::MAX, tenant: "a b".into() },
                Entry { id: 8, writes: false, upload: 1, tenant: String::new() }
            ]
        );
        // and it does not take the next record with it
        for id in [10, 11] {
            Journal::append_to(&path).unwrap().record(id, false, 2, "c").unwrap();
        }
        let mut ids = Vec::new();
        read(&path, |entry| ids.push(entry.id)).unwrap();
        assert_eq!(ids, [7, 8, 10, 11]);
        for broken in ["x w 1f y\n", "1 x 1f y\n", "1 w y\n", "1 w 1f\n"] {
            fs::write(&path, broken).unwrap();
            assert!(read(&path, |_| ()).is_err(), "{broken}");
        }
        assert!(read(&folder.path().join("none"), |_| ()).is_err());
    }
}
