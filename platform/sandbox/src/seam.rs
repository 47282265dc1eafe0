//! The traits and nouns of the seam.

use crate::log::LogSink;
use bytes::Bytes;
use model::{HostId, InstanceId, MemoryMib, Span};
use runtime_api::ShutdownReason;
use std::collections::BTreeMap;
use std::future::Future;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;
use tokio::sync::mpsc;

/// A kind of sandbox: container, microVM or session.
pub trait Kind: Send + Sync + 'static {
    /// Code made ready to start from.
    type Image: Send + Sync + 'static;
    /// A running sandbox with one function loaded.
    type Instance: Instance;

    /// What this kind can and cannot do here.
    fn facts(&self) -> Facts;

    /// Runtimes that can be had here, as in `provided.al2023`, `python3.11`.
    fn runtimes(&self) -> Vec<String>;

    /// Makes a host: what its instances share and contend for.
    fn make_host(
        &self,
        host: HostId,
        size: HostSize,
    ) -> impl Future<Output = Result<(), HostError>> + Send;

    /// Takes a host away on which no instance is left.
    fn remove_host(&self, host: HostId) -> impl Future<Output = ()> + Send;

    /// What the instances of a host have used so far; None where that cannot be told.
    fn host_use(&self, host: HostId) -> impl Future<Output = Option<HostUse>> + Send;

    /// Ends every instance and whatever owns them. Returns when nothing is left.
    fn close(&self) -> impl Future<Output = ()> + Send;

    /// Makes a package ready: unpack, compile, or boot and snapshot. Idempotent and content-addressed.
    fn prepare(
        &self,
        package: &Package,
        settings: &Settings,
    ) -> impl Future<Output = Result<Self::Image, PrepareError>> + Send;

    /// Creates a sandbox and runs the function's init in it, until the runtime asks for its first event.
    fn start(
        &self,
        image: &Self::Image,
        settings: &Settings,
        identity: Identity,
    ) -> impl Future<Output = Result<Started<Self::Instance>, StartError>> + Send;
}

/// Size of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostSize {
    /// Memory that its instances may add up to.
    pub memory: MemoryMib,
    /// CPUs, in thousandths.
    pub milli_cpus: u32,
}

/// What the instances of a host have used since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostUse {
    /// CPU time, of instances that are gone as well.
    pub cpu: Span,
    /// What those that are there have used, by a name that each keeps.
    pub instances: BTreeMap<String, InstanceUse>,
}

/// What an instance has used, as far as its processes are still there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InstanceUse {
    /// Read from and written to disks.
    pub disk_bytes: u64,
    /// Received and sent, its loopback not included.
    pub network_bytes: u64,
}

/// Why a host could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make {host}: {step}")]
pub struct HostError {
    /// The host.
    pub host: HostId,
    /// What failed, with the remedy where there is one.
    pub step: String,
    /// Why.
    #[source]
    pub source: std::io::Error,
}

/// A function instance: serves one invocation at a time.
pub trait Instance: Send + 'static {
    /// Runs one invocation, thawing first. Returns when the response is complete and the runtime has asked for its next
    /// event, or when it cannot any more. The response itself is sent through `respond` as soon as it is there.
    fn invoke(
        &mut self,
        invocation: Invocation,
        respond: impl FnOnce(Outcome) + Send,
    ) -> impl Future<Output = Result<(), End>> + Send;

    /// Freezes, pauses, or does nothing. The next `invoke` undoes it.
    fn rest(&mut self) -> impl Future<Output = ()> + Send;

    /// Hands the platform's report of an invocation, as the JSON of a `platform.report`, to the extensions that have
    /// subscribed to telemetry. They get it when they run next.
    fn tell(&mut self, report: &str);

    /// What it has used so far.
    fn usage(&self) -> Usage;

    /// Returns when the instance has ended by itself. Cancel-safe.
    fn ended(&mut self) -> impl Future<Output = End> + Send;

    /// Ends it, at once where it has no extensions; else they have time to end by themselves, as Lambda gives it. Returns
    /// when nothing of it is left (processes, cgroups, mounts, /tmp).
    fn stop(self, reason: ShutdownReason) -> impl Future<Output = ()> + Send;
}

/// Code as it was uploaded, unpacked on disk and content-addressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// SHA-256 of the zip, lower-case hexadecimal.
    pub digest: String,
    /// Directory with the unpacked files, read-only to functions.
    pub directory: PathBuf,
    /// Directory with the files of all of the function's layers, merged; read-only to functions. None where it has none.
    pub layers: Option<PathBuf>,
}

/// Settings of one function version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Runtime, as in `provided.al2023`, `python3.11`, `nodejs20.x`.
    pub runtime: String,
    /// Handler, as in `app.handler`.
    pub handler: String,
    /// Whole environment of the function: its own variables and the reserved ones that do not differ between instances.
    pub environment: BTreeMap<String, String>,
    /// Memory limit.
    pub memory: MemoryMib,
    /// CPU ceiling in thousandths of a CPU; None for no ceiling. Not applied during init.
    pub cpu_ceiling_milli: Option<u32>,
    /// CPU weight under contention, 1 to 10,000 (cgroup v2's `cpu.weight`; scaled for v1).
    pub cpu_weight: u32,
    /// Size of /tmp.
    pub tmp: MemoryMib,
    /// Limit of the init phase.
    pub init_timeout: Span,
    /// Account id, for extensions that ask for it.
    pub account: String,
}

/// Who an instance is, and on which host.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Instance.
    pub instance: InstanceId,
    /// Host.
    pub host: HostId,
    /// Environment that differs between instances, as AWS_LAMBDA_LOG_STREAM_NAME.
    pub environment: BTreeMap<String, String>,
    /// Takes every line that its processes write; None where nobody wants them.
    pub log: Option<Arc<dyn LogSink>>,
    /// When its init happens.
    pub phase: Phase,
}

/// When an init happens, as telemetry tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Before any invocation.
    #[default]
    Init,
    /// In an invocation, since it failed before.
    Invoke,
}

/// An instance and what its start cost.
#[derive(Debug)]
pub struct Started<I> {
    /// The instance.
    pub instance: I,
    /// From the request to the sandbox's first exec.
    pub creation: Span,
    /// From that exec to the first `next` of the runtime and of all extensions.
    pub init: Span,
    /// The extensions that have registered.
    pub extensions: Vec<Extension>,
}

/// An extension, internal or external.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Its name.
    pub name: String,
    /// What it is told of: `INVOKE`, `SHUTDOWN`.
    pub events: Vec<String>,
}

/// One event for a function.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// Request id (UUID).
    pub request_id: Arc<str>,
    /// The event.
    pub payload: Bytes,
    /// ARN of the function as invoked.
    pub function_arn: Arc<str>,
    /// X-Ray trace header.
    pub trace_id: Arc<str>,
    /// Client context, JSON.
    pub client_context: Option<Arc<str>>,
    /// When the function must have answered.
    pub deadline: SystemTime,
    /// Where its log lines go.
    pub log: Log,
    /// Takes the response in pieces, where whoever invoked takes pieces. A function that does not stream answers whole
    /// all the same.
    pub stream: Option<Sink>,
}

/// Takes a streamed response. While `pieces` is full the function is not read from; one whose receivers are gone takes
/// everything, and the function runs to its end, as at AWS.
#[derive(Clone, Debug)]
pub struct Sink {
    /// Set before the first piece: the content type that the function gave.
    pub content_type: Arc<OnceLock<Option<Box<str>>>>,
    /// Takes the pieces, each of at most 64 KiB. The first is empty, and says that the response has begun.
    pub pieces: mpsc::Sender<Bytes>,
}

/// Whether log output of an invocation is kept for the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Log {
    /// Not kept for the answer.
    #[default]
    Drop,
    /// The last 4 KiB go with the outcome.
    Tail,
}

/// What a function answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A result.
    Response {
        /// The payload.
        payload: Bytes,
        /// What goes with it, where asked for.
        tail: Tail,
    },
    /// All pieces of a result went into [`Invocation::stream`].
    Streamed {
        /// What goes with it, where asked for.
        tail: Tail,
    },
    /// The runtime reported an error: Lambda's error JSON. After some pieces of a result, too.
    Error {
        /// errorType, errorMessage, stackTrace as the runtime gave them.
        payload: Bytes,
        /// What goes with it, where asked for.
        tail: Tail,
    },
    /// The sandbox ended or broke the protocol before it answered.
    Ended {
        /// How.
        end: End,
        /// What goes with it, where asked for.
        tail: Tail,
    },
}

/// What goes with an outcome where [`Log::Tail`] was asked for; empty else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// The end of what the function wrote in this invocation.
    pub log: Bytes,
    /// Highest memory of the instance so far.
    pub memory_peak_bytes: u64,
}

/// How an instance ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The runtime exited; Lambda's Runtime.ExitError.
    Exited {
        /// Exit status, or None where a signal ended it.
        status: Option<i32>,
        /// The signal.
        signal: Option<i32>,
    },
    /// The memory limit was hit.
    OutOfMemory,
    /// The runtime reported an init error: Lambda's error JSON.
    InitError(Bytes),
    /// The init phase took longer than its limit.
    InitTimedOut,
    /// The response was larger than the limit; both in bytes.
    ResponseTooLarge {
        /// What it sent, as far as it was read.
        size: u64,
        /// Limit.
        limit: u64,
    },
    /// An extension failed, or could not be started.
    Extension {
        /// Its name.
        name: String,
        /// Lambda's name for it: `Extension.LaunchError`, `Extension.InitError`,
        /// `Extension.ExitError`.
        kind: &'static str,
        /// What it said, or how it ended.
        reason: String,
    },
    /// An external extension's process ended before the instance did; Lambda's `Extension.Crash`.
    ExtensionExited {
        /// Its name.
        name: String,
        /// Exit status, or None where a signal ended it.
        status: Option<i32>,
        /// The signal.
        signal: Option<i32>,
    },
    /// There is nothing to run: a function that brings its own runtime has no executable `bootstrap`.
    NoEntrypoint,
    /// The runtime broke the Runtime API; how.
    Protocol(String),
    /// It was stopped from outside.
    Stopped,
}

impl End {
    /// Lambda's type of error for it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::InitError(_) | Self::Exited { .. } | Self::Protocol(_) => "Runtime.ExitError",
            Self::OutOfMemory => "Runtime.OutOfMemory",
            Self::InitTimedOut => "Sandbox.Timedout",
            Self::ResponseTooLarge { .. } => "Function.ResponseSizeTooLarge",
            Self::NoEntrypoint => "Runtime.InvalidEntrypoint",
            Self::Extension { kind, .. } => kind,
            Self::ExtensionExited { .. } => "Extension.Crash",
            Self::Stopped => "Sandbox.Failure",
        }
    }
}

/// How long an instance may take to end after SIGTERM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grace(pub Span);

/// What an instance has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time.
    pub cpu: Span,
    /// Highest memory.
    pub memory_peak_bytes: u64,
    /// Of the invocation that was answered last: how long it went on after that, where there are extensions.
    pub extensions: Span,
}

/// What a kind can and cannot do on this machine; each limitation in one sentence for the report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// `container`, `microvm`, `session`.
    pub name: &'static str,
    /// What cannot be enforced or offered here, and the remedy.
    pub limitations: Vec<String>,
    /// The machine's address as instances reach what they are allowed to; None where they have no network.
    pub host_address: Option<Ipv4Addr>,
}

/// Why a package cannot be made ready.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// No interpreter for the runtime.
    #[error("runtime {runtime} is not installed here: found {found}")]
    NoRuntime {
        /// Asked for.
        runtime: String,
        /// What there is.
        found: String,
    },
    /// Layers would hide the interpreter.
    #[error(
        "this platform's interpreter {interpreter} lies under /opt, which layers hide: install it under /usr, or do without \
         layers"
    )]
    HiddenByLayers {
        /// The interpreter.
        interpreter: PathBuf,
    },
    /// A file operation failed.
    #[error("cannot make package {digest} ready in {path}")]
    Io {
        /// Package.
        digest: String,
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Why an instance did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The sandbox could not be created.
    #[error("cannot create the sandbox: {step}")]
    Create {
        /// What failed, with the remedy where there is one.
        step: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It ended before its runtime asked for an event. Its log's tail is for the answer.
    #[error("the function ended in its init")]
    Ended {
        /// How.
        end: End,
        /// What it wrote.
        log: Bytes,
    },
}
