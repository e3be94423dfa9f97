//! Figures as SVG: bars with whiskers from minimum to maximum, lines over a logarithmic number.
//!
//! Invariant: a file needs nothing beside itself, neither fonts nor styles of the page that shows it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::statistics::Spread;

mod bars;
mod lines;
mod svg;

/// One bar.
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) figure: Spread,
    /// Whether it stands out.
    pub(crate) ours: bool,
}

/// One line.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) marks: Vec<Mark>,
}

/// A point of a line.
pub(crate) struct Mark {
    pub(crate) at: u64,
    pub(crate) figure: Spread,
}

/// Where plots go, if anywhere.
pub(crate) struct Plots(Option<PathBuf>);

impl Plots {
    /// Makes the folder.
    pub(crate) fn into(folder: Option<PathBuf>) -> anyhow::Result<Self> {
        if let Some(folder) = &folder {
            fs::create_dir_all(folder).with_context(|| format!("--plots {}", folder.display()))?;
        }
        Ok(Self(folder))
    }

    /// Writes bars, unless there are none.
    pub(crate) fn bars(&self, title: &str, unit: &str, bars: &[Bar]) -> anyhow::Result<()> {
        if bars.is_empty() { Ok(()) } else { self.write(title, &bars::draw(title, unit, bars)) }
    }

    /// Writes lines, unless no point has a figure.
    pub(crate) fn lines(&self, title: &str, over: &str, unit: &str, lines: &[Line]) -> anyhow::Result<()> {
        let empty = lines.iter().all(|line| line.marks.is_empty());
        if empty { Ok(()) } else { self.write(title, &lines::draw(title, over, unit, lines)) }
    }

    fn write(&self, title: &str, text: &str) -> anyhow::Result<()> {
        let Some(folder) = &self.0 else { return Ok(()) };
        let path = folder.join(file(title));
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        eprintln!("wrote {}", path.display());
        Ok(())
    }
}

/// A file's name from a title: what comes before a comma or parenthesis, in small letters.
fn file(title: &str) -> impl AsRef<Path> {
    let short = title.split(['(', ',']).next().unwrap_or(title).trim().to_lowercase();
    let name: String = short.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
    format!("{name}.svg")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_has_a_name_without_surprises() {
        let check = |title: &str, expected: &str| assert_eq!(file(title).as_ref(), Path::new(expected));
        check("CPU time per request", "cpu-time-per-request.svg");
        check("Forwarded through two proxies (CPU of both)", "forwarded-through-two-proxies.svg");
        check("Since ../main", "since----main.svg");
    }

    #[test]
    fn plots_are_written_where_they_were_asked_for_and_only_then() {
        let folder = tempfile::tempdir().unwrap();
        let plots = Plots::into(Some(folder.path().join("deep/er"))).unwrap();
        let figure = Spread::of([1.0, 2.0]).unwrap();
        plots.bars("Bars", "µs", &[Bar { name: "one".into(), figure, ours: true }]).unwrap();
        plots.lines("Nothing", "stamps", "µs", &[]).unwrap();
        let written: Vec<_> = fs::read_dir(folder.path().join("deep/er")).unwrap().collect();
        assert_eq!(written.len(), 1);
        assert!(Plots::into(None).unwrap().write("Bars", "").is_ok());
    }
}
