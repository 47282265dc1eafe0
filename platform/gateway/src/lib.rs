//! HTTP in front of the platform: the Lambda API, signatures, tenants.
//!
//! Deliberately knows nothing of schedulers, sandboxes or hosts: it hands an invocation to an [`Engine`] and answers
//! with what comes back.

mod engine;

pub use engine::{Engine, Failure, Invoke, Invoked, LogTail, PrepareFailed, Reply};
