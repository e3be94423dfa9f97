//! What is no TOML at all, in our words where the parser's are for its authors.

use toml::de::Error;

use crate::{fault::Findings, value::Shown};

/// Notes a fault of the syntax. The parser's words name what it expected, never what it found.
pub(crate) fn note(error: &Error, text: &str, findings: &Findings) {
    let span = error.span().unwrap_or(0..0);
    let found = text.get(span.clone()).unwrap_or_default();
    let message = match error.message() {
        "duplicate key" => format!("{} is written twice; keep one of the two", Shown(found)),
        message => format!("no valid TOML: {message}"),
    };
    findings.fault(&span, message);
}
