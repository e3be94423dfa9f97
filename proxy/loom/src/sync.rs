//! The names of the proxy's `upstream/sync.rs`, from loom.

pub use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering},
};
