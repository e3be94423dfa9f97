//! Where values came from when not from the file itself: environment variables and files of secrets.
//!
//! Invariant: what came from there is shown nowhere; in its place stands where it came from.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    environment::{self, Environment},
    fault::{Findings, Span},
    file::{self, Pipes, Unreadable},
    value::{Reader, Wrong},
};

/// Most bytes that variables may put into one file.
const FILLED_BYTES_MAX: usize = 1 << 20;
/// Largest file of one secret.
const SECRET_BYTES_MAX: usize = 64 << 10;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// From environment variables: the text as written, `${NAME}` and all.
    Environment(String),
    /// From a file of its own: its path as written.
    File(String),
}

/// Which settings came from elsewhere, by the place of their key: `routing.store`, `listeners.0.address`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// Where the value at this place came from. `None`: from the file itself, or it is a default.
    pub(crate) fn of(&self, place: &str) -> Option<&Origin> {
        self.0.get(place)
    }

    /// Takes over what `running` knows of a key and what lies below it.
    pub(crate) fn keep(&mut self, running: &Self, key: &str) {
        let is_below = |at: &str| at.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        self.0.retain(|at, _| !is_below(at));
        let kept = running.0.iter().filter(|(at, _)| is_below(at));
        self.0.extend(kept.map(|(at, origin)| (at.clone(), origin.clone())));
    }
}

/// What is learnt of values from elsewhere while a file is read.
#[derive(Default)]
pub(crate) struct Sources {
    origins: RefCell<BTreeMap<String, Origin>>,
    files: RefCell<Vec<PathBuf>>,
    /// The variables behind the value that begins here.
    variables: RefCell<BTreeMap<usize, Vec<String>>>,
    /// Where values begin that could not be filled in.
    unfilled: RefCell<BTreeSet<usize>>,
    hidden: RefCell<BTreeSet<String>>,
    filled_bytes: Cell<usize>,
}

impl Sources {
    /// Fills the environment into every text value below a table. What cannot be filled in is noted, and not read.
    pub(crate) fn fill(&self, table: &mut DeTable<'_>, environment: &Environment, findings: &Findings) {
        self.fill_table(table, "", environment, findings);
    }

    fn fill_table(&self, table: &mut DeTable<'_>, at: &str, environment: &Environment, findings: &Findings) {
        for (key, value) in table.iter_mut() {
            let at = if at.is_empty() { key.get_ref().to_string() } else { format!("{at}.{}", key.get_ref()) };
            self.fill_value(value, &at, environment, findings);
        }
    }

    fn fill_value(&self, value: &mut Spanned<DeValue<'_>>, at: &str, environment: &Environment, findings: &Findings) {
        let span = value.span();
        match value.get_mut() {
            DeValue::String(text) => self.fill_text(text, &span, at, environment, findings),
            DeValue::Array(entries) => {
                for (index, entry) in entries.iter_mut().enumerate() {
                    self.fill_value(entry, &format!("{at}.{index}"), environment, findings);
                }
            }
            DeValue::Table(table) => self.fill_table(table, at, environment, findings),
            _ => {}
        }
    }

    fn fill_text(
        &self,
        text: &mut Cow<'_, str>,
        span: &Span,
        at: &str,
        environment: &Environment,
        findings: &Findings,
    ) {
        let filled = match environment::fill(text, environment) {
            Ok(None) => return,
            Ok(Some(filled)) => filled,
            Err(why) => return self.leave(span, findings, &why.to_string()),
        };
        self.filled_bytes.set(self.filled_bytes.get().saturating_add(filled.text.len()));
        if self.filled_bytes.get() > FILLED_BYTES_MAX {
            return self.leave(span, findings, "environment variables make the file larger than 1 MiB");
        }
        if !filled.names.is_empty() {
            self.origins.borrow_mut().insert(at.to_owned(), Origin::Environment(text.clone().into_owned()));
            let names = filled.names.iter().map(|name| (*name).to_owned()).collect();
            self.variables.borrow_mut().insert(span.start, names);
            self.hidden.borrow_mut().insert(filled.text.clone());
        }
        *text = Cow::Owned(filled.text);
    }

    fn leave(&self, span: &Span, findings: &Findings, why: &str) {
        self.unfilled.borrow_mut().insert(span.start);
        findings.fault(span, why);
    }

    /// Whether the value that begins here could not be filled in, which was noted.
    pub(crate) fn is_unfilled(&self, at: usize) -> bool {
        self.unfilled.borrow().contains(&at)
    }

    /// What `reader` makes of the file of one secret, without its last line break. `at` is the place of the secret's key,
    /// `at_file` that of the key which names the file.
    pub(crate) fn secret<T>(&self, path: &Path, [at, at_file]: [String; 2], reader: &Reader<T>) -> Result<T, Wrong> {
        self.files.borrow_mut().push(path.to_owned());
        let written = match self.origins.borrow().get(&at_file) {
            Some(Origin::Environment(written)) => written.clone(),
            _ => path.to_string_lossy().into_owned(),
        };
        let shown = written.escape_debug().to_string();
        let bytes = file::read(path, SECRET_BYTES_MAX, Pipes::Refused).map_err(|why| match why {
            Unreadable::TooLarge => format!("{shown} is larger than 64 KiB; is it the right one?"),
            why => format!("{shown} {why}"),
        })?;
        let mut secret = String::from_utf8(bytes).map_err(|_| format!("{shown} is not UTF-8; a secret is text"))?;
        if secret.ends_with('\n') {
            secret.pop();
            if secret.ends_with('\r') {
                secret.pop();
            }
        }
        if secret.is_empty() {
            return Err(format!("{shown} is empty; write the secret into it"));
        }
        self.origins.borrow_mut().insert(at, Origin::File(written));
        self.hidden.borrow_mut().insert(secret.clone());
        reader.read(&DeValue::String(Cow::Owned(secret))).map_err(|wrong| format!("what {shown} holds: {wrong}"))
    }

    /// A message without values from elsewhere, and with the variables behind the value it is about.
    pub(crate) fn reword(&self, at: usize, message: String) -> String {
        let hidden = self.hidden.borrow();
        let mut message = message;
        // names are shown in backticks, nothing else of a value is shown at all
        if message.contains('`') {
            for secret in hidden.iter().filter(|secret| !secret.is_empty()) {
                message = message.replace(&format!("`{secret}`"), "(not shown)");
            }
        }
        if let Some(names) = self.variables.borrow().get(&at) {
            let names: Vec<String> = names.iter().take(4).map(|name| format!("${{{name}}}")).collect();
            message.push_str(&format!(" (the value comes from {})", names.join(", ")));
        }
        message
    }

    /// Where values came from, by the place of their key.
    pub(crate) fn origins(&self) -> Origins {
        Origins(self.origins.borrow().clone())
    }

    /// Every file of a secret, in the order of reading, readable or not.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.files.borrow().clone()
    }
}

/// The path of the file of a secret. It is shown in messages, so it must not be the secret itself.
pub(crate) fn secret_file(written: &str) -> Result<PathBuf, &'static str> {
    match written {
        _ if written.contains('\0') => Err("a path holds no NUL"),
        _ if !["/", "./", "../"].iter().any(|start| written.starts_with(start)) => {
            Err("the path of the file of a secret begins with / or ./, such as /run/secrets/NAME")
        }
        _ if written.ends_with('/') => Err("it names a folder; write the path of a file"),
        _ => Ok(written.into()),
    }
}
