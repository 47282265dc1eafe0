//! What an experiment can do: deploy, update, invoke, remove, look at the clock, sleep, draw a number.

use model::{Span, Time};
use probe::Request;
use record::Record;
use std::future::Future;

/// The vantage point from which one target is measured.
///
/// Live, it is tokio and a real target; in virtual time, a single-threaded executor that jumps to the next event.
/// Concurrency is the experiment's own, by joining futures.
pub trait Vantage {
    /// Now, on the vantage point's monotonic clock.
    fn now(&self) -> Time;

    /// Wall clock of the vantage point when [`Self::now`] was zero, nanoseconds since 1970.
    fn epoch_unix_ns(&self) -> u64;

    /// Returns at `at`, or at once where that has passed.
    fn sleep_until(&self, at: Time) -> impl Future<Output = ()>;

    /// A random number from the plan's seeded generator.
    fn random(&self) -> u64;

    /// Creates a function and waits until it can be invoked.
    fn deploy(&self, spec: FunctionSpec) -> impl Future<Output = Result<Function, VantageError>>;

    /// Changes a function and returns when the platform has acknowledged that the change is complete.
    fn update(
        &self,
        function: &mut Function,
        change: Change,
    ) -> impl Future<Output = Result<(), VantageError>>;

    /// Removes a function and with it its instances.
    fn remove(&self, function: Function) -> impl Future<Output = Result<(), VantageError>>;

    /// Sends one request at `sent.intended` (at once where that has passed) and waits for its end.
    ///
    /// Never fails: a failure is a record. Fills everything of the record that the vantage point, the platform and the
    /// probe know; where it belongs (experiment, unit, round, setting, phase, sequence) is the caller's to fill.
    fn invoke(
        &self,
        function: &Function,
        request: &Request,
        sent: Sent,
    ) -> impl Future<Output = Record>;

    /// Runtimes that the target offers and the probe speaks, as in `provided.al2023`, `python3.11`.
    fn runtimes(&self) -> Vec<String>;

    /// Memory sizes that the target allows, smallest and largest, MiB.
    fn memory_range_mib(&self) -> (u32, u32);

    /// Address (`host:port`) of a sink that reads and discards, as instances reach it; None where there is none.
    fn sink(&self) -> Option<String>;

    /// CPU time that the machine has been idle for so far, over all of its CPUs; None where the platform runs on machines
    /// of its own, or nobody knows.
    fn idle_cpu(&self) -> Option<Span>;
}

/// How one request is to be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// When.
    pub intended: Time,
    /// Ask for the platform's own report (log tail), which costs a little.
    pub report: Report,
    /// What is to force a new instance, for the record.
    pub forced_by: record::Forced,
}

/// Whether the platform's own report of the invocation is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Report {
    /// No.
    #[default]
    Skip,
    /// Yes: billed duration, init duration and memory are in the record.
    Ask,
}

/// A function to create. Each gets unique code bytes, or a code cache makes its first start warm.
#[derive(Clone, Debug, PartialEq)]
pub struct FunctionSpec {
    /// Runtime, as in `provided.al2023`.
    pub runtime: String,
    /// Memory, MiB.
    pub memory_mib: u32,
    /// Limit of one invocation.
    pub timeout: Span,
    /// Code.
    pub code: Code,
    /// Which of the roles that the plan knows, from 0.
    pub role: u32,
    /// Which of the accounts that the target has, from 0.
    pub tenant: u32,
}

/// The probe in a package.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Code {
    /// Incompressible bytes beside the probe, MiB.
    pub ballast_mib: u32,
}

/// A deployed function.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// Name on the target.
    pub name: String,
    /// What was asked for, with updates applied.
    pub spec: FunctionSpec,
    /// Mark in its environment, unique to each creation and update.
    pub mark: String,
    /// When its creation or last update was acknowledged.
    pub acknowledged: Time,
    /// Size of its package, MiB.
    pub package_mib: f64,
}

/// One aspect of a function that is changed. Each change also sets a new mark.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// New code bytes.
    Code,
    /// Another memory size, MiB.
    Memory(u32),
    /// Another environment variable (the mark alone).
    Environment,
    /// Another role of the plan.
    Role(u32),
}

/// Why a control operation failed after its bounded retries.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} function {function}: {reason}")]
pub struct VantageError {
    /// create, update or remove.
    pub operation: &'static str,
    /// Name of the function.
    pub function: String,
    /// What the target said.
    pub reason: String,
}
