//! How many requests somebody may make, decided without waiting for anybody.
//!
//! Invariant: nothing here reads a clock; every decision takes the instant it is made at.

mod bucket;
pub mod cells;
pub mod decision;
pub mod fleet;
pub mod key;
pub mod local;
pub mod quota;
