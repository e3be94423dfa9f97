//! What is written is read again; nothing else is, whoever has written it.

use super::*;

mod records;
mod store;
