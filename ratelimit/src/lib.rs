//! How many requests somebody may make: decided by a process alone without waiting for anybody, or counted by a fleet.
//!
//! Invariant: nothing here reads a clock; every decision takes the instant it is made at, and what runs by itself takes the
//! clock of its caller.

mod bucket;
pub mod cells;
pub mod decision;
pub mod fleet;
pub mod key;
pub mod local;
pub mod quota;
mod sync;
