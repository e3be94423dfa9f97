//! `${NAME}` inside a value of the file: the environment variable of this name.
//!
//! Invariant: a value of the environment is in no message, and is not itself searched for `${`; `$${` stands for `${`.

use std::{
    collections::HashMap,
    env,
    ffi::{OsStr, OsString},
    fmt,
};

/// Longest value of one variable in bytes.
const VALUE_BYTES_MAX: usize = 64 << 10;
/// Longest name that is shown.
const NAME_BYTES_MAX: usize = 128;

/// The environment variables that a file may name. [`Default`]: none; a test passes its own.
///
/// [`Debug`](fmt::Debug) shows how many there are and nothing of them.
#[derive(Clone, Default)]
pub struct Environment(HashMap<OsString, OsString>);

impl Environment {
    /// The variables of this process, as they are now.
    #[must_use]
    pub fn of_process() -> Self {
        Self(env::vars_os().collect())
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Environment({} variables)", self.0.len())
    }
}

/// A value of the file with its variables filled in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Filled<'t> {
    pub(crate) text: String,
    /// The variables that it names, in order; none when there was only a `$${`.
    pub(crate) names: Vec<&'t str>,
}

/// Why a value cannot be filled in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfilled {
    #[error("`${{` has no `}}`; a variable is written ${{NAME}}, and $${{ stands for ${{ itself")]
    Open,
    #[error(
        "between `${{` and `}}` stands the name of a variable: A-Z, 0-9 and _, and no digit first; $${{ stands for ${{ itself"
    )]
    Name,
    #[error("the environment variable {0} is not set")]
    Unset(String),
    #[error("the environment variable {0} is not UTF-8")]
    Bytes(String),
    #[error("the environment variable {0} is longer than 64 KiB")]
    TooLong(String),
}

/// Fills in the variables of a text. `None`: it names none and stays as it is.
pub(crate) fn fill<'t>(text: &'t str, environment: &Environment) -> Result<Option<Filled<'t>>, Unfilled> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mut filled = Filled { text: String::with_capacity(text.len()), names: Vec::new() };
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        filled.text.push_str(before);
        if let Some(behind) = from.strip_prefix("$${") {
            filled.text.push_str("${");
            rest = behind;
        } else if let Some(inner) = from.strip_prefix("${") {
            let (name, behind) = inner.split_once('}').ok_or(Unfilled::Open)?;
            filled.text.push_str(lookup(name, environment)?);
            filled.names.push(name);
            rest = behind;
        } else {
            filled.text.push('$');
            rest = from.get(1..).unwrap_or_default();
        }
    }
    filled.text.push_str(rest);
    Ok(Some(filled))
}

fn lookup<'e>(name: &str, environment: &'e Environment) -> Result<&'e str, Unfilled> {
    let starts = name.bytes().next().is_some_and(|b| b.is_ascii_uppercase() || b == b'_');
    let rest = name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    if !starts || !rest || name.len() > NAME_BYTES_MAX {
        return Err(Unfilled::Name);
    }
    let value = environment.0.get(OsStr::new(name)).ok_or_else(|| Unfilled::Unset(name.to_owned()))?;
    let value = value.to_str().ok_or_else(|| Unfilled::Bytes(name.to_owned()))?;
    match value.len() <= VALUE_BYTES_MAX {
        true => Ok(value),
        false => Err(Unfilled::TooLong(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn variables_are_filled_in_once_and_dollars_stay_dollars() {
        let environment: Environment = [("A", "1"), ("_B2", "${A}"), ("EMPTY", "")].into_iter().collect();
        for (text, expected, names) in [
            ("${A}", "1", &["A"][..]),
            ("x${A}y${A}z", "x1y1z", &["A", "A"]),
            ("${_B2}", "${A}", &["_B2"]),
            ("${EMPTY}", "", &["EMPTY"]),
            ("$${A}", "${A}", &[]),
            ("$$${A}", "$${A}", &[]),
            ("$$ ${A} $", "$$ 1 $", &["A"]),
            ("$${${A}}", "${1}", &["A"]),
        ] {
            let filled = Filled { text: expected.to_owned(), names: names.to_vec() };
            assert_eq!(fill(text, &environment), Ok(Some(filled)), "{text}");
        }
        for plain in ["", "$", "$A", "$(A)", "{A}", "a$$b"] {
            assert_eq!(fill(plain, &environment), Ok(None), "{plain}");
        }
    }

    #[test]
    fn what_cannot_be_filled_in_says_why_and_shows_no_value() {
        let bytes = OsString::from_vec(vec![b's', 0xff]);
        let long = OsString::from("s3cret".repeat(VALUE_BYTES_MAX));
        let environment: Environment = [("BYTES", bytes), ("LONG", long)].into_iter().collect();
        for (text, expected) in [
            ("${A", Unfilled::Open),
            ("${A ${B", Unfilled::Open),
            ("${", Unfilled::Open),
            ("${}", Unfilled::Name),
            ("${a}", Unfilled::Name),
            ("${1A}", Unfilled::Name),
            ("${A-B}", Unfilled::Name),
            ("${A:-default}", Unfilled::Name),
            ("${${A}}", Unfilled::Name),
            ("${Ä}", Unfilled::Name),
            ("${ A }", Unfilled::Name),
            ("${A}", Unfilled::Unset("A".to_owned())),
            ("${BYTES}", Unfilled::Bytes("BYTES".to_owned())),
            ("${LONG}", Unfilled::TooLong("LONG".to_owned())),
        ] {
            assert_eq!(fill(text, &environment), Err(expected), "{text}");
        }
        assert_eq!(fill(&format!("${{{}}}", "A".repeat(200)), &environment), Err(Unfilled::Name));
        assert_eq!(format!("{environment:?}"), "Environment(2 variables)");
    }
}
