//! How many requests somebody may make, decided without waiting for anybody.
//!
//! Invariant: nothing here reads a clock; every decision takes the instant it is made at.

pub mod quota;
