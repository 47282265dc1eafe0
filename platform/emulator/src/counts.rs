//! What really happened, as the platform saw it: the realised truth that findings are held against.

use crate::profile::HostType;
use crate::region::State;
use model::{FunctionId, HostId, InstanceId, InvocationId, Span, Time};
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
    /// Answers to requests that were sent after an update.
    pub updated: Vec<Updated>,
    /// Hosts on which its instances ran.
    pub hosts: BTreeMap<HostId, FirstRun>,
}

/// An answer to a request that was sent after an update of its function, as it arrived at the vantage point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Updated {
    /// Who answered.
    pub instance: InstanceId,
    /// From the acknowledgement to the sending.
    pub since: Span,
    /// Whether it ran what was there before the acknowledgement.
    pub outdated: bool,
    /// Whether it had run nothing before the acknowledgement.
    pub new: bool,
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

impl State {
    /// Notes which version an invocation runs, where there is more than one.
    pub(crate) fn note_version(&mut self, instance: InstanceId, invocation: InvocationId) {
        let it = &self.instances[&instance];
        let Some(current) = self.functions.by_name.get(&it.version.function) else { return };
        let outdated = current.epoch > it.version.epoch;
        if outdated {
            self.counts.functions.entry(it.version.function.clone()).or_default().outdated += 1;
        }
        let Some(pending) = self.pending.get_mut(&invocation) else { return };
        let before = |updated: &Time| *updated <= pending.sent;
        pending.updated = current.updated.filter(before).map(|updated| Updated {
            instance,
            since: pending.sent.since(updated),
            outdated,
            new: it.first.is_none_or(|first| first >= updated),
        });
    }

    /// An instance runs for the first time.
    pub(crate) fn note_first_contact(&mut self, instance: InstanceId) {
        self.counts.instances += 1;
        let it = &self.instances[&instance];
        let (host, name) = (it.host, &it.version.function);
        let Some(it) = self.hosts.get(&host) else { return };
        let uptime_s = it.uptime_s(self.now);
        if !self.counts.functions.contains_key(name) {
            self.counts.functions.insert(name.clone(), FunctionCounts::default());
        }
        if let Some(of_it) = self.counts.functions.get_mut(name) {
            let first = || FirstRun { uptime_s, kind: it.kind.clone() };
            of_it.hosts.entry(host).or_insert_with(first);
        }
        if !self.touched.insert(host) {
            return;
        }
        self.counts.hosts += 1;
        let (low, high) = self.counts.uptime_s.unwrap_or((uptime_s, uptime_s));
        self.counts.uptime_s = Some((low.min(uptime_s), high.max(uptime_s)));
    }
}
