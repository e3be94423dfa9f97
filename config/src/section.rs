//! One table of the file, read key by key.
//!
//! Invariant: a key that nobody asked for is a fault, so a key exists exactly when it is read. Inside
//! [`Section::read`] every key is asked for before anything returns early; whatever yields no value has noted why.

use std::ops::RangeInclusive;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    fault::{Findings, Span},
    source::secret_file,
    suggest,
    value::{self, Shown, Wrong, text},
};

/// Whether a section is in the file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Written,
    /// Every key has its default.
    Absent,
    /// Something else stands in its place, which was noted: its keys are not missed.
    Mistaken,
}

/// A table of the file, or an absent one: then every key has its default.
pub(crate) struct Section<'f> {
    /// As in a header: `routing.endpoints`; empty for the top of the file.
    path: String,
    /// As the path, with positions in lists: `listeners.0`.
    at: String,
    /// As it is called in messages: `[routing.endpoints]`, `[[listeners]]`.
    title: String,
    presence: Presence,
    span: Span,
    table: DeTable<'f>,
    asked: Vec<&'static str>,
    findings: &'f Findings,
}

impl<'f> Section<'f> {
    /// The top of the file.
    pub(crate) fn top(table: Spanned<DeTable<'f>>, findings: &'f Findings) -> Self {
        let (path, at, title) = (String::new(), String::new(), "the file".to_owned());
        let table = table.into_inner();
        Self { path, at, title, presence: Presence::Written, span: 0..0, table, asked: Vec::new(), findings }
    }

    /// Reads the section; what `keys` did not ask for is reported as unknown.
    pub(crate) fn read<T>(mut self, keys: impl FnOnce(&mut Self) -> T) -> T {
        let value = keys(&mut self);
        self.report_unknown();
        value
    }

    /// Whether it is in the file, rightly or wrongly.
    pub(crate) fn is_written(&self) -> bool {
        self.presence != Presence::Absent
    }

    /// Where it begins.
    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    /// Whether a key is in the section.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// A key that has no place here, though it is known: notes why and says whether it was there.
    pub(crate) fn refuse(&mut self, key: &str, why: &str) -> bool {
        let Some((key, _)) = self.table.remove_entry(key) else { return false };
        self.findings.fault(&key.span(), format!("`{}` in {}: {why}", key.get_ref(), self.title));
        true
    }

    /// Notes a fault.
    pub(crate) fn fault(&self, span: &Span, message: impl Into<String>) {
        self.findings.fault(span, message);
    }

    /// A value that has no default; `example` is a line that would do.
    pub(crate) fn required<T>(
        &mut self,
        key: &'static str,
        example: &str,
        read: impl Fn(&DeValue<'_>) -> Result<T, Wrong>,
    ) -> Option<Spanned<T>> {
        match self.take(key) {
            Some(value) => self.value(key, &value, read),
            None => {
                self.missing(key, example);
                None
            }
        }
    }

    /// Notes that a key is missing; `example` is a line that would do.
    pub(crate) fn missing(&self, key: &str, example: &str) {
        let title = &self.title;
        let message = match self.presence {
            Presence::Written => format!("`{key}` is missing in {title}; write {example}"),
            Presence::Absent => format!("{title} is missing; write it with {example}"),
            Presence::Mistaken => return,
        };
        self.findings.fault(&self.span, message);
    }

    /// A value that may be left out. A wrong one is noted and counts as left out.
    pub(crate) fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&DeValue<'_>) -> Result<T, Wrong>,
    ) -> Option<Spanned<T>> {
        let value = self.take(key)?;
        self.value(key, &value, read)
    }

    /// A value with a default. A wrong one is noted and the default returned.
    pub(crate) fn or<T>(
        &mut self,
        key: &'static str,
        default: T,
        read: impl Fn(&DeValue<'_>) -> Result<T, Wrong>,
    ) -> T {
        self.optional(key, read).map_or(default, Spanned::into_inner)
    }

    /// A secret: the value of `key`, or the content of the file that `key_file` names, which is read now.
    pub(crate) fn secret<T>(
        &mut self,
        [key, key_file]: [&'static str; 2],
        read: impl Fn(&DeValue<'_>) -> Result<T, Wrong>,
    ) -> Option<Spanned<T>> {
        let both = self.has(key) && self.has(key_file);
        let written = self.optional(key, &read);
        let Some(file) = self.optional(key_file, text(secret_file)) else { return written };
        if both {
            let message = format!("`{key}` and `{key_file}` in {}: write one of both", self.title);
            self.findings.fault(&file.span(), message);
            return written;
        }
        let places = [place(&self.at, key), place(&self.at, key_file)];
        match self.findings.sources.secret(file.get_ref(), places, read) {
            Ok(read) => Some(Spanned::new(file.span(), read)),
            Err(wrong) => {
                self.findings.fault(&file.span(), format!("`{key_file}` in {}: {wrong}", self.title));
                None
            }
        }
    }

    /// A secret without a default; `example` is a line that would do.
    pub(crate) fn required_secret<T>(
        &mut self,
        keys: [&'static str; 2],
        example: &str,
        read: impl Fn(&DeValue<'_>) -> Result<T, Wrong>,
    ) -> Option<Spanned<T>> {
        let [key, key_file] = keys;
        if !self.has(key) && !self.has(key_file) {
            self.missing(key, example);
        }
        self.secret(keys, read)
    }

    /// A list whose length lies in a range. Wrong entries are noted and left out.
    pub(crate) fn list<T>(
        &mut self,
        key: &'static str,
        lengths: RangeInclusive<usize>,
        read: impl Fn(&DeValue<'_>) -> Result<T, Wrong>,
    ) -> Option<Vec<Spanned<T>>> {
        let value = self.take(key)?;
        let span = value.span();
        let DeValue::Array(entries) = value.into_inner() else {
            self.findings.fault(&span, format!("`{key}` in {}: expected a list in brackets", self.title));
            return None;
        };
        if !lengths.contains(&entries.len()) {
            let (least, most) = lengths.into_inner();
            let message = format!("`{key}` in {}: allowed are {least} to {most} entries", self.title);
            self.findings.fault(&span, message);
            return None;
        }
        Some(entries.into_iter().filter_map(|entry| self.value(key, &entry, &read)).collect())
    }

    /// A section inside this one; absent when it is not written.
    pub(crate) fn section(&mut self, key: &'static str) -> Section<'f> {
        let (path, at) = (place(&self.path, key), place(&self.at, key));
        let title = format!("[{path}]");
        match self.take(key).map(|value| (value.span(), value.into_inner())) {
            Some((span, DeValue::Table(table))) => self.inner(path, at, title, span, table),
            Some((span, other)) => {
                let found = value::kind(&other);
                self.findings
                    .fault(&span, format!("{title} is a section, found {found}; begin it with the line {title}"));
                Section { presence: Presence::Mistaken, ..self.inner(path, at, title, span, DeTable::new()) }
            }
            None => Section { presence: Presence::Absent, ..self.inner(path, at, title, self.span(), DeTable::new()) },
        }
    }

    /// The sections of a list: `[[listeners]]`. `None` when it is not written, or is no list of at most `most`.
    pub(crate) fn sections(&mut self, key: &'static str, most: usize) -> Option<Vec<Section<'f>>> {
        let (path, at) = (place(&self.path, key), place(&self.at, key));
        let title = format!("[[{path}]]");
        let value = self.take(key)?;
        let span = value.span();
        let DeValue::Array(entries) = value.into_inner() else {
            self.findings.fault(&span, format!("{title} is a list of sections; begin each with the line {title}"));
            return None;
        };
        if entries.len() > most {
            self.findings.fault(&span, format!("{title}: at most {most} are allowed"));
            return None;
        }
        let section = |(index, entry): (usize, Spanned<DeValue<'f>>)| match (entry.span(), entry.into_inner()) {
            (span, DeValue::Table(table)) => {
                Some(self.inner(path.clone(), format!("{at}.{index}"), title.clone(), span, table))
            }
            (span, other) => {
                let found = value::kind(&other);
                self.findings.fault(&span, format!("{title} is a list of sections, found {found} in it"));
                None
            }
        };
        Some(entries.into_iter().enumerate().filter_map(section).collect())
    }

    /// The sections below a key, each under a name that the author chose: `[upstreams.NAME]`. In the order of the file.
    /// `None` when it is not written, or is no table of at most `most`.
    pub(crate) fn named(&mut self, key: &'static str, most: usize) -> Option<Vec<(Spanned<String>, Section<'f>)>> {
        let (path, at) = (place(&self.path, key), place(&self.at, key));
        let value = self.take(key)?;
        let span = value.span();
        let DeValue::Table(table) = value.into_inner() else {
            self.findings.fault(&span, format!("[{path}.NAME] is a section; begin it with the line [{path}.NAME]"));
            return None;
        };
        if table.len() > most {
            self.findings.fault(&span, format!("[{path}.NAME]: at most {most} are allowed"));
            return None;
        }
        let section = |(name, value): (Spanned<std::borrow::Cow<'f, str>>, Spanned<DeValue<'f>>)| {
            let shown = match Shown(name.get_ref()) {
                shown if shown.is_harmless() => name.get_ref().to_string(),
                _ => "NAME".to_owned(),
            };
            let (path, at, title) = (format!("{path}.{shown}"), format!("{at}.{shown}"), format!("[{path}.{shown}]"));
            let name = Spanned::new(name.span(), name.into_inner().into_owned());
            match (value.span(), value.into_inner()) {
                (span, DeValue::Table(table)) => Some((name, self.inner(path, at, title, span, table))),
                (_, other) => {
                    let found = value::kind(&other);
                    let message = format!("{title} is a section, found {found}; begin it with the line {title}");
                    self.findings.fault(&name.span(), message);
                    None
                }
            }
        };
        let mut sections: Vec<_> = table.into_iter().filter_map(section).collect();
        sections.sort_by_key(|(name, _)| name.span().start);
        Some(sections)
    }

    /// The values below a key, each under a name that the author chose, in the order of the file.
    pub(crate) fn map<N, T>(
        &mut self,
        key: &'static str,
        most: usize,
        read_name: impl Fn(&str) -> Result<N, Wrong>,
        read: impl Fn(&DeValue<'_>) -> Result<T, Wrong>,
    ) -> Vec<(Spanned<N>, T)> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let span = value.span();
        let DeValue::Table(table) = value.into_inner() else {
            self.findings
                .fault(&span, format!("`{key}` in {}: expected a table such as {{ name = \"value\" }}", self.title));
            return Vec::new();
        };
        if table.len() > most {
            self.findings.fault(&span, format!("`{key}` in {}: at most {most} entries are allowed", self.title));
            return Vec::new();
        }
        let entry = |(name, value): (Spanned<std::borrow::Cow<'f, str>>, Spanned<DeValue<'f>>)| {
            let read_name = match read_name(name.get_ref()) {
                Ok(read) => Some(Spanned::new(name.span(), read)),
                Err(wrong) => {
                    self.findings.fault(&name.span(), format!("`{key}` in {}: {wrong}", self.title));
                    None
                }
            };
            let value = self.value(key, &value, &read);
            Some((read_name?, value?.into_inner()))
        };
        let mut entries: Vec<_> = table.into_iter().filter_map(entry).collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        entries
    }

    fn inner(&self, path: String, at: String, title: String, span: Span, table: DeTable<'f>) -> Section<'f> {
        Section {
            path,
            at,
            title,
            presence: Presence::Written,
            span,
            table,
            asked: Vec::new(),
            findings: self.findings,
        }
    }

    fn take(&mut self, key: &'static str) -> Option<Spanned<DeValue<'f>>> {
        self.asked.push(key);
        self.table.remove(key)
    }

    fn value<T>(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        read: impl Fn(&DeValue<'_>) -> Result<T, Wrong>,
    ) -> Option<Spanned<T>> {
        if self.findings.sources.is_unfilled(value.span().start) {
            return None;
        }
        match read(value.get_ref()) {
            Ok(read) => Some(Spanned::new(value.span(), read)),
            Err(wrong) => {
                self.findings.fault(&value.span(), format!("`{key}` in {}: {wrong}", self.title));
                None
            }
        }
    }

    fn report_unknown(&self) {
        for (key, value) in &self.table {
            let is_section = self.path.is_empty() && matches!(value.get_ref(), DeValue::Table(_) | DeValue::Array(_));
            let shown = Shown(key.get_ref());
            let what = match is_section {
                true => format!("unknown section {shown}"),
                false => format!("unknown key {shown} in {}", self.title),
            };
            let cure = match suggest::nearest(key.get_ref(), self.asked.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => {
                    let mut known: Vec<String> = self.asked.iter().map(|key| format!("`{key}`")).collect();
                    known.sort();
                    format!("known here: {}", known.join(", "))
                }
            };
            self.findings.fault(&key.span(), format!("{what}; {cure}"));
        }
    }
}

fn place(of: &str, key: &str) -> String {
    if of.is_empty() { key.to_owned() } else { format!("{of}.{key}") }
}
