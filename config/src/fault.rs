//! Faults and warnings: where, what is wrong, how to mend it.
//!
//! Invariant: a message never holds a value of the file, as any value may be a secret written in the wrong place; it
//! holds at most keys, names that were checked before, and the path of a file of a secret. The place shows the reader the
//! value. Of what came from the environment or a file of its own it holds not even the name.

use std::{
    cell::RefCell,
    fmt,
    ops::Range,
    path::{Path, PathBuf},
};

use crate::source::Sources;

/// Most faults that are kept of one file; the rest are counted.
pub const FAULTS_MAX: usize = 200;

/// A place in the file: line and column, both from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// One fault: the file cannot be used before it is mended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where; `None` when it concerns the file as such.
    pub place: Option<Place>,
    /// What is wrong and how to mend it, in one sentence.
    pub message: String,
}

/// Everything that is wrong with a file, by place; never empty.
///
/// [`Display`](fmt::Display) writes one fault a line: `synaxis.toml:12:9: unknown key …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    file: PathBuf,
    faults: Vec<Fault>,
    dropped: usize,
}

impl Faults {
    /// A fault that concerns the file as such.
    pub(crate) fn of_file(file: &Path, message: String) -> Self {
        Self { file: file.to_owned(), faults: vec![Fault { place: None, message }], dropped: 0 }
    }

    /// The faults, by place.
    #[must_use]
    pub fn as_slice(&self) -> &[Fault] {
        &self.faults
    }

    /// The file they are in.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.faults.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write_line(f, &self.file, fault.place, "", &fault.message)?;
        }
        if self.dropped > 0 {
            write!(f, "\n{}: and {} more faults", self.file.display(), self.dropped)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// Legal, but unwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The file it is in.
    pub file: PathBuf,
    /// Where.
    pub place: Place,
    /// What is unwise, and what to do instead.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_line(f, &self.file, Some(self.place), "warning: ", &self.message)
    }
}

fn write_line(f: &mut fmt::Formatter<'_>, file: &Path, place: Option<Place>, kind: &str, message: &str) -> fmt::Result {
    write!(f, "{}:", file.display())?;
    if let Some(Place { line, column }) = place {
        write!(f, "{line}:{column}:")?;
    }
    write!(f, " {kind}{message}")
}

/// A place while reading: bytes of the text.
pub(crate) type Span = Range<usize>;

/// Collects faults and warnings while a file is read.
#[derive(Default)]
pub(crate) struct Findings {
    faults: RefCell<Vec<(usize, String)>>,
    warnings: RefCell<Vec<(usize, String)>>,
    /// Values from elsewhere: what must not be said.
    pub(crate) sources: Sources,
}

impl Findings {
    /// Something that must be mended.
    pub(crate) fn fault(&self, span: &Span, message: impl Into<String>) {
        self.faults.borrow_mut().push((span.start, message.into()));
    }

    /// Something unwise.
    pub(crate) fn warn(&self, span: &Span, message: impl Into<String>) {
        self.warnings.borrow_mut().push((span.start, message.into()));
    }

    /// Everything found, by place: faults when there is one, else the value and its warnings. A value is there
    /// whenever there is no fault: whoever returns nothing has said why.
    pub(crate) fn conclude<T>(self, value: Option<T>, text: &str, file: &Path) -> Result<(T, Vec<Warning>), Faults> {
        let mut lines = Lines::of(text);
        let sources = self.sources;
        let mut faults = self.faults.into_inner();
        match value {
            Some(value) if faults.is_empty() => {
                let mut warnings = self.warnings.into_inner();
                warnings.sort_by_key(|(at, _)| *at);
                let place = |(at, message)| Warning {
                    file: file.to_owned(),
                    place: lines.place(at),
                    message: sources.reword(at, message),
                };
                Ok((value, warnings.into_iter().map(place).collect()))
            }
            _ => {
                if faults.is_empty() {
                    faults.push((
                        0,
                        "the settings are incomplete, and no reason was noted: a bug of the proxy".to_owned(),
                    ));
                }
                faults.sort_by_key(|(at, _)| *at);
                faults.dedup();
                let dropped = faults.len().saturating_sub(FAULTS_MAX);
                faults.truncate(FAULTS_MAX);
                let place =
                    |(at, message)| Fault { place: Some(lines.place(at)), message: sources.reword(at, message) };
                Err(Faults { file: file.to_owned(), faults: faults.into_iter().map(place).collect(), dropped })
            }
        }
    }
}

/// Turns bytes into lines and columns, in rising order, with one walk over the text.
struct Lines<'a> {
    text: &'a str,
    walked: usize,
    place: Place,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        Self { text, walked: 0, place: Place { line: 1, column: 1 } }
    }

    /// The place of a byte; not before the last one asked for.
    fn place(&mut self, at: usize) -> Place {
        let rest = self.text.get(self.walked..).unwrap_or_default();
        for (offset, character) in rest.char_indices() {
            if self.walked + offset >= at {
                self.walked += offset;
                return self.place;
            }
            self.place = match character {
                '\n' => Place { line: self.place.line + 1, column: 1 },
                _ => Place { column: self.place.column + 1, ..self.place },
            };
        }
        self.walked = self.text.len();
        self.place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_and_lines_from_one() {
        let text = "ä = 1\nbß = 2\r\n\nc";
        let mut lines = Lines::of(text);
        for (at, line, column) in
            [(0, 1, 1), (0, 1, 1), (3, 1, 3), (7, 2, 1), (8, 2, 2), (10, 2, 3), (17, 4, 1), (99, 4, 2)]
        {
            assert_eq!(lines.place(at), Place { line, column }, "byte {at}");
        }
    }

    #[test]
    fn faults_are_sorted_and_beyond_the_cap_counted() {
        let text = "x\n".repeat(FAULTS_MAX + 10);
        let findings = Findings::default();
        for at in (0..FAULTS_MAX + 5).rev() {
            findings.fault(&(at * 2..at * 2), "wrong");
        }
        findings.fault(&(0..0), "wrong");
        let faults = findings.conclude(Some(()), &text, Path::new("f.toml")).unwrap_err();
        assert_eq!(faults.as_slice().len(), FAULTS_MAX);
        let shown = faults.to_string();
        assert!(shown.starts_with("f.toml:1:1: wrong\nf.toml:2:1: wrong\n"), "{shown}");
        assert!(shown.ends_with("\nf.toml: and 5 more faults"), "{shown}");
    }

    #[test]
    fn nothing_found_and_nothing_built_is_still_a_fault() {
        let faults = Findings::default().conclude(None::<()>, "", Path::new("f.toml")).unwrap_err();
        assert_eq!(faults.as_slice().len(), 1);
    }
}
