//! What an author of a file is told: examples that load, faults that are explained, hostile files that do no harm.

mod corpus;
mod difference;
mod examples;
mod hostile;
mod rate_limits;
mod reference;
mod secrets;
