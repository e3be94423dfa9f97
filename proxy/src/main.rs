//! proxy.
fn main() {}
