//! Locks and atomics of what a model checker goes through ([`loom/`](../loom/Cargo.toml)).
//!
//! Invariant: everywhere else these are the standard library's.

#[cfg(loom)]
pub(crate) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64},
};
#[cfg(not(loom))]
pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64},
};
