//! Several proxies, one per stamp, one table in a real Redis.

mod hop;
mod load;
mod moves;
mod store;
mod through;
mod world;
