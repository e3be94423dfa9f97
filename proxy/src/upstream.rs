//! One attempt at one upstream endpoint, over this worker's own connections.
//!
//! The pipeline sees [`attempt::send`] and what it returns, nothing else. Invariant: whether a request may have been
//! executed is known by us (bytes written since hand-over), never guessed.

pub mod attempt;
pub mod breaker;
pub mod concurrency;
pub mod connect;
pub mod framing;
pub mod guard;
pub mod head;
pub mod health;
pub mod link;
pub mod pool;
pub mod relay;
pub mod resolve;
pub mod retry;
pub mod sync;
pub mod target;
pub mod timer;
pub mod tunnel;
pub mod wire;
