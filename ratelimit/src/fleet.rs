//! Limits that the processes of a region count together, in Redis, without a round trip for each request.
pub mod cell;
pub mod cells;
pub mod plan;
pub mod script;
mod share;
mod word;

#[cfg(test)]
mod tests;
