//! Idle instances: on which lists they are, how long they stay and which goes first.
//!
//! Deliberately knows nothing of how long that is: it asks the profile's keep-alive.

use crate::instance::{Hope, Idle, Rest, State, Warmth, next_due};
use crate::lanes::Room;
use crate::lots::Lot;
use crate::policy::{Idling, Moment};
use crate::scheduler::Scheduler;
use crate::timers::Alarm;
use crate::{Purpose, StopReason};
use model::{InstanceId, MemoryMib, Time};

impl Scheduler {
    /// Makes an instance idle, or ends it where keep-alive keeps nothing.
    pub(crate) fn list(&mut self, instance: InstanceId, warmth: Warmth) {
        let now = self.now;
        let Some(it) = self.instances.get(instance) else { return };
        if self.is_surplus(it) {
            return self.reclaim(instance, StopReason::Unprovisioned);
        }
        if it.purpose == Purpose::Provisioned {
            return self.list_provisioned(instance);
        }
        let (function, memory, host) = (it.function, it.memory, it.host);
        let Some(state) = self.functions.get(function) else { return };
        let moment = match warmth {
            Warmth::Cold => Moment::Ahead,
            Warmth::Warm if state.in_flight == 0 => Moment::Quiet,
            Warmth::Warm => Moment::Busy,
        };
        let windows = self.windows(state);
        let sequence = self.sequence();
        let until = self.profile.keep_alive.policy().until(&Idling {
            now,
            period: Lot::of(self.seed, sequence).next(),
            instance: Lot::of(self.seed, instance.0).next(),
            region: Lot::of(self.seed, 0),
            windows,
            moment,
        });
        self.part(function, moment, windows);
        if until <= now {
            return self.reclaim(instance, StopReason::IdleLimit);
        }
        let Some(it) = self.instances.get_mut(instance) else { return };
        it.state = State::Idle(Idle { sequence, rest: Rest::Awake });
        it.since = now;
        it.end = until.min(it.dies);
        let due = next_due(it, self.profile.rest_after);
        self.timers.set(Alarm::Instance(instance), &mut it.slot, due);
        if let Some(state) = self.functions.get_mut(function) {
            state.idle.push(&mut self.instances, instance);
        }
        if let Some(it) = self.hosts.get_mut(host) {
            it.idle += 1;
            it.idle_memory = it.idle_memory + memory;
        }
        self.start_clock(host);
        if self.profile.keep_alive.pressure().is_some() {
            self.machine.idle.insert((sequence, instance));
            self.make_room(MemoryMib(0));
        }
    }

    /// Makes a provisioned instance idle, until it is needed or its life ends.
    fn list_provisioned(&mut self, instance: InstanceId) {
        let sequence = self.sequence();
        let Some(it) = self.instances.get_mut(instance) else { return };
        it.state = State::Idle(Idle { sequence, rest: Rest::Awake });
        (it.since, it.end) = (self.now, it.dies);
        let (function, due) = (it.function, next_due(it, self.profile.rest_after));
        self.timers.set(Alarm::Instance(instance), &mut it.slot, due);
        let own = self.functions.get_mut(function).and_then(|it| it.details.provision.as_mut());
        if let Some(own) = own {
            own.idle.push(&mut self.instances, instance);
        }
    }

    /// Takes an instance off the lists of those that are idle or will soon be, if it is on them.
    pub(crate) fn unlist(&mut self, instance: InstanceId) {
        let Some(it) = self.instances.get_mut(instance) else { return };
        let state = self.functions.get_mut(it.function);
        match it.state {
            State::Idle(_) if it.purpose == Purpose::Provisioned => {
                if let Some(own) = state.and_then(|state| state.details.provision.as_mut()) {
                    own.idle.remove(&mut self.instances, instance);
                }
            }
            State::Idle(Idle { sequence, .. }) => {
                if let Some(host) = self.hosts.get_mut(it.host) {
                    host.idle -= 1;
                    host.idle_memory = host.idle_memory - it.memory;
                }
                if !self.machine.idle.is_empty() {
                    self.machine.idle.remove(&(sequence, instance));
                }
                if let Some(state) = state {
                    // Details are not looked at where they need not be: they are a cache miss.
                    let chain = match state.revision == it.revision {
                        true => Some(&mut state.idle),
                        false => state.details.past.as_mut().map(|past| &mut past.idle),
                    };
                    if let Some(chain) = chain {
                        chain.remove(&mut self.instances, instance);
                    }
                }
            }
            State::Serving(Room::Listed) => {
                it.state = State::Serving(Room::Unlisted);
                if let Some(state) = state {
                    state.details.open.remove(&mut self.instances, instance);
                }
            }
            State::Finishing(Hope::Coming) => {
                it.state = State::Finishing(Hope::Gone);
                if let Some(state) = state {
                    state.coming.remove(&mut self.instances, instance);
                }
            }
            _ => {}
        }
    }

    /// An idle instance's time is up: it goes, unless its clock spares it.
    pub(crate) fn idle_over(&mut self, instance: InstanceId) {
        let Some(it) = self.instances.get(instance) else { return };
        let (function, host, since, dies) = (it.function, it.host, it.since, it.dies);
        if dies <= self.now {
            return self.reclaim(instance, StopReason::Lifetime);
        }
        if !self.is_current(it) {
            return self.reclaim(instance, StopReason::Outdated);
        }
        let policy = self.profile.keep_alive.policy();
        let mut reason = StopReason::IdleLimit;
        if policy.ticks_alone() && policy.longest().is_some_and(|last| self.now < since + last) {
            let idle = self.idle_on(host).iter().filter(|it| it.0 == function).count();
            if let Some(until) = policy.spared(self.now, since, idle) {
                return self.stay(instance, until.min(dies));
            }
            reason = StopReason::Halving;
        }
        self.reclaim(instance, reason);
    }

    fn stay(&mut self, instance: InstanceId, until: Time) {
        let Some(it) = self.instances.get_mut(instance) else { return };
        it.end = until;
        self.timers.set(Alarm::Instance(instance), &mut it.slot, until);
    }

    /// Where keep-alive has a pool: lets the least recently idle instances go until one of this size fits into it.
    pub(crate) fn make_room(&mut self, memory: MemoryMib) {
        let Some(pool) = self.profile.keep_alive.pressure().and_then(|it| it.pool) else { return };
        while self.machine.live_mib + u64::from(memory.0) > u64::from(pool.0)
            && let Some(&(_, instance)) = self.machine.idle.first()
        {
            self.reclaim(instance, StopReason::Evicted);
        }
    }
}
