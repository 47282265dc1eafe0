//! HTTP in front of the platform: the Lambda API, signatures, tenants.
//!
//! A request comes over a connection (`serve`), is checked (`signature`), routed (`route`) and answered (`invoke`,
//! `manage`). Deliberately knows nothing of schedulers, sandboxes or hosts: it hands an invocation to an [`Engine`] and
//! answers with what comes back.

mod absent;
mod body;
mod canonical;
mod cloudwatch;
mod code;
mod engine;
mod error;
mod gateway;
mod invoke;
mod manage;
mod reference;
mod room;
mod route;
mod serve;
mod service;
mod session;
mod settings;
mod shape;
mod signature;
mod stall;
mod sts;
mod validation;

pub use engine::{Engine, Failure, Invoke, Invoked, LogTail, PrepareFailed, Reply};
pub use error::{ApiError, ErrorKind};
pub use gateway::{Gateway, GatewayConfig, Limits};
pub use signature::{AccessKey, Credentials};
