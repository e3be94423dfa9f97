//! The inputs and the one door through which they change what the data plane reads.
//!
//! [`apply`] builds snapshots aside and publishes them with one store; nobody else writes. If building fails, what was
//! there stays, and [`status`] says why.

pub mod apply;
pub mod status;
