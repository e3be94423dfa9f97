//! stampctl.
fn main() {}
