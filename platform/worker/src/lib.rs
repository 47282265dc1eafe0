//! The life of one function instance on its host: start, invoke, rest, reclaim.
//!
//! Carries out what it is told and reports what happened; deliberately decides nothing, and knows nothing of
//! schedulers, tenants or HTTP.

mod life;

pub use life::{FailedInit, Command, Dispatch, Handle, Report, Start, launch};
