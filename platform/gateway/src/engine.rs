//! What the gateway needs of the platform behind it.

use bytes::Bytes;
use catalog::Function;
use model::{FunctionId, Isolation, Span, TenantId};
use std::future::Future;
use std::sync::{Arc, OnceLock};
use tokio::sync::mpsc;

/// Runs functions.
pub trait Engine: Send + Sync + 'static {
    /// Runtimes that can be had here, as in `provided.al2023`, `python3.11`; others are refused, naming these.
    fn runtimes(&self) -> Vec<String>;

    /// A function was created or changed in the catalog, which is durable by now. Makes its package ready; once this
    /// returns, no invocation that starts later runs an older state. The caller then marks it Active, or Failed.
    fn deploy(
        &self,
        function: Arc<Function>,
    ) -> impl Future<Output = Result<(), PrepareFailed>> + Send;

    /// A function was deleted from the catalog. Returns when it takes no invocations any more.
    fn remove(&self, function: Arc<Function>) -> impl Future<Output = ()> + Send;

    /// Takes an event in that is to be run later; it is on disk when this returns. Dropping the future does not take it
    /// back.
    fn accept(&self, event: Accept) -> impl Future<Output = Result<(), NotAccepted>> + Send;

    /// What all versions of a function share is this from now on, whether they are deployed already or come later; it ends
    /// with the last of them. `function` is the number of the function as a whole, that of its `$LATEST`. A limit changes
    /// without an instance's end; with another isolation, no invocation that starts later runs where it may not.
    fn share(&self, function: FunctionId, settings: SharedSettings);

    /// So many instances of one version, named by its own number, are kept ready from now on, or from when it is deployed;
    /// 0 for none. What several aliases ask for of the same version is to be added up; an alias that moves takes its
    /// number from one version to another. It ends with the version.
    fn provision(&self, version: FunctionId, count: u32);

    /// How far that is. All zeros and ready, where nothing is to be ready.
    fn provisioned(&self, version: FunctionId) -> Provisioned;

    /// Runs one invocation to its end.
    fn invoke(&self, invoke: Invoke) -> impl Future<Output = Invoked> + Send;
}

/// What the versions of a function have in common, beside what each of them is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SharedSettings {
    /// Reserved concurrency, if set: invocations of all versions together are held to it.
    pub reserved_concurrency: Option<u32>,
    /// Whose instances may share its hosts, where it says so itself (its tag `peek:isolation`).
    pub isolation: Option<Isolation>,
}

/// How far the provisioned concurrency of a version is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provisioned {
    /// Instances that are to be there.
    pub requested: u32,
    /// Instances that have a place on a host, those that are starting included.
    pub allocated: u32,
    /// Instances that are ready, those that run an invocation included.
    pub available: u32,
    /// Whether all are.
    pub status: ProvisionStatus,
}

/// Lambda's ProvisionedConcurrencyStatusEnum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProvisionStatus {
    /// All are ready.
    Ready,
    /// Some are being started, or wait for room.
    InProgress,
    /// Some could not be started; why. It is tried again.
    Failed(String),
}

/// Why code could not be made ready, in words for the user.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct PrepareFailed {
    /// What, and what to change.
    pub reason: String,
}

/// One invocation.
#[derive(Clone, Debug)]
pub struct Invoke {
    /// The function as the catalog has it now.
    pub function: Arc<Function>,
    /// Request id (UUID), the one in the response header.
    pub request_id: Arc<str>,
    /// The event: JSON, or empty.
    pub payload: Bytes,
    /// Client context, decoded JSON.
    pub client_context: Option<Arc<str>>,
    /// X-Ray trace header of the caller, if it sent one.
    pub trace_id: Option<Arc<str>>,
    /// ARN as invoked (with the qualifier, if one was given).
    pub function_arn: Arc<str>,
    /// True where the caller asked for the log tail.
    pub log_tail: LogTail,
    /// Takes the response in pieces, where the caller takes pieces and the function streams.
    pub stream: Option<Sink>,
}

/// Takes a streamed response, no faster than the caller does: `pieces` has a small bound. Where its receiver is gone, the
/// function runs to its end all the same.
#[derive(Clone, Debug)]
pub struct Sink {
    /// Set before the first piece: the content type that the function gave.
    pub content_type: Arc<OnceLock<Option<Box<str>>>>,
    /// Takes the pieces, of 64 KiB at most. The first one is empty: the response has begun.
    pub pieces: mpsc::Sender<Bytes>,
}

/// An event of an asynchronous invocation.
#[derive(Clone, Debug)]
pub struct Accept {
    /// The function that it is for.
    pub function: EventTarget,
    /// Request id (UUID), the one in the response header; the same at every try.
    pub request_id: Arc<str>,
    /// The event: JSON.
    pub payload: Bytes,
    /// Client context, decoded JSON.
    pub client_context: Option<Arc<str>>,
    /// X-Ray trace header of the caller, if it sent one.
    pub trace_id: Option<Arc<str>>,
}

/// The function that an event is for; which version runs it is found out when it is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventTarget {
    /// Owner.
    pub tenant: TenantId,
    /// Name.
    pub name: String,
    /// Number of its latest version, which tells it from a later one of the same name.
    pub id: FunctionId,
    /// Version or alias, if one was named.
    pub qualifier: Option<String>,
}

/// Why an event was not taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotAccepted {
    /// 404 ResourceNotFoundException: it was deleted meanwhile.
    NoFunction,
    /// 400 RecursiveInvocationException: the function has invoked itself too often; in words.
    Loop(String),
    /// 429 TooManyRequestsException: too much waits already; in words.
    Full(String),
    /// 500 ServiceException: it could not be stored; in words.
    Store(String),
}

/// Whether the caller asked for the last 4 KiB of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogTail {
    /// No.
    #[default]
    Skip,
    /// Yes.
    Ask,
}

/// How an invocation ended.
#[derive(Clone, Debug)]
pub struct Invoked {
    /// What to answer.
    pub reply: Reply,
    /// START, the function's own lines, END and REPORT; at most the last 4 KiB; empty where not asked for.
    pub log: Bytes,
    /// From dispatch to response.
    pub duration: Span,
}

/// What to answer.
#[derive(Clone, Debug)]
pub enum Reply {
    /// 200 with this payload.
    Payload(Bytes),
    /// All of it went into [`Invoke::stream`].
    Streamed,
    /// 200 with `X-Amz-Function-Error: Unhandled` and this JSON.
    /// After some pieces of a stream, its end.
    FunctionError(Bytes),
    /// An error of the API.
    Failure(Failure),
}

/// Why an invocation was not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// 429 TooManyRequestsException, Reason ReservedFunctionConcurrentInvocationLimitExceeded.
    ReservedConcurrency,
    /// 429 TooManyRequestsException, Reason ConcurrentInvocationLimitExceeded.
    AccountConcurrency,
    /// 404 ResourceNotFoundException: it was deleted meanwhile.
    NoFunction,
    /// 502/500: nothing to run it on; what to change.
    Unavailable(String),
}
