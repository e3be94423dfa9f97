//! What a file may hold: every section and key with what it takes, found by reading a file that is not there.
//!
//! Invariant: nothing here knows a key. [`written::read`] asks for each of them, and what it asks for is written down.

use std::{cell::RefCell, collections::BTreeMap};

use serde_json::Value;
use toml::{Spanned, de::DeTable};

use crate::{fault::Findings, reference, section::Section, written};

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A value behind a key.
    Value,
    /// `[section]`.
    Section,
    /// `[[section]]`, at most so many.
    Sections(usize),
    /// `[section.NAME]`, at most so many.
    Named(usize),
}

/// Whether it must be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// It may be left out.
    Never,
    /// It depends on what else is written. With an example, as for [`Need::Always`].
    Sometimes(String),
    /// Wherever its section is written. With the line that would do, such as `kind = "edge"`; empty for sections.
    Always(String),
}

/// A section or a key.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    /// `listeners.address`, `upstreams.NAME.endpoints`.
    pub(crate) path: String,
    pub(crate) kind: Kind,
    /// JSON Schema of the value; null for sections.
    pub(crate) schema: Value,
    /// As it would be written; `None`: there is no default, or it depends on the machine or other keys.
    pub(crate) default: Option<Value>,
    pub(crate) need: Need,
}

impl Key {
    /// The section it is in; empty at the top.
    pub(crate) fn parent(&self) -> &str {
        self.path.rsplit_once('.').map_or("", |(parent, _)| parent)
    }

    /// Its own name.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit_once('.').map_or(self.path.as_str(), |(_, name)| name)
    }
}

/// Takes down what is asked for.
#[derive(Default)]
pub(crate) struct Recorder {
    keys: RefCell<Vec<Key>>,
    needs: RefCell<BTreeMap<String, Need>>,
    either: RefCell<Vec<Vec<String>>>,
}

impl Recorder {
    pub(crate) fn value(&self, path: String, schema: Value, default: Option<Value>) {
        self.keys.borrow_mut().push(Key { path, kind: Kind::Value, schema, default, need: Need::Never });
    }

    pub(crate) fn section(&self, path: &str, kind: Kind) {
        let key = Key { path: path.to_owned(), kind, schema: Value::Null, default: None, need: Need::Never };
        self.keys.borrow_mut().push(key);
    }

    pub(crate) fn need(&self, path: String, need: Need) {
        self.needs.borrow_mut().insert(path, need);
    }

    pub(crate) fn either(&self, paths: Vec<String>) {
        self.either.borrow_mut().push(paths);
    }
}

/// Everything that a file may hold.
pub(crate) struct Description {
    /// In the order of the documentation; a section stands before its keys.
    pub(crate) keys: Vec<Key>,
    /// Keys of one section of which exactly one is written; the first may hold a secret.
    pub(crate) either: Vec<Vec<String>>,
}

impl Description {
    /// Reads a file that is not there.
    pub(crate) fn new() -> Self {
        let (findings, recorder) = (Findings::default(), Recorder::default());
        written::read(Section::described(Spanned::new(0..0, DeTable::new()), &findings, &recorder));
        let Recorder { keys, needs, either } = recorder;
        let (mut keys, mut needs) = (keys.into_inner(), needs.into_inner());
        for key in &mut keys {
            if let Some(need) = needs.remove(&key.path) {
                key.need = need;
            }
        }
        keys.sort_by_key(|key| reference::position(&key.path));
        Self { keys, either: either.into_inner() }
    }

    /// What stands directly in a section.
    pub(crate) fn inside<'d>(&'d self, section: &'d str) -> impl Iterator<Item = &'d Key> {
        self.keys.iter().filter(move |key| key.parent() == section)
    }

    /// The keys of which exactly one is written, this one first.
    pub(crate) fn either(&self, key: &Key) -> Option<&[String]> {
        self.either.iter().find(|keys| keys.first() == Some(&key.path)).map(Vec::as_slice)
    }

    /// Whether a section or key must be written wherever what it is in is written.
    pub(crate) fn is_required(&self, key: &Key) -> bool {
        match (&key.need, key.kind) {
            (Need::Always(_), _) => true,
            (Need::Never, Kind::Section) => self.inside(&key.path).any(|inner| self.is_required(inner)),
            _ => false,
        }
    }
}
