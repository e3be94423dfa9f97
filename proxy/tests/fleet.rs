//! Several proxies, one per stamp, one table in a real Redis.

mod degradation;
mod drained;
mod hop;
mod limits;
mod load;
mod moves;
mod store;
mod through;
mod world;
