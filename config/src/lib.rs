//! The TOML as written becomes the settings as run.
//!
//! Every fault of a file is reported at once, with its place, what is wrong and how to mend it; a file that passes has
//! every default filled in, and nothing behind this crate checks it again.
//!
//! Read in this order: [`settings`] (what comes out), `source` (values from the environment and files of secrets),
//! `written` (each section, read key by key through `section` and `value`), `check` (sections against each other),
//! [`fault`] (what is said about it), [`difference`] (what a running process makes of new ones), [`mod@print`] (what came out,
//! as a file), [`mod@reference`] (what can be written, from `describe`).
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

use std::path::{Path, PathBuf};

use toml::de::DeTable;

pub mod difference;
pub mod fault;
pub mod print;
pub mod reference;
pub mod settings;

mod check;
mod describe;
mod environment;
mod file;
mod section;
mod source;
mod suggest;
mod syntax;
mod units;
mod value;
mod written;

pub use environment::Environment;
pub use fault::{Fault, Faults, Place, Warning};
pub use settings::Settings;
pub use units::{InvalidQuantity, duration as parse_duration};

use fault::Findings;
pub use file::read_again;
use file::{Pipes, Unreadable};
use section::Section;

/// Largest file in bytes.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// What a file became.
#[derive(Debug)]
pub struct Loaded {
    /// The settings as run.
    pub settings: Settings,
    /// What is legal but unwise.
    pub warnings: Vec<Warning>,
    /// Further files that the settings came from: those of secrets. A change of one is a change of the settings.
    pub files: Vec<PathBuf>,
}

/// [`load_with`] without any environment variable.
///
/// # Errors
/// [`Faults`]: everything that is wrong with it.
pub fn load(text: &str, file: &Path) -> Result<(Settings, Vec<Warning>), Faults> {
    load_with(text, file, &Environment::default()).map(|loaded| (loaded.settings, loaded.warnings))
}

/// Reads and validates the text of a file; `file` is only its name in messages. `${NAME}` in a text value becomes the
/// variable of the `environment`, and the files of secrets are read (relative paths: from the working directory). Nothing
/// else is opened, resolved or bound; the number of workers, unless written, is that of the cores this process may use.
///
/// # Errors
/// [`Faults`]: everything that is wrong with it. While the syntax is broken, only that: keys below a broken line would be
/// read into the wrong section.
pub fn load_with(text: &str, file: &Path, environment: &Environment) -> Result<Loaded, Faults> {
    if text.len() > FILE_BYTES_MAX {
        return Err(Faults::of_file(file, TOO_LARGE.to_owned()));
    }
    let findings = Findings::default();
    let (mut document, errors) = DeTable::parse_recoverable(text);
    let settings = if errors.is_empty() {
        findings.sources.fill(document.get_mut(), environment, &findings);
        check::settle(written::read(Section::top(document, &findings)), &findings)
    } else {
        errors.iter().for_each(|error| syntax::note(error, text, &findings));
        None
    };
    let files = findings.sources.files();
    let (settings, warnings) = findings.conclude(settings, text, file)?;
    Ok(Loaded { settings, warnings, files })
}

const TOO_LARGE: &str = "the file is larger than 1 MiB; is it the right one?";

/// Reads a duration as a file writes it: a whole number and `ms`, `s`, `m` or `h`.
///
/// # Errors
/// In words, for anything else.
pub fn duration(text: &str) -> Result<std::time::Duration, String> {
    units::duration(text).map_err(|error| error.to_string())
}

/// [`load_with_sources`] with the environment of this process.
///
/// # Errors
/// [`Faults`]: as there.
pub fn load_file(file: &Path) -> Result<(Settings, Vec<Warning>), Faults> {
    load_with_sources(file, &Environment::of_process()).map(|loaded| (loaded.settings, loaded.warnings))
}

/// Reads a file and [`load_with`]s it. A pipe such as `/dev/stdin` is read for at most 5 s.
///
/// # Errors
/// [`Faults`]: the file cannot be read, is a folder or a device, is larger than 1 MiB, is not UTF-8, or holds faults.
pub fn load_with_sources(file: &Path, environment: &Environment) -> Result<Loaded, Faults> {
    let fault = |message: String| Faults::of_file(file, message);
    let bytes = file::read(file, FILE_BYTES_MAX, Pipes::Read).map_err(|why| match why {
        Unreadable::TooLarge => fault(TOO_LARGE.to_owned()),
        why => fault(format!("the file {why}")),
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(valid).filter(|b| **b == b'\n').count() + 1;
        fault(format!("the file is not UTF-8: line {line} holds other bytes; save it as UTF-8"))
    })?;
    load_with(&text, file, environment)
}
