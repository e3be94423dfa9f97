//! Limits that the processes of a region count together, in Redis, without a round trip for each request.
pub mod cell;
pub mod cells;
pub mod counts;
pub mod link;
pub mod plan;
pub mod script;
mod share;
pub mod store;
mod wire;
mod word;

#[cfg(test)]
mod tests;
