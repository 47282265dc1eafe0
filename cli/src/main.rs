//! peek: the one binary.
fn main() {}
