//! Experiments: straight-line async code over a [`Vantage`], one file each.
//!
//! Deliberately knows nothing of tokio, HTTP, targets, or which clock it runs on.

mod vantage;

pub use vantage::{Change, Code, Function, FunctionSpec, Report, Sent, Vantage, VantageError};
