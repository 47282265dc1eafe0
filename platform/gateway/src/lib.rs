//! HTTP in front of the platform: the Lambda API, signatures, tenants.
//!
//! A request comes over a connection (`serve`). One to a function's URL is answered by `url`; any other is checked (`signature`), routed (`route`) and answered
//! (`operation`, one file per noun). Deliberately knows nothing of schedulers, sandboxes or hosts: it hands an invocation to
//! an [`Engine`] and answers with what comes back.

mod absent;
mod answer;
mod body;
mod canonical;
mod cloudwatch;
mod code;
mod engine;
mod error;
mod eventbridge;
mod eventstream;
mod gateway;
mod isolation;
mod layer;
mod only;
mod operation;
mod policy;
mod reference;
mod room;
mod route;
mod running;
mod serve;
mod service;
mod session;
mod settings;
mod shape;
mod signature;
mod stall;
mod sts;
mod url;
mod validation;

pub use answer::{AnswerBody, Pieces};
pub use engine::{
    Accept, Engine, EventTarget, Failure, Invoke, Invoked, LogTail, NotAccepted, PrepareFailed,
    ProvisionStatus, Provisioned, Reply, SharedSettings, Sink,
};
pub use error::{ApiError, ErrorKind};
pub use gateway::{Front, Gateway, GatewayConfig, Limits, Scheme, Unsigned};
pub use signature::{AccessKey, Credentials};
