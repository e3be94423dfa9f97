//! One table of the file, read key by key.
//!
//! Invariant: a key that nobody asked for is a fault, so a key exists exactly when it is read. Inside
//! [`Section::read`] every key is asked for before anything returns early; whatever yields no value has noted why.
//!
//! A section can also be described: then nothing is written, every list has one entry, what is required has the value of
//! its example, and what is asked for is recorded.

use std::{borrow::Borrow, ops::RangeInclusive};

use serde_json::{Value, json};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    describe::{Kind, Need, Recorder},
    fault::{Findings, Span},
    suggest,
    value::{self, Reader, Shown, Wrong},
};

mod either;
mod secret;

pub(crate) use either::{Entry, OneOrNamed};

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
    /// Keys with a default that stands for what was written, which was noted.
    faulty: Vec<&'static str>,
    findings: &'f Findings,
    /// Set while the file is described, not read.
    recorder: Option<&'f Recorder>,
}

impl<'f> Section<'f> {
    /// The top of the file.
    pub(crate) fn top(table: Spanned<DeTable<'f>>, findings: &'f Findings) -> Self {
        let (path, at, title) = (String::new(), String::new(), "the file".to_owned());
        let table = table.into_inner();
        let (presence, asked, faulty, recorder) = (Presence::Written, Vec::new(), Vec::new(), None);
        Self { path, at, title, presence, span: 0..0, table, asked, faulty, findings, recorder }
    }

    /// The top of a file that is not there: what is asked for is recorded.
    pub(crate) fn described(table: Spanned<DeTable<'f>>, findings: &'f Findings, recorder: &'f Recorder) -> Self {
        Self { recorder: Some(recorder), ..Self::top(table, findings) }
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

    /// The section, if it is in the file, rightly or wrongly: one that may be left out though it has required keys.
    pub(crate) fn if_written(self) -> Option<Self> {
        if let Some(recorder) = self.recorder {
            recorder.need(self.path.clone(), Need::Sometimes(String::new()));
            return Some(self);
        }
        self.is_written().then_some(self)
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

    /// Notes why the value of a key does not go with that of another. Where that one was faulty, nothing is known of it.
    pub(crate) fn clash(&self, [key, other]: [&str; 2], at: &Span, why: &str) {
        if !self.faulty.contains(&other) {
            self.findings.fault(at, format!("`{key}` in {}: {why}", self.title));
        }
    }

    /// A value that has no default; `example` is a line that would do.
    pub(crate) fn required<T>(
        &mut self,
        key: &'static str,
        example: &str,
        reader: impl Borrow<Reader<T>>,
    ) -> Option<Spanned<T>> {
        let reader = reader.borrow();
        if self.recorder.is_some() {
            self.missing(key, example);
            self.record(key, reader.schema(), None);
            let example = DeTable::parse(example).ok().and_then(|table| table.into_inner().remove(key))?;
            return reader.read(example.get_ref()).ok().map(|read| Spanned::new(0..0, read));
        }
        match self.take(key) {
            Some(value) => self.value(key, &value, reader),
            None => {
                self.missing(key, example);
                None
            }
        }
    }

    /// Notes that a key is missing; `example` is a line that would do.
    pub(crate) fn missing(&self, key: &str, example: &str) {
        if let Some(recorder) = self.recorder {
            return recorder.need(place(&self.path, key), Need::Always(example.to_owned()));
        }
        let title = &self.title;
        let message = match self.presence {
            Presence::Written => format!("`{key}` is missing in {title}; write {example}"),
            Presence::Absent => format!("{title} is missing; write it with {example}"),
            Presence::Mistaken => return,
        };
        self.findings.fault(&self.span, message);
    }

    /// Notes, in words of its own, that a key or section is missing.
    pub(crate) fn missing_because(&self, key: &str, need: Need, why: &str) {
        match self.recorder {
            Some(recorder) => recorder.need(place(&self.path, key), need),
            None => self.findings.fault(&self.span, why),
        }
    }

    /// A value that may be left out. A wrong one is noted and counts as left out.
    pub(crate) fn optional<T>(&mut self, key: &'static str, reader: impl Borrow<Reader<T>>) -> Option<Spanned<T>> {
        self.record(key, reader.borrow().schema(), None);
        let value = self.take(key)?;
        self.value(key, &value, reader.borrow())
    }

    /// A value with a default. A wrong one is noted and the default returned.
    pub(crate) fn or<T>(&mut self, key: &'static str, default: T, reader: impl Borrow<Reader<T>>) -> T {
        self.spanned_or(key, default, reader).into_inner()
    }

    /// A value with a default, and its place or that of the section.
    pub(crate) fn spanned_or<T>(
        &mut self,
        key: &'static str,
        default: T,
        reader: impl Borrow<Reader<T>>,
    ) -> Spanned<T> {
        let reader = reader.borrow();
        self.record(key, reader.schema(), Some(reader.show(&default)));
        if let Some(value) = self.take(key) {
            if let Some(read) = self.value(key, &value, reader) {
                return read;
            }
            self.faulty.push(key);
        }
        Spanned::new(self.span(), default)
    }

    /// A list whose length lies in a range. Wrong entries are noted and left out.
    pub(crate) fn list<T>(
        &mut self,
        key: &'static str,
        lengths: RangeInclusive<usize>,
        reader: impl Borrow<Reader<T>>,
    ) -> Option<Vec<Spanned<T>>> {
        self.record(key, list_schema(&lengths, reader.borrow()), None);
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
        Some(entries.into_iter().filter_map(|entry| self.value(key, &entry, reader.borrow())).collect())
    }

    /// A list with a default, which also stands for a wrong one.
    pub(crate) fn list_or<T>(
        &mut self,
        key: &'static str,
        lengths: RangeInclusive<usize>,
        default: Vec<T>,
        reader: impl Borrow<Reader<T>>,
    ) -> Vec<T> {
        let reader = reader.borrow();
        if self.recorder.is_some() {
            let shown = default.iter().map(|entry| reader.show(entry)).collect();
            self.record(key, list_schema(&lengths, reader), Some(shown));
            return default;
        }
        let written = self.list(key, lengths, reader);
        written.map_or(default, |entries| entries.into_iter().map(Spanned::into_inner).collect())
    }

    /// A section inside this one; absent when it is not written.
    pub(crate) fn section(&mut self, key: &'static str) -> Section<'f> {
        let (path, at) = (place(&self.path, key), place(&self.at, key));
        let title = format!("[{path}]");
        if let Some(recorder) = self.recorder {
            recorder.section(&path, Kind::Section);
        }
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
        if let Some(recorder) = self.recorder {
            recorder.section(&path, Kind::Sections(most));
            return Some(vec![self.inner(path, at, title, 0..0, DeTable::new())]);
        }
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
        if let Some(recorder) = self.recorder {
            recorder.section(&path, Kind::Named(most));
            let (path, title) = (format!("{path}.NAME"), format!("[{path}.NAME]"));
            return Some(vec![(
                Spanned::new(0..0, "name".to_owned()),
                self.inner(path, at, title, 0..0, DeTable::new()),
            )]);
        }
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
            let [path, at, title] = self.below(key, name.get_ref());
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
        reader: impl Borrow<Reader<T>>,
    ) -> Vec<(Spanned<N>, T)> {
        let reader = reader.borrow();
        let schema = json!({ "type": "object", "maxProperties": most, "additionalProperties": reader.schema() });
        self.record(key, schema, Some(json!({})));
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
            let value = self.value(key, &value, reader);
            Some((read_name?, value?.into_inner()))
        };
        let mut entries: Vec<_> = table.into_iter().filter_map(entry).collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        entries
    }

    /// Path, place and title of a section below `key` under a name that the author chose.
    fn below(&self, key: &str, name: &str) -> [String; 3] {
        let shown = if Shown(name).is_harmless() { name } else { "NAME" };
        let [path, at] = [&self.path, &self.at].map(|outer| format!("{}.{shown}", place(outer, key)));
        let title = format!("[{path}]");
        [path, at, title]
    }

    fn inner(&self, path: String, at: String, title: String, span: Span, table: DeTable<'f>) -> Section<'f> {
        let (presence, asked, faulty) = (Presence::Written, Vec::new(), Vec::new());
        let (findings, recorder) = (self.findings, self.recorder);
        Section { path, at, title, presence, span, table, asked, faulty, findings, recorder }
    }

    fn record(&self, key: &str, schema: Value, default: Option<Value>) {
        if let Some(recorder) = self.recorder {
            recorder.value(place(&self.path, key), schema, default);
        }
    }

    fn take(&mut self, key: &'static str) -> Option<Spanned<DeValue<'f>>> {
        self.asked.push(key);
        self.table.remove(key)
    }

    fn value<T>(&self, key: &str, value: &Spanned<DeValue<'_>>, reader: &Reader<T>) -> Option<Spanned<T>> {
        if self.findings.sources.is_unfilled(value.span().start) {
            return None;
        }
        match reader.read(value.get_ref()) {
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

fn list_schema<T>(lengths: &RangeInclusive<usize>, reader: &Reader<T>) -> Value {
    json!({ "type": "array", "minItems": lengths.start(), "maxItems": lengths.end(), "items": reader.schema() })
}
