//! Functions, versions and their code packages; durable.
//!
//! Deliberately knows nothing of HTTP, schedulers or sandboxes.

mod function;

pub use function::{Function, State};
