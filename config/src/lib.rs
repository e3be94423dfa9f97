//! The TOML as written becomes the settings as run.
//!
//! Every fault of a file is reported at once, with its place, what is wrong and how to mend it; a file that passes has
//! every default filled in, and nothing behind this crate checks it again.
//!
//! Read in this order: [`settings`] (what comes out), `written` (each section, read key by key through `section` and
//! `value`), `check` (sections against each other), [`fault`] (what is said about it), [`difference`] (what a running
//! process makes of new ones).
//!
//! ```
//! let file = std::path::Path::new("synaxis.toml");
//! let text = r#"
//!     [stamp]
//!     id = "synaxis-weu-001"
//!     [[listeners]]
//!     kind = "edge"
//!     adress = "127.0.0.1:8080"
//!     trust_header = true
//!     [upstreams.app]
//!     endpoints = ["http://127.0.0.1:9001"]
//! "#;
//! let faults = synaxis_config::load(text, file).unwrap_err();
//! assert!(faults.to_string().contains("synaxis.toml:6:5: unknown key `adress` in [[listeners]]; did you mean `address`?"));
//! let (settings, warnings) = synaxis_config::load(&text.replace("adress", "address"), file).unwrap();
//! assert_eq!(settings.routes[0].timeout.as_secs(), 25);
//! assert!(warnings.is_empty());
//! ```

use std::{fs::File, io::Read, path::Path};

use toml::de::DeTable;

pub mod difference;
pub mod fault;
pub mod settings;

mod check;
mod section;
mod suggest;
mod syntax;
mod units;
mod value;
mod written;

pub use fault::{Fault, Faults, Place, Warning};
pub use settings::Settings;

use fault::Findings;
use section::Section;

/// Largest file in bytes.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// Reads and validates the text of a file; `file` is only its name in messages. Nothing is opened, resolved or bound;
/// the number of workers, unless written, is that of the cores this process may use.
///
/// # Errors
/// [`Faults`]: everything that is wrong with it. While the syntax is broken, only that: keys below a broken line would be
/// read into the wrong section.
pub fn load(text: &str, file: &Path) -> Result<(Settings, Vec<Warning>), Faults> {
    if text.len() > FILE_BYTES_MAX {
        return Err(Faults::of_file(file, TOO_LARGE.to_owned()));
    }
    let findings = Findings::default();
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        errors.iter().for_each(|error| syntax::note(error, text, &findings));
        return findings.conclude(None, text, file);
    }
    let settings = check::settle(written::read(Section::top(document, &findings)), &findings);
    findings.conclude(settings, text, file)
}

const TOO_LARGE: &str = "the file is larger than 1 MiB; is it the right one?";

/// Reads a file and [`load`]s it.
///
/// # Errors
/// [`Faults`]: the file cannot be read, is larger than 1 MiB, is not UTF-8, or holds faults.
pub fn load_file(file: &Path) -> Result<(Settings, Vec<Warning>), Faults> {
    let fault = |message: String| Faults::of_file(file, message);
    let opened = File::open(file).map_err(|error| fault(format!("the file cannot be opened: {error}")))?;
    let mut bytes = Vec::new();
    // one byte more than allowed tells a file that is too large from one that just fits, also for pipes
    let most = u64::try_from(FILE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    opened.take(most).read_to_end(&mut bytes).map_err(|error| fault(format!("the file cannot be read: {error}")))?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(fault(TOO_LARGE.to_owned()));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(valid).filter(|b| **b == b'\n').count() + 1;
        fault(format!("the file is not UTF-8: line {line} holds other bytes; save it as UTF-8"))
    })?;
    load(&text, file)
}
