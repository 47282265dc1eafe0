//! Function instances: from the start that was asked for to the moment when nothing is left of them.
//!
//! Deliberately knows nothing of how a sandbox is made.

use crate::scheduler::Scheduler;
use crate::timers::Alarm;
use crate::{Action, Epoch, Rejection, StopReason};
use model::{FunctionId, HostId, InstanceId, InvocationId, MemoryMib, Span, Time};

/// One function instance.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) function: FunctionId,
    pub(crate) revision: u64,
    pub(crate) epoch: Epoch,
    pub(crate) host: HostId,
    pub(crate) memory: MemoryMib,
    pub(crate) state: State,
    /// When its start was asked for; then, when it was ready.
    pub(crate) born: Time,
    /// From the start that was asked for until it was ready.
    pub(crate) init: Span,
    pub(crate) due: Option<Time>,
    /// Hosts tried for it before this one.
    pub(crate) attempts: u32,
}

/// What an instance is doing.
#[derive(Clone, Copy, Debug)]
pub(crate) enum State {
    /// Its host is being made.
    Waiting,
    /// Its start was asked for.
    Starting,
    /// It runs an invocation.
    Busy(Busy),
    /// It has answered, and is not idle yet. Its function counts it under this number.
    Finishing { sequence: u64 },
    /// It may be reused.
    Idle(Idle),
    /// Its reclaim was asked for.
    Stopping,
}

/// A running invocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Busy {
    pub(crate) invocation: InvocationId,
    pub(crate) since: Time,
    pub(crate) timeout: Span,
    pub(crate) init: Option<Span>,
}

/// How an instance is idle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Idle {
    pub(crate) since: Time,
    /// Orders instances by when they became idle.
    pub(crate) sequence: u64,
    pub(crate) rest: Rest,
}

/// How far an idle instance is frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    Awake,
    Asked,
    Resting,
}

/// Whether an invocation waits for the instance to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Warmth {
    Cold,
    Warm,
}

impl Instance {
    pub(crate) fn busy(&self) -> Option<&Busy> {
        match &self.state {
            State::Busy(busy) => Some(busy),
            _ => None,
        }
    }
}

impl Scheduler {
    pub(crate) fn started(&mut self, instance: InstanceId) {
        let now = self.now;
        let Some(it) = self.instances.get_mut(instance) else { return self.late() };
        if !matches!(it.state, State::Starting) {
            return self.late();
        }
        it.init = now.since(it.born);
        it.born = now;
        self.not_starting(instance);
        self.settle(instance, Warmth::Cold);
    }

    pub(crate) fn start_failed(&mut self, instance: InstanceId, reason: String) {
        let Some(it) = self.instances.get(instance) else { return self.late() };
        if !matches!(it.state, State::Starting) {
            return self.late();
        }
        let (function, current) = (it.function, self.is_current(it));
        self.not_starting(instance);
        self.reclaim(instance, StopReason::StartFailed);
        // A failed start is not tried again: what fails in init would fail for ever, once per second or so.
        if current {
            self.reject_oldest(function, Rejection::StartFailed(reason));
        }
    }

    pub(crate) fn idle(&mut self, instance: InstanceId) {
        match self.instances.get(instance).map(|it| it.state) {
            Some(State::Finishing { .. }) => {
                self.unlist(instance);
                self.settle(instance, Warmth::Warm);
            }
            _ => self.late(),
        }
    }

    pub(crate) fn rested(&mut self, instance: InstanceId) {
        match self.instances.get_mut(instance).map(|it| &mut it.state) {
            Some(State::Idle(idle)) if idle.rest == Rest::Asked => idle.rest = Rest::Resting,
            _ => self.late(),
        }
    }

    pub(crate) fn died(&mut self, instance: InstanceId) {
        match self.instances.get(instance).map(|it| it.state) {
            None | Some(State::Waiting | State::Stopping) => self.late(),
            Some(State::Starting) => {
                self.start_failed(instance, "the runtime died before it was ready".to_owned());
            }
            Some(State::Busy(_)) => {
                self.bill(instance);
                self.reclaim(instance, StopReason::Died);
            }
            Some(State::Finishing { .. }) => self.give_up(instance, StopReason::Died),
            Some(State::Idle(_)) => self.reclaim(instance, StopReason::Died),
        }
    }

    pub(crate) fn reclaimed(&mut self, instance: InstanceId) {
        match self.instances.get(instance).map(|it| it.state) {
            Some(State::Stopping) => {
                self.forget(instance);
                self.serve_short();
            }
            _ => self.late(),
        }
    }

    /// Asks for the end of an instance that was started. Its memory stays taken until it is reclaimed.
    pub(crate) fn reclaim(&mut self, instance: InstanceId, reason: StopReason) {
        self.unlist(instance);
        let Some(it) = self.instances.get_mut(instance) else { return };
        it.state = State::Stopping;
        self.timers.set(Alarm::Instance(instance), &mut it.due, None);
        let (host, memory) = (it.host, it.memory);
        if let Some(host) = self.hosts.get_mut(host) {
            host.stopping = host.stopping + memory;
        }
        self.counters.instances_reclaimed += 1;
        self.act(Action::Reclaim { instance, reason });
    }

    /// Asks for the end of an instance for which an invocation may have waited, and makes up for it.
    fn give_up(&mut self, instance: InstanceId, reason: StopReason) {
        let function = self.instances.get(instance).map(|it| it.function);
        self.reclaim(instance, reason);
        if let Some(function) = function {
            self.cover(function);
        }
    }

    /// Removes all trace of an instance that is gone, and frees its place.
    pub(crate) fn forget(&mut self, instance: InstanceId) {
        let Some(mut it) = self.instances.remove(instance) else { return };
        self.timers.set(Alarm::Instance(instance), &mut it.due, None);
        if matches!(it.state, State::Stopping)
            && let Some(host) = self.hosts.get_mut(it.host)
        {
            host.stopping = host.stopping - it.memory;
        }
        self.leave_host(it.host, instance, it.memory);
    }

    /// The next thing on an instance is due: deadline, rest, idle limit or lifetime.
    pub(crate) fn instance_due(&mut self, instance: InstanceId) {
        let Some(it) = self.instances.get_mut(instance) else { return };
        it.due = None;
        match it.state {
            State::Busy(Busy { invocation, timeout, .. }) => {
                self.counters.expired += 1;
                self.act(Action::Expire { invocation, instance, timeout });
                self.bill(instance);
                self.reclaim(instance, StopReason::Expired);
            }
            State::Finishing { .. } => self.give_up(instance, StopReason::Expired),
            State::Idle(idle) => self.idle_due(instance, idle),
            State::Waiting | State::Starting | State::Stopping => {}
        }
    }

    fn idle_due(&mut self, instance: InstanceId, idle: Idle) {
        let Some(it) = self.instances.get_mut(instance) else { return };
        let end = end_of_idle(&self.profile, it.born, idle.since);
        if end <= self.now {
            let limit = idle.since + self.profile.keep_alive.limit();
            let reason =
                if limit <= self.now { StopReason::IdleLimit } else { StopReason::Lifetime };
            return self.reclaim(instance, reason);
        }
        it.state = State::Idle(Idle { rest: Rest::Asked, ..idle });
        self.timers.set(Alarm::Instance(instance), &mut it.due, Some(end));
        self.act(Action::Rest { instance });
    }

    /// Finds out what becomes of an instance that can take an invocation: the oldest that waits, or idleness, or its end.
    fn settle(&mut self, instance: InstanceId, warmth: Warmth) {
        let now = self.now;
        let Some(it) = self.instances.get(instance) else { return };
        let (function, born) = (it.function, it.born);
        if !self.is_current(it) {
            let reason = if self.functions.contains_key(&function) {
                StopReason::Outdated
            } else {
                StopReason::Removed
            };
            return self.reclaim(instance, reason);
        }
        if self.profile.lifetime_cap.is_some_and(|cap| born + cap <= now) {
            return self.give_up(instance, StopReason::Lifetime);
        }
        if self.dispatch_oldest(function, instance, warmth).is_some() {
            return;
        }
        if self.profile.keep_alive.limit() == Span::ZERO {
            return self.reclaim(instance, StopReason::IdleLimit);
        }
        self.list(instance);
    }

    /// Makes an instance idle.
    fn list(&mut self, instance: InstanceId) {
        let now = self.now;
        let sequence = self.sequence();
        let Some(it) = self.instances.get_mut(instance) else { return };
        it.state = State::Idle(Idle { since: now, sequence, rest: Rest::Awake });
        let end = end_of_idle(&self.profile, it.born, now);
        let due = self.profile.rest_after.map_or(end, |after| (now + after).min(end));
        self.timers.set(Alarm::Instance(instance), &mut it.due, Some(due));
        let (function, memory, host) = (it.function, it.memory, it.host);
        if let Some(state) = self.functions.get_mut(&function) {
            state.idle.push(sequence, instance);
        }
        if let Some(it) = self.hosts.get_mut(host) {
            it.idle += 1;
            it.idle_memory = it.idle_memory + memory;
        }
        self.start_clock(host);
    }

    /// Takes an instance off the lists of those that are idle or will soon be, if it is on them.
    pub(crate) fn unlist(&mut self, instance: InstanceId) {
        let Some(it) = self.instances.get(instance) else { return };
        let sequence = match it.state {
            State::Idle(Idle { sequence, .. }) => sequence,
            State::Finishing { sequence } => {
                if let Some(state) = self.functions.get_mut(&it.function) {
                    state.finishing.remove(sequence);
                }
                return;
            }
            _ => return,
        };
        if let Some(state) = self.functions.get_mut(&it.function) {
            state.idle.remove(sequence);
        }
        if let Some(host) = self.hosts.get_mut(it.host) {
            host.idle -= 1;
            host.idle_memory = host.idle_memory - it.memory;
        }
    }

    /// Counts an instance out of those that will yet become ready.
    pub(crate) fn not_starting(&mut self, instance: InstanceId) {
        let Some(it) = self.instances.get(instance) else { return };
        if let Some(state) = self.functions.get_mut(&it.function)
            && state.revision == it.revision
        {
            state.starting -= 1;
        }
    }

    /// Whether the instance has its function's present state.
    pub(crate) fn is_current(&self, it: &Instance) -> bool {
        self.functions.get(&it.function).is_some_and(|state| state.revision == it.revision)
    }
}

/// When an instance that became idle at `since` goes.
fn end_of_idle(profile: &crate::Profile, born: Time, since: Time) -> Time {
    let limit = since + profile.keep_alive.limit();
    profile.lifetime_cap.map_or(limit, |cap| limit.min(born + cap))
}
