//! The proxy's cores over loom's atomics and locks: the shipped source files, not copies.

#[path = "../../src/upstream"]
pub mod upstream {
    //! As in the proxy, but for `sync`.

    pub mod breaker;
    #[path = "../../loom/src/sync.rs"]
    pub mod sync;
}
