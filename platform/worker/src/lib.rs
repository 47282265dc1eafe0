//! The life of one function instance on its host: start, invoke, rest, reclaim.
//!
//! Carries out what it is told and reports what happened; deliberately decides nothing, and knows nothing of
//! schedulers, tenants or HTTP.

mod life;

pub use life::{Command, Dispatch, FailedInit, Handle, Report, Start, launch};
