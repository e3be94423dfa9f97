//! A lock and what it protects, side by side.
//!
//! Invariant: together they are one cache line. So whoever takes the lock has the head of the table with it, and neighbours
//! do not contend for it.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

#[derive(Default)]
#[repr(align(64))]
pub(crate) struct Locked<T>(RwLock<T>);

impl<T> Locked<T> {
    #[inline]
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        const { assert!(size_of::<Self>() == 64) };
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
