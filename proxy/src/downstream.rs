//! From the socket to the pipeline: one acceptor, workers that own their connections, a sweeper that ends what stalls.

pub mod acceptor;
pub mod backoff;
pub mod connection;
pub mod phase;
pub mod seats;
pub mod worker;
