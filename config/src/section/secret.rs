//! Secrets: written in the file, or in a file of their own that it names.
//!
//! Invariant: exactly one of both is written.

use std::borrow::Borrow;

use toml::Spanned;

use super::{Section, place};
use crate::{
    describe::Need,
    source::secret_file,
    value::{Reader, text_shown},
};

impl Section<'_> {
    /// A secret: the value of `key`, or the content of the file that `key_file` names, which is read now.
    pub(crate) fn secret<T>(
        &mut self,
        [key, key_file]: [&'static str; 2],
        reader: impl Borrow<Reader<T>>,
    ) -> Option<Spanned<T>> {
        let both = self.has(key) && self.has(key_file);
        let written = self.optional(key, reader.borrow());
        let file = self.optional(key_file, text_shown(secret_file, |path| path.display().to_string()));
        let Some(file) = file else { return written };
        if both {
            let message = format!("`{key}` and `{key_file}` in {}: write one of both", self.title);
            self.findings.fault(&file.span(), message);
            return written;
        }
        let places = [place(&self.at, key), place(&self.at, key_file)];
        match self.findings.sources.secret(file.get_ref(), places, reader.borrow()) {
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
        reader: impl Borrow<Reader<T>>,
    ) -> Option<Spanned<T>> {
        self.one_of(&keys, example);
        self.secret(keys, reader)
    }

    /// Notes that none of several keys is there, of which exactly one is to be written. The first of them may hold a
    /// secret; `example` is a line with it that would do.
    pub(crate) fn one_of(&self, keys: &[&'static str], example: &str) {
        let Some(first) = keys.first() else { return };
        if let Some(recorder) = self.recorder {
            recorder.need(place(&self.path, first), Need::Sometimes(example.to_owned()));
            recorder.either(keys.iter().map(|key| place(&self.path, key)).collect());
        } else if !keys.iter().any(|key| self.has(key)) {
            self.missing(first, example);
        }
    }
}
