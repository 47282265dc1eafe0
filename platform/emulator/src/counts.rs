//! What really happened, as the platform saw it: the realised truth that findings are held against.

use crate::call::{Answer, Reply};
use crate::host::Resource;
use crate::profile::HostType;
use crate::region::State;
use crate::reveal;
use model::{FunctionId, HostId, InstanceId, InvocationId, MemoryMib, Span, Time};
use std::collections::{BTreeMap, BTreeSet, HashMap};

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
    /// Requests that were sent.
    pub requests: u64,
}

/// What happened with one function.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FunctionCounts {
    /// Most instances that ran an invocation at one instant.
    pub running: u32,
    /// Most of them on one host.
    pub colevel: u32,
    /// Most instances of its size, whoever's, on a host of its own, when one of its own began there.
    pub alike: u32,
    /// Instances that were the first ever on their host.
    pub new_hosts: u32,
    /// Of those in `running`, at the first instant with so many, the ones that had another on their host.
    pub coresident: u32,
    /// Invocations that ran an older version than the one last acknowledged.
    pub outdated: u32,
    /// Instances that served an invocation.
    pub instances: u32,
    /// When the first request left.
    pub first_sent: Option<Time>,
    /// When the last one of `instances` came to its handler for the first time.
    pub last_new: Option<Time>,
    /// What came back of the requests.
    pub answers: Answers,
    /// Answers to requests that were sent after an update.
    pub updated: Vec<Updated>,
    /// How many instances used the CPUs, the disk or the network of one host at one time, at most from when nobody did
    /// until nobody did again, one of this function being the last.
    pub beside: BTreeSet<u32>,
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
    /// The host's name as functions read it; empty where nothing names hosts.
    pub name: String,
    /// How much its clock was ahead of the vantage point's then, ms.
    pub clock_ms: f64,
}

/// What came back of requests to a function that was there, each counted once, as the vantage point saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// The function answered.
    pub answered: u32,
    /// Of them, on an instance that had ended another invocation before they began.
    pub again: u32,
    /// The function ran and failed.
    pub failed: u32,
    /// Refused by a quota.
    pub throttled: u32,
    /// Refused for another reason.
    pub refused: u32,
    /// No answer within the limit.
    pub nothing: u32,
}

/// The counts of functions while they are counted, by name: looked up some times with each invocation, and never listed
/// in this order.
#[derive(Debug, Default)]
pub(crate) struct Tallies(pub(crate) HashMap<String, FunctionCounts>);

impl Tallies {
    /// The counts of a function.
    pub(crate) fn of(&mut self, name: &str) -> &mut FunctionCounts {
        if !self.0.contains_key(name) {
            self.0.insert(name.to_owned(), FunctionCounts::default());
        }
        self.0.get_mut(name).expect("it was just put in")
    }
}

impl Answers {
    pub(crate) fn add(&mut self, reply: &Reply) {
        match &reply.answer {
            Answer::Response(_) => {
                self.answered += 1;
                self.again += u32::from(reply.again);
            }
            Answer::FunctionError(_) => self.failed += 1,
            Answer::Refused { status: 429, .. } => self.throttled += 1,
            Answer::Refused { .. } => self.refused += 1,
            Answer::Nothing => self.nothing += 1,
        }
    }
}

/// Who runs now.
#[derive(Debug, Default)]
pub(crate) struct Running {
    functions: BTreeMap<FunctionId, OfFunction>,
    /// Instances of any function, by host and size.
    sizes: BTreeMap<(HostId, MemoryMib), u32>,
}

/// Instances of one function that run now.
#[derive(Debug, Default)]
struct OfFunction {
    hosts: BTreeMap<HostId, u32>,
    running: u32,
    coresident: u32,
}

impl Running {
    /// Counts an instance in, and notes what that makes.
    pub(crate) fn begin(
        &mut self,
        counts: &mut Tallies,
        (function, name): (FunctionId, &str),
        (host, memory): (HostId, MemoryMib),
    ) {
        let alike = self.sizes.entry((host, memory)).or_default();
        *alike += 1;
        let alike = *alike;
        let it = self.functions.entry(function).or_default();
        let beside = it.hosts.entry(host).or_default();
        *beside += 1;
        it.running += 1;
        it.coresident += company(*beside) - company(*beside - 1);
        let (running, coresident, colevel) = (it.running, it.coresident, *beside);
        let counts = counts.of(name);
        counts.colevel = counts.colevel.max(colevel);
        counts.alike = counts.alike.max(alike);
        if running > counts.running {
            (counts.running, counts.coresident) = (running, coresident);
        }
    }

    /// Counts an instance out.
    pub(crate) fn end(&mut self, function: FunctionId, (host, memory): (HostId, MemoryMib)) {
        if let Some(alike) = self.sizes.get_mut(&(host, memory)) {
            *alike -= 1;
            if *alike == 0 {
                self.sizes.remove(&(host, memory));
            }
        }
        let Some(it) = self.functions.get_mut(&function) else { return };
        let Some(beside) = it.hosts.get_mut(&host) else { return };
        *beside -= 1;
        it.running -= 1;
        it.coresident -= company(*beside + 1) - company(*beside);
        if *beside == 0 {
            it.hosts.remove(&host);
        }
        if it.running == 0 {
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
            self.tallies.of(&it.version.function).outdated += 1;
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

    /// An instance no longer uses a resource of its host; whoever was the last to do so says how many there were.
    pub(crate) fn note_beside(&mut self, instance: InstanceId, resource: Resource) {
        let Some(it) = self.instances.get(&instance) else { return };
        let Some(host) = self.hosts.get_mut(&it.host) else { return };
        let pool = host.pool(resource);
        if resource != Resource::Starter && pool.is_idle() {
            self.tallies.of(&it.version.function).beside.insert(pool.most());
        }
    }

    /// An instance runs for the first time.
    pub(crate) fn note_first_contact(&mut self, instance: InstanceId) {
        self.counts.instances += 1;
        let it = &self.instances[&instance];
        let (host, name) = (it.host, &it.version.function);
        let of_function = self.tallies.of(name);
        of_function.instances += 1;
        of_function.last_new = Some(self.now);
        let Some(it) = self.hosts.get(&host) else { return };
        let uptime_s = it.uptime_s(self.now);
        let model = &self.platform.model;
        let first = || FirstRun {
            uptime_s,
            kind: it.kind.clone(),
            name: reveal::host_name(model, it, self.platform.host_id_source()),
            clock_ms: it.ahead_ms(&model.clock, self.now),
        };
        of_function.hosts.entry(host).or_insert_with(first);
        if !self.touched.insert(host) {
            return;
        }
        of_function.new_hosts += 1;
        self.counts.hosts += 1;
        let (low, high) = self.counts.uptime_s.unwrap_or((uptime_s, uptime_s));
        self.counts.uptime_s = Some((low.min(uptime_s), high.max(uptime_s)));
    }
}

/// Of so many instances on one host, how many have another one there.
const fn company(count: u32) -> u32 {
    if count > 1 { count } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Instances count while they run; the peak keeps how many were not alone, and the most on one host is kept apart.
    #[test]
    fn peaks_are_kept() {
        let (mut running, mut counts) = (Running::default(), Tallies::default());
        let function = FunctionId(1);
        let on = |host| (HostId(host), MemoryMib(128));
        for host in [1, 1, 1, 2] {
            running.begin(&mut counts, (function, "f"), on(host));
        }
        running.end(function, on(1));
        running.end(function, on(1));
        running.begin(&mut counts, (function, "f"), on(3));
        running.begin(&mut counts, (function, "f"), on(3));
        running.begin(&mut counts, (function, "f"), on(2));
        let it = &counts.0["f"];
        assert_eq!((it.running, it.colevel, it.coresident), (5, 3, 4));
        running.begin(&mut counts, (FunctionId(2), "g"), on(3));
        running.end(FunctionId(2), on(3));
        assert_eq!((counts.0["g"].colevel, counts.0["g"].alike), (1, 3));
        for host in [1, 2, 2, 3, 3] {
            running.end(function, on(host));
        }
        assert!(running.functions.is_empty() && running.sizes.is_empty());
    }
}
