//! Records in, findings out. Pure functions: every number can be computed again from the files.
//!
//! Deliberately knows nothing of targets, clocks or how anything is shown.

mod finding;

pub use finding::{Finding, Findings, Paper, PeekVersion, Problem, Setting, TargetName, Value};
