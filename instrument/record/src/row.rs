//! The schema of one invocation.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One invocation as the vantage point saw it, with what the probe said.
///
/// `*_ns` without `unix` are the vantage point's monotonic clock, in nanoseconds since the run began; `*_unix_ns` are
/// the wall clock of whoever the name says. Add [`Record::epoch_unix_ns`] to compare: never subtract them unmarked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    // Where it belongs.
    /// Experiment, as in `idle`.
    pub experiment: String,
    /// The unit of work within the experiment: one round of one setting. One file each.
    pub unit: String,
    /// Repetition, from 0.
    pub round: u32,
    /// What was varied, by name: `concurrency`, `delay_s`, `colevel`, ...; numbers as text.
    pub setting: BTreeMap<String, String>,
    /// What this invocation is for within its round: `cold`, `warm`, `launch`, `probe`, ...
    pub phase: String,
    /// Number of the request within its phase.
    pub sequence: u32,
    /// Kind of sandbox as the target says: `container`, `microvm`, `session`; empty where unknown.
    pub sandbox: String,

    // The function.
    /// Name as deployed.
    pub function: String,
    /// Account that owns it, as far as the target says.
    pub tenant: String,
    /// Role it runs as.
    pub role: String,
    /// Runtime asked for: `provided.al2023`, `python3.11`, `nodejs20.x`.
    pub runtime: String,
    /// Memory asked for, MiB.
    pub memory_mib: u32,
    /// Package size, MiB.
    pub package_mib: f64,
    /// Mark of the update last acknowledged for this function when the request was sent.
    pub mark_acknowledged: String,
    /// When that acknowledgement (of creation or update) arrived.
    pub acknowledged_ns: u64,

    // The vantage point's clock.
    /// Wall clock of the vantage point when its monotonic clock said 0, nanoseconds since 1970.
    pub epoch_unix_ns: u64,
    /// When the request was meant to be sent.
    pub intended_ns: u64,
    /// When its first byte was handed to an open connection.
    pub sent_ns: u64,
    /// When the response was complete, or the failure known.
    pub received_ns: u64,
    /// What it took to set up its connection (TCP and TLS), nanoseconds; this is before `sent_ns` and in no latency. 0
    /// where a connection was open already, and in files from before this was recorded.
    pub connect_ns: u64,
    /// Attempts made; throttled or failed ones before the last are counted here, and their time is in no latency.
    pub attempts: u32,

    // The outcome.
    /// How it ended.
    pub outcome: Outcome,
    /// HTTP status of the last attempt; 0 where there was none.
    pub http_status: u16,
    /// Error in words; empty where it succeeded.
    pub error: String,
    /// Why an instance had to be made for this request, as the experiment forced it.
    pub forced_by: Forced,
    /// Request id as the platform says.
    pub request_id: String,

    // What the platform says (REPORT line), where asked for; 0 where it says nothing.
    /// Duration, ms.
    pub duration_ms: f64,
    /// Billed duration, ms.
    pub billed_ms: f64,
    /// Init duration, ms.
    pub init_duration_ms: f64,
    /// Highest memory use, MiB.
    pub max_memory_mib: u32,

    // What the probe says; empty or 0 where there was no answer.
    /// Wall clock of the function at the handler's first statement.
    pub started_unix_ns: u64,
    /// Wall clock of the function at the handler's last statement.
    pub finished_unix_ns: u64,
    /// Monotonic time between the two, nanoseconds.
    pub function_ns: u64,
    /// Wall clock of the function when its runtime began to load.
    pub init_unix_ns: u64,
    /// Instance's own id.
    pub instance: String,
    /// Invocations this instance had served, this one included; 1 is its first.
    pub instance_invocations: u64,
    /// Version that the instance says it is.
    pub version: String,
    /// Mark that the instance says it has.
    pub mark: String,
    /// Memory size that the instance says it has, MiB.
    pub memory_seen_mib: u32,
    /// Why the platform says that the instance was initialized: `on-demand`, `provisioned-concurrency`, `snap-start`.
    pub initialization: String,
    /// Candidates for the host's name, by source (see the probe's `Identity::host_ids`).
    pub host_ids: BTreeMap<String, String>,
    /// Host uptime, s.
    pub uptime_s: f64,
    /// CPU model.
    pub cpu_model: String,
    /// CPUs seen.
    pub cpu_count: u32,
    /// Host memory seen, MiB.
    pub host_memory_mib: u32,
    /// The rest of the probe's answer (exposure, counters, cpu, disk, fill, network, background, problems) as JSON, in the
    /// probe's own schema; empty where nothing of it was asked.
    pub detail: String,
}

/// How an invocation ended.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The function answered.
    Ok,
    /// The function ran and failed.
    FunctionError,
    /// Refused by a quota, also after the retries that were allowed.
    Throttled,
    /// No answer within the vantage point's limit.
    TimedOut,
    /// Anything else: connection lost, server error.
    #[default]
    Failed,
}

/// What made a new instance necessary; they cost differently.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Forced {
    /// Nothing: a warm start was expected, or anything may happen.
    #[default]
    Nothing,
    /// The function had never run, and its code bytes were new.
    FreshFunction,
    /// The function was updated.
    Update,
    /// Every instance was busy.
    Concurrency,
    /// Idle for longer than the platform keeps instances.
    Idle,
}
