//! What really happened, as the platform saw it: the realised truth that findings are held against.

use crate::profile::HostType;
use model::{FunctionId, HostId};
use std::collections::BTreeMap;

/// What happened so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// By function name.
    pub functions: BTreeMap<String, FunctionCounts>,
    /// Uptimes of hosts when an instance first ran on each, s: smallest and largest.
    pub uptime_s: Option<(f64, f64)>,
    /// Hosts on which an instance ever ran.
    pub hosts: u64,
    /// Instances that ever served an invocation.
    pub instances: u64,
}

/// What happened with one function.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FunctionCounts {
    /// Most instances that ran an invocation at one instant.
    pub running: u32,
    /// Most of them on one host.
    pub colevel: u32,
    /// Invocations that ran an older version than the one last acknowledged.
    pub outdated: u32,
    /// Hosts on which its instances ran.
    pub hosts: BTreeMap<HostId, FirstRun>,
}

/// A function's first run on a host.
#[derive(Clone, Debug, PartialEq)]
pub struct FirstRun {
    /// The host's uptime at that run's first statement, s.
    pub uptime_s: f64,
    /// What kind of host it is.
    pub kind: HostType,
}

/// Who runs now.
#[derive(Debug, Default)]
pub(crate) struct Running {
    functions: BTreeMap<FunctionId, BTreeMap<HostId, u32>>,
}

impl Running {
    /// Counts an instance in, and notes what that makes.
    pub(crate) fn begin(
        &mut self,
        counts: &mut Counts,
        (function, name): (FunctionId, &str),
        host: HostId,
    ) {
        let hosts = self.functions.entry(function).or_default();
        *hosts.entry(host).or_default() += 1;
        let running: u32 = hosts.values().sum();
        let colevel = hosts.values().copied().max().unwrap_or(0);
        let it = match counts.functions.get_mut(name) {
            Some(it) => it,
            None => counts.functions.entry(name.to_owned()).or_default(),
        };
        it.running = it.running.max(running);
        it.colevel = it.colevel.max(colevel);
    }

    /// Counts an instance out.
    pub(crate) fn end(&mut self, function: FunctionId, host: HostId) {
        let Some(hosts) = self.functions.get_mut(&function) else { return };
        if let Some(count) = hosts.get_mut(&host) {
            *count -= 1;
            if *count == 0 {
                hosts.remove(&host);
            }
        }
        if hosts.is_empty() {
            self.functions.remove(&function);
        }
    }
}
