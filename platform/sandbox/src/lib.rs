//! Sandboxes: the seam, and the kinds behind it.
//!
//! Invocation in, outcome out: no process, socket, pid or HTTP crosses the seam. Deliberately knows nothing of
//! schedulers, tenants or the Lambda API.

pub mod container;
pub mod doctor;
pub mod log;
pub mod runtime;
mod seam;

pub use log::{DroppedLines, LogLine, LogSink};
pub use runtime_api::ShutdownReason;
pub use seam::{
    End, Extension, Facts, Grace, HostError, HostSize, HostUse, Identity, Instance, InstanceUse,
    Invocation, Kind, Log, Outcome, Package, Phase, PrepareError, Settings, Sink, StartError,
    Started, Tail, Usage,
};
