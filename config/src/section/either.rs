//! A key that takes one value, or a table of them under names that the author chose.
//!
//! Invariant: what stands at each name is read or noted; a name is judged by whoever knows what may be called so.

use std::borrow::Cow;

use serde_json::{Value, json};
use toml::{Spanned, de::DeValue};

use super::Section;
use crate::{fault::Span, value::Reader};

/// What stands behind such a key.
pub(crate) enum OneOrNamed<'f, T, E> {
    /// One value.
    One(Spanned<T>),
    /// The table, and where it stands. In the order of the file.
    Named(Span, Vec<(Spanned<String>, Entry<'f, E>)>),
}

/// What stands at one of the names.
pub(crate) enum Entry<'f, E> {
    /// A value.
    Value(E),
    /// A table.
    Section(Section<'f>),
    /// Something else, which was noted.
    Faulty,
}

impl<'f> Section<'f> {
    /// One value, or at most `most` values or tables under names. `table` is the JSON Schema of these tables. `None`: it is
    /// not written, or was noted.
    pub(crate) fn one_or_named<T, E>(
        &mut self,
        key: &'static str,
        most: usize,
        one: &Reader<T>,
        each: &Reader<E>,
        table: &Value,
    ) -> Option<OneOrNamed<'f, T, E>> {
        let entry = json!({ "anyOf": [each.schema(), table] });
        let named = json!({ "type": "object", "maxProperties": most, "additionalProperties": entry });
        self.record(key, json!({ "anyOf": [one.schema(), named] }), None);
        let value = self.take(key)?;
        let span = value.span();
        let entries = match value.into_inner() {
            DeValue::Table(entries) => entries,
            other => return self.value(key, &Spanned::new(span, other), one).map(OneOrNamed::One),
        };
        if entries.len() > most {
            self.fault(&span, format!("`{key}` in {}: at most {most} entries are allowed", self.title));
            return None;
        }
        let entry = |(name, value): (Spanned<Cow<'f, str>>, Spanned<DeValue<'f>>)| {
            let at = value.span();
            let entry = match value.into_inner() {
                DeValue::Table(table) => {
                    let [path, place, title] = self.below(key, name.get_ref());
                    Entry::Section(self.inner(path, place, title, at, table))
                }
                other => match self.value(key, &Spanned::new(at, other), each) {
                    Some(value) => Entry::Value(value.into_inner()),
                    None => Entry::Faulty,
                },
            };
            (Spanned::new(name.span(), name.into_inner().into_owned()), entry)
        };
        let mut entries: Vec<_> = entries.into_iter().map(entry).collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        Some(OneOrNamed::Named(span, entries))
    }
}
