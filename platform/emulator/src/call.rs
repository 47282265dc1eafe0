//! What goes between the vantage point and the platform: a call, and what comes back.

use model::{Span, Time};
use probe::{Request, Response};

/// One request to run a function.
#[derive(Clone, Debug)]
pub struct Call {
    /// Function by name.
    pub function: String,
    /// What the probe is asked.
    pub request: Request,
    /// How large that is as it is sent, bytes; 0 where it is certainly within every limit.
    pub bytes: u64,
    /// When its first byte leaves.
    pub at: Time,
    /// How long an answer is waited for.
    pub limit: Span,
}

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// When it was complete, or was given up.
    pub received: Time,
    /// The platform's name for the request; empty where there was no answer.
    pub request_id: String,
    /// What it says.
    pub answer: Answer,
    /// What the platform says of the run; None where nothing ran.
    pub report: Option<PlatformReport>,
    /// Whether it ran on an instance that had ended another invocation before.
    pub again: bool,
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The function answered.
    Response(Box<Response>),
    /// The function ran and failed; how.
    FunctionError(String),
    /// The platform refused.
    Refused {
        /// HTTP status.
        status: u16,
        /// Type and message.
        reason: String,
    },
    /// No answer within the limit.
    Nothing,
}

/// What the platform's log says of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PlatformReport {
    /// Duration, ms.
    pub duration_ms: f64,
    /// Billed duration, ms.
    pub billed_ms: f64,
    /// Init duration, ms; 0 where nothing was initialised.
    pub init_duration_ms: f64,
    /// Highest memory use, MiB.
    pub max_memory_mib: u32,
}
