//! Sums of what has happened, for gauges and tests.

/// Sums since the scheduler was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Events taken in, late ones included.
    pub events: u64,
    /// Events that were ignored: about something that is gone, or not in the state that they tell of.
    pub late_events: u64,
    /// Invocations taken in.
    pub invoked: u64,
    /// Invocations rejected.
    pub rejected: u64,
    /// Invocations whose caller went before dispatch.
    pub cancelled: u64,
    /// Dispatches to an instance that was started for its invocation.
    pub cold_starts: u64,
    /// Dispatches to an instance that was idle, or that had just served another invocation.
    pub warm_starts: u64,
    /// Invocations that ran past their timeout.
    pub expired: u64,
    /// Instances asked for.
    pub instances_started: u64,
    /// Instances whose reclaim was asked for.
    pub instances_reclaimed: u64,
    /// Hosts asked for.
    pub hosts_started: u64,
    /// Hosts given back, failed ones not included.
    pub hosts_stopped: u64,
}
