//! Checks of layers, docs and sizes.
fn main() {}
