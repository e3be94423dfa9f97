//! The atomics and locks of cores that are model-checked: `std`'s here, loom's in the crate of the models.
//!
//! Whatever such a core shares between threads comes from here, so that a model runs the shipped source as it is.

pub use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering},
};
