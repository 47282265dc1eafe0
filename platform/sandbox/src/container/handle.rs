//! What a created sandbox offers to the driver of its instance.
//!
//! Deliberately knows nothing of how a sandbox is made, nor of the Runtime API that is spoken over its listener.

use super::processes::Processes;
use super::protocol::Process;
use crate::{Grace, LogSink, Phase, Usage};
use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// A sandbox whose runtime has been exec'd.
#[derive(Debug)]
pub struct Running<C> {
    /// The Runtime API's listener: 127.0.0.1:9001 in the instance's own network namespace. Nonblocking.
    pub listener: TcpListener,
    /// Read end of the runtime's stdout and stderr. Nonblocking; at its end no process of the sandbox is left.
    pub output: OwnedFd,
    /// The sandbox itself.
    pub control: C,
    /// Takes every line of the output.
    pub log: Option<Arc<dyn LogSink>>,
    /// Extensions beside the runtime, which waits until it is started by [`Processes::start_runtime`] where there are some.
    pub beside: Option<Beside>,
}

/// The external extensions of a sandbox.
#[derive(Debug)]
pub struct Beside {
    /// Their names, in the order of [`Process::Extension`].
    pub names: Vec<String>,
    /// Read end of their stdout and stderr. Nonblocking.
    pub output: OwnedFd,
    /// Why the instance is initialized, as in `on-demand`.
    pub initialization: String,
    /// When.
    pub phase: Phase,
}

/// How the runtime of a sandbox ended, or an extension beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Which of its processes.
    pub process: Process,
    /// Exit status, or None where a signal ended it.
    pub status: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Who ended it.
    pub cause: Cause,
}

/// Who ended a runtime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cause {
    /// It did so itself, or its sandbox was told to end.
    #[default]
    Own,
    /// The kernel, which killed a process of the sandbox because its memory limit was hit.
    Memory,
    /// The process that owns the sandbox died, and all its sandboxes with it.
    Owner,
    /// Nobody: the kernel would not start it, for the reason of this error number.
    NotStarted(i32),
}

/// A running sandbox, as the driver of an instance steers it. Dropping it kills the sandbox without grace.
pub trait Control: Send + Sync + 'static {
    /// Stops every process of the sandbox, in microseconds. Does nothing where the machine cannot.
    fn freeze(&self) -> io::Result<()>;

    /// Undoes [`Control::freeze`].
    fn thaw(&self) -> io::Result<()>;

    /// Sets the CPU ceiling of the settings; called once after init, which runs without it.
    fn apply_ceiling(&self) -> io::Result<()>;

    /// What the sandbox has used since its start.
    fn usage(&self) -> Usage;

    /// Its processes one by one, where it was created with extensions.
    fn processes(&self) -> Option<&Arc<Processes>>;

    /// Returns when the runtime has ended, or an extension. Cancel-safe; every call returns the same.
    fn exited(&self) -> impl Future<Output = Exit> + Send;

    /// SIGTERM, `grace`, SIGKILL; thaws a frozen sandbox. Returns when nothing of it is left.
    fn destroy(self, grace: Grace) -> impl Future<Output = ()> + Send;
}
