//! One invocation's row, and the files that hold them.
//!
//! Deliberately knows nothing of experiments' meaning: analyses read rows, they are not called from here.

mod row;

pub use row::{Forced, Outcome, Record};
