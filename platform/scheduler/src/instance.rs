//! Function instances: from the start that was asked for to the moment when nothing is left of them.
//!
//! Deliberately knows nothing of how a sandbox is made.

use crate::chain::Links;
use crate::lanes::Room;
use crate::lots::Lot;
use crate::scheduler::Scheduler;
use crate::timers::{Alarm, Slot};
use crate::{Action, Epoch, Purpose, Rejection, StopReason};
use model::{FunctionId, HostId, InstanceId, InvocationId, MemoryMib, Span, Time};

/// One function instance, in two cache lines.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Instance {
    pub(crate) function: FunctionId,
    pub(crate) revision: u64,
    pub(crate) host: HostId,
    pub(crate) state: State,
    /// Since when it is in its state; [`State::Finishing`]: since it answered.
    pub(crate) since: Time,
    /// Busy or finishing: its deadline. Serving: the first one. Idle: when it goes.
    pub(crate) end: Time,
    /// From when on it is not reused.
    pub(crate) dies: Time,
    pub(crate) slot: Slot,
    pub(crate) links: Links,
    pub(crate) epoch: Epoch,
    /// From the start that was asked for until it was ready.
    pub(crate) init: Span,
    pub(crate) memory: MemoryMib,
    /// Hosts tried for it before this one.
    pub(crate) attempts: u8,
    pub(crate) age: Age,
    pub(crate) purpose: Purpose,
}

/// Of which version an instance was started, seen from then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    /// The present one.
    Present,
    /// The one before, and it has run nothing yet.
    Past,
    /// The one before, and it has run an invocation.
    Spent,
}

/// What an instance is doing.
#[derive(Clone, Copy, Debug)]
pub(crate) enum State {
    /// Its host is being made.
    Waiting,
    /// Its start was asked for.
    Starting,
    /// It runs an invocation.
    Busy(InvocationId, Warmth),
    /// It runs requests, of which it takes more than one at once.
    Serving(Room),
    /// It has answered, and is not idle yet.
    Finishing(Hope),
    /// It may be reused.
    Idle(Idle),
    /// Its reclaim was asked for.
    Stopping,
}

/// Whether what waits counts on an instance that has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hope {
    /// It will soon be idle.
    Coming,
    /// It is outdated, or late.
    Gone,
}

/// How an instance is idle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Idle {
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

impl Scheduler {
    pub(crate) fn started(&mut self, instance: InstanceId) {
        let now = self.now;
        let Some(it) = self.instances.get_mut(instance) else { return self.late() };
        if !matches!(it.state, State::Starting) {
            return self.late();
        }
        it.init = now.since(it.since);
        let drawn = self.profile.lifetime.map(|it| it.draw(Lot::of(self.seed, instance.0)));
        let cap = [drawn, self.profile.lifetime_cap].into_iter().flatten().min();
        it.dies = cap.map_or(Time::MAX, |cap| now + cap);
        self.not_starting(instance);
        self.provision_started(instance);
        self.settle(instance, Warmth::Cold);
    }

    pub(crate) fn start_failed(&mut self, instance: InstanceId, reason: String) {
        let Some(it) = self.instances.get(instance) else { return self.late() };
        if !matches!(it.state, State::Starting) {
            return self.late();
        }
        let (function, current) = (it.function, self.is_current(it));
        self.not_starting(instance);
        self.provision_start_failed(instance, &reason);
        self.reclaim(instance, StopReason::StartFailed);
        // A failed start is not tried again: what fails in init would fail for ever, once per second or so.
        if current {
            self.reject_oldest(function, Rejection::StartFailed(reason));
            self.cover(function);
        }
    }

    pub(crate) fn idle(&mut self, instance: InstanceId) {
        match self.instances.get(instance).map(|it| it.state) {
            Some(State::Finishing(_)) => {
                self.unlist(instance);
                self.settle(instance, Warmth::Warm);
            }
            Some(State::Serving(_)) => self.lane_idle(instance),
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
            Some(State::Busy(..) | State::Serving(_)) => {
                self.bill(instance);
                self.give_up(instance, StopReason::Died);
            }
            Some(State::Finishing(_)) => self.give_up(instance, StopReason::Died),
            Some(State::Idle(_)) => {
                self.provision_died(instance);
                self.reclaim(instance, StopReason::Died);
            }
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
        self.lanes.remove(&instance);
        let (host, memory) = (it.host, it.memory);
        self.not_live(instance);
        if let Some(host) = self.hosts.get_mut(host) {
            host.stopping = host.stopping + memory;
        }
        self.counters.instances_reclaimed += 1;
        self.act(Action::Reclaim { instance, reason });
    }

    /// Asks for the end of an instance for which an invocation may have waited, and makes up for it.
    pub(crate) fn give_up(&mut self, instance: InstanceId, reason: StopReason) {
        let function = self.instances.get(instance).map(|it| it.function);
        self.reclaim(instance, reason);
        if let Some(function) = function {
            self.cover(function);
        }
    }

    /// Removes all trace of an instance that is gone, and frees its place.
    pub(crate) fn forget(&mut self, instance: InstanceId) {
        match self.instances.get(instance).map(|it| it.state) {
            Some(State::Stopping) => {}
            Some(_) => self.not_live(instance),
            None => return,
        }
        self.lanes.remove(&instance);
        let Some(it) = self.instances.remove(instance) else { return };
        if matches!(it.state, State::Stopping)
            && let Some(host) = self.hosts.get_mut(it.host)
        {
            host.stopping = host.stopping - it.memory;
        }
        self.leave_host(it.host, instance, it.memory);
    }

    /// The next thing on an instance may be due: deadline, rest, idle limit or lifetime.
    pub(crate) fn instance_due(&mut self, instance: InstanceId, due: Time) {
        let Some(it) = self.instances.get_mut(instance) else { return };
        if !it.slot.rings(due) {
            return;
        }
        let next = next_due(it, self.profile.rest_after);
        if next > self.now {
            return self.timers.set(Alarm::Instance(instance), &mut it.slot, next);
        }
        match it.state {
            State::Busy(invocation, _) => {
                let timeout = it.end.since(it.since);
                self.counters.expired += 1;
                self.act(Action::Expire { invocation, instance, timeout });
                self.bill(instance);
                self.give_up(instance, StopReason::Expired);
            }
            State::Serving(_) => self.lanes_due(instance),
            State::Finishing(_) => self.give_up(instance, StopReason::Expired),
            State::Idle(_) if it.end <= self.now => self.idle_over(instance),
            State::Idle(idle) => {
                it.state = State::Idle(Idle { rest: Rest::Asked, ..idle });
                self.timers.set(Alarm::Instance(instance), &mut it.slot, it.end);
                self.act(Action::Rest { instance });
            }
            State::Waiting | State::Starting | State::Stopping => {}
        }
    }

    /// Finds out what becomes of an instance that can take an invocation: the oldest that waits, or idleness, or its end.
    pub(crate) fn settle(&mut self, instance: InstanceId, warmth: Warmth) {
        let now = self.now;
        let Some(it) = self.instances.get(instance) else { return };
        let (function, dies) = (it.function, it.dies);
        if !self.is_current(it) {
            let reason = if self.functions.get(function).is_some() {
                StopReason::Outdated
            } else {
                StopReason::Removed
            };
            return self.reclaim(instance, reason);
        }
        if dies <= now {
            return self.give_up(instance, StopReason::Lifetime);
        }
        if self.is_spent(instance) {
            return self.give_up(instance, StopReason::Outdated);
        }
        if self.dispatch_oldest(function, instance, warmth).is_some() {
            return self.fill(function, instance);
        }
        if self.instances.get(instance).is_some_and(|it| it.age == Age::Past) {
            return self.reclaim(instance, StopReason::Outdated);
        }
        self.list(instance, warmth);
    }

    /// Counts an instance out of those that will yet become ready.
    pub(crate) fn not_starting(&mut self, instance: InstanceId) {
        let Some(it) = self.instances.get(instance) else { return };
        if let Some(state) = self.functions.get_mut(it.function)
            && state.revision == it.revision
        {
            state.starting -= 1;
            if it.purpose == Purpose::Provisioned {
                self.count_provision_start(it.function, -1);
            }
        }
    }

    /// Counts an instance out that is about to stop, or is gone without having been stopped.
    fn not_live(&mut self, instance: InstanceId) {
        let Some(it) = self.instances.get(instance) else { return };
        self.machine.live_mib -= u64::from(it.memory.0);
        if let Some(state) = self.functions.get_mut(it.function)
            && state.revision == it.revision
        {
            state.live -= 1;
            if it.purpose == Purpose::Provisioned {
                self.count_provision_out(it.function);
            }
        }
    }

    /// Whether the instance has its function's present state.
    pub(crate) fn is_current(&self, it: &Instance) -> bool {
        self.functions.get(it.function).is_some_and(|state| state.revision == it.revision)
    }
}

/// When the next thing on an instance is due.
pub(crate) fn next_due(it: &Instance, rest_after: Option<Span>) -> Time {
    match (it.state, rest_after) {
        (State::Idle(Idle { rest: Rest::Awake, .. }), Some(after)) => it.end.min(it.since + after),
        _ => it.end,
    }
}

#[cfg(test)]
mod tests {
    // An instance and a function take two cache lines each: their size is what decides how fast many of them are.
    #[test]
    fn instances_are_small() {
        assert_eq!(size_of::<Option<super::Instance>>(), 128);
        assert_eq!(size_of::<Option<crate::function::Function>>(), 128);
    }
}
