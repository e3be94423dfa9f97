//! The TOML as written becomes the settings as run.
pub mod fault;
pub mod settings;
pub use fault::{Fault, Faults, Place, Warning};
pub use settings::Settings;
