//! What is shown: text for people, JSON or YAML with stable field names for programs.
//!
//! Invariant: standard output carries the result and nothing else (one document under `-o json` and `-o yaml`); prompts,
//! progress and warnings go to standard error. Nothing from a table reaches a terminal with control characters in it.

use std::io::{IsTerminal as _, Write as _};

use clap::ValueEnum;
use serde::Serialize;

use crate::failure::Failure;

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns and sentences.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
}

impl Format {
    /// Writes a result: the document, or the text that `words` makes of it.
    pub(crate) fn print<T: Serialize>(self, result: &T, words: impl FnOnce(&T) -> String) -> Result<(), Failure> {
        let unwritable = |error: String| Failure::failed(format!("cannot write the result: {error}"));
        let mut text = match self {
            Self::Table => words(result),
            Self::Json => serde_json::to_string_pretty(result).map_err(|error| unwritable(error.to_string()))?,
            Self::Yaml => serde_yaml_ng::to_string(result).map_err(|error| unwritable(error.to_string()))?,
        };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        write(&text).map_err(|error| unwritable(error.to_string()))
    }
}

fn write(text: &str) -> std::io::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        // whoever reads has seen enough: `stampctl list | head -1`
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

/// A text as it is, whatever the format.
pub(crate) fn raw(text: &str) -> Result<(), Failure> {
    write(text).map_err(|error| Failure::failed(format!("cannot write the result: {error}")))
}

/// A line of the result, as it happens. One that cannot be written must not stop a change half way.
pub(crate) fn line(text: &str) {
    let _ = write(&format!("{}\n", clean(text)));
}

/// A line for the operator, beside the result.
pub(crate) fn note(text: &str) {
    eprintln!("{}", clean(text));
}

/// Asks on the terminal. Only `y` and `yes` agree.
pub(crate) fn confirm(question: &str) -> bool {
    eprint!("{} [y/N] ", clean(question));
    let mut answer = String::new();
    if std::io::stdin().read_line(&mut answer).is_err() {
        return false;
    }
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

/// Whether somebody can answer a question.
pub(crate) fn can_ask() -> bool {
    std::io::stdin().is_terminal()
}

/// Whether progress is shown to somebody.
pub(crate) fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}

/// Text without what could move a cursor or rewrite a line: control characters and the marks that reverse the direction
/// of writing become `?`; line ends stay.
pub(crate) fn clean(text: &str) -> String {
    let hostile = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if hostile(c) { '?' } else { c }).collect()
}

/// Left-aligned columns under their titles, two spaces apart.
pub(crate) fn columns(titles: &[&str], rows: &[Vec<String>]) -> String {
    let one_line = |text: &str| clean(text).replace('\n', "?");
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| one_line(cell)).collect()).collect();
    let mut widths: Vec<usize> = titles.iter().map(|title| title.chars().count()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    };
    line(&mut titles.iter().copied());
    for row in &rows {
        line(&mut row.iter().map(String::as_str));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_hostile_text_stays_text() {
        let rows = vec![vec!["a".into(), "\x1b[2J".into()], vec!["longer".into(), "x\ny".into()]];
        assert_eq!(columns(&["ID", "NOTE"], &rows), "ID      NOTE\na       ?[2J\nlonger  x?y\n");
        assert_eq!(clean("a\r\u{202e}b\u{7}\n"), "a??b?\n");
    }
}
