//! Experiments: straight-line async code over a [`Vantage`], one file each.
//!
//! A [`Study`] names the experiments and their [`Scope`]; [`run_study`] takes their units of work one after another,
//! each with a [`Bench`] to work at, and gives the records to a [`Sink`]. Deliberately knows nothing of tokio, HTTP,
//! targets, files, or which clock it runs on.

mod bench;
mod experiment;
mod experiments;
mod ledger;
mod memory_time;
mod scope;
mod study;
mod vantage;

pub use bench::Bench;
pub use experiment::{About, Experiment, Need, Planned, Unit};
pub use experiments::Kind;
pub use experiments::{
    Accounting, AccountingStep, ColdStart, ColdStartStep, Consistency, Cpu, CpuStep, Disk,
    Exposure, Hosts, Identity, IdentityStep, Idle, IdleStage, IdleStep, Isolation, Lifetime,
    Limits, LimitsStep, Network, Placement, PlacementStep, Scaling, ScalingStep,
};
pub use memory_time::MemoryTime;
pub use scope::{
    AccountingScope, Basis, BurstSpan, BusyScope, ColdStartScope, ConsistencyScope, CpuScope,
    DiskScope, ExposureScope, HostsScope, IdentityScope, IdleScope, IsolationScope, LifetimeScope,
    LimitsScope, NetworkScope, PlacementScope, Scale, ScalingScope, Scope, ScopeError,
    SearchStarts, SharingScope, StartsScope, WatchScope,
};
pub use study::{Ended, Planning, Sink, Study, run_study};
pub use vantage::{Change, Code, Function, FunctionSpec, Report, Sent, Vantage, VantageError};
