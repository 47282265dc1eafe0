//! An instance, and the invocations that it runs.
//!
//! Deliberately knows nothing of how either goes on: that is the driver's.

use crate::call::{Answer, PlatformReport};
use crate::counts::Updated;
use crate::function::Version;
use model::{FunctionId, HostId, InstanceId, InvocationId, Span, Time};
use probe::{BackgroundResult, Request, Response};
use scheduler::Purpose;
use std::rc::Rc;

/// One function instance.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) function: FunctionId,
    pub(crate) version: Rc<Version>,
    pub(crate) purpose: Purpose,
    pub(crate) host: HostId,
    /// Its own id: 32 hexadecimal digits.
    pub(crate) name: String,
    /// What of its start comes after its turn on the host's starter.
    pub(crate) start_rest: Span,
    /// When its start was asked for.
    pub(crate) since: Time,
    /// By how much its ceiling of CPU differs from what the profile says.
    pub(crate) cpu_factor: f64,
    /// Invocations that it has served.
    pub(crate) served: u64,
    /// When it was handed its first one.
    pub(crate) first: Option<Time>,
    /// Invocations that it runs now.
    pub(crate) runs: Vec<InvocationId>,
    /// Whether it has ended one.
    pub(crate) used: bool,
    pub(crate) background: Option<BackgroundResult>,
}

/// A running invocation.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) instance: InstanceId,
    /// Invocations that its instance had been handed by then, this one included.
    pub(crate) number: u64,
    pub(crate) request: Request,
    pub(crate) response: Response,
    pub(crate) part: Part,
    /// The handler's first statement.
    pub(crate) since: Time,
    /// When the present part began.
    pub(crate) part_since: Time,
    /// Rounds of the disk measurement that are done.
    pub(crate) rounds: u32,
}

/// What a run is doing, in the order of the request's schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Coming,
    Barrier,
    Facts,
    Cpu,
    DiskWrite,
    DiskRead,
    Fill,
    Network,
    Counters,
    Hold,
    End,
}

/// An invocation from its arrival to its answer.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) function: String,
    pub(crate) request: Option<Request>,
    /// Size of the request.
    pub(crate) bytes: u64,
    /// Who waits for the answer; None where it is lost on its way.
    pub(crate) waiting: Option<crate::region::SlotKey>,
    pub(crate) answer: Option<Answer>,
    pub(crate) report: Option<PlatformReport>,
    /// Where it runs.
    pub(crate) instance: Option<InstanceId>,
    /// Whether it began on an instance that had ended another one.
    pub(crate) again: bool,
    /// When it was sent.
    pub(crate) sent: Time,
    /// What it tells of an update that was acknowledged before it was sent.
    pub(crate) updated: Option<Updated>,
}
