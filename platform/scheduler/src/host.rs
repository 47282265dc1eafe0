//! Hosts: from the one that was asked for to the one that is given back.
//!
//! Deliberately knows nothing of what a host is made of.

use crate::instance::{Idle, State};
use crate::rooms::Owner;
use crate::scheduler::Scheduler;
use crate::timers::{Alarm, Slot};
use crate::{Action, HostLoad, HostPhase, Purpose, Rejection, StopReason};
use model::{FunctionId, HostId, InstanceId, MemoryMib, Span, TenantId, Time};
use rand::RngExt;
use std::collections::BTreeSet;

/// Hosts tried for one start before its invocation is rejected.
const HOST_ATTEMPTS: u8 = 3;

/// How long no host is started ahead after one failed.
const AHEAD_PAUSE: Span = Span::from_secs(10);

/// One host.
#[derive(Debug)]
pub(crate) struct Host {
    /// None until the first instance, for a host started ahead.
    pub(crate) owner: Option<Owner>,
    pub(crate) phase: HostPhase,
    pub(crate) memory: MemoryMib,
    pub(crate) milli_cpus: u32,
    /// Memory of all its instances, stopping ones included.
    pub(crate) used: MemoryMib,
    /// Memory of its instances that are stopping.
    pub(crate) stopping: MemoryMib,
    /// Memory of its instances that are idle, and that may go to make room.
    pub(crate) idle_memory: MemoryMib,
    pub(crate) instances: BTreeSet<InstanceId>,
    /// How many of its instances are idle, and may go to make room.
    pub(crate) idle: usize,
    /// First tick of its keep-alive clock.
    origin: Time,
    tick: Option<Time>,
    tick_slot: Slot,
    /// When it is given back, if it stays empty.
    empty: Option<Time>,
    empty_slot: Slot,
}

impl Host {
    /// Memory that new instances can have.
    pub(crate) fn free(&self) -> MemoryMib {
        self.memory - self.used
    }

    /// Whether every instance on it could be gone soon: none starts, runs or finishes.
    pub(crate) fn is_quiet(&self) -> bool {
        self.phase == HostPhase::Ready && self.used == self.idle_memory + self.stopping
    }
}

impl Scheduler {
    pub(crate) fn host_ready(&mut self, host: HostId) {
        let random = &mut self.random;
        let phase = self.profile.keep_alive.policy().interval().map_or(0, |interval| {
            if interval == Span::ZERO { 0 } else { random.random_range(0..interval.as_nanos()) }
        });
        let now = self.now;
        let waiting: Vec<InstanceId> = match self.hosts.get_mut(host) {
            Some(it) if it.phase == HostPhase::Starting => {
                it.phase = HostPhase::Ready;
                it.origin = now + Span::from_nanos(phase);
                it.instances.iter().copied().collect()
            }
            _ => return self.late(),
        };
        for instance in waiting {
            match self.instances.get(instance).map(|it| (it.function, self.is_current(it))) {
                Some((function, true)) if self.is_spent(instance) => {
                    self.not_starting(instance);
                    self.forget(instance);
                    self.cover(function);
                }
                Some((_, true)) => self.start(instance),
                _ => self.forget(instance),
            }
        }
        self.watch_empty(host);
    }

    pub(crate) fn host_failed(&mut self, host: HostId, reason: &str) {
        match self.hosts.get(host) {
            Some(it) if it.phase == HostPhase::Starting => {}
            _ => return self.late(),
        }
        if self.machine.ahead.contains(&host) {
            let due = self.now + AHEAD_PAUSE;
            self.machine.ahead_due = Some(due);
            self.timers.set(Alarm::Ahead, &mut self.machine.ahead_slot, due);
        }
        self.lose(host, reason);
    }

    pub(crate) fn host_lost(&mut self, host: HostId) {
        if self.hosts.get(host).is_none() {
            return self.late();
        }
        self.lose(host, "the host is gone");
    }

    pub(crate) fn host_load(&mut self, host: HostId, load: HostLoad) {
        if !self.rooms.load(host, load) {
            self.late();
        }
    }

    /// Forgets a host and all that is on it; what was to start there starts elsewhere.
    fn lose(&mut self, host: HostId, reason: &str) {
        let Some(gone) = self.remove_host(host) else { return };
        let mut again = Vec::new();
        let mut uncovered = BTreeSet::new();
        for instance in gone.instances {
            if let Some(it) = self.instances.get(instance) {
                if matches!(it.state, State::Finishing(_) | State::Busy(..) | State::Serving(_)) {
                    uncovered.insert(it.function);
                }
                if matches!(it.state, State::Waiting | State::Starting) && self.is_current(it) {
                    again.push((it.function, it.attempts + 1));
                    uncovered.insert(it.function);
                    self.not_starting(instance);
                }
                self.bill(instance);
                self.unlist(instance);
                self.forget(instance);
            }
        }
        for (function, attempts) in again {
            if attempts >= HOST_ATTEMPTS {
                self.reject_oldest(function, Rejection::NoHost(reason.to_owned()));
            } else {
                self.start_one(function, attempts);
            }
        }
        for function in uncovered {
            self.cover(function);
        }
        self.serve_short();
    }

    /// Asks for a host.
    pub(crate) fn start_host(
        &mut self,
        owner: Option<Owner>,
        memory: MemoryMib,
        milli_cpus: u32,
    ) -> HostId {
        let state = Host {
            owner: None,
            phase: HostPhase::Starting,
            memory,
            milli_cpus,
            used: MemoryMib(0),
            stopping: MemoryMib(0),
            idle_memory: MemoryMib(0),
            instances: BTreeSet::new(),
            idle: 0,
            origin: self.now,
            tick: None,
            tick_slot: Slot::default(),
            empty: None,
            empty_slot: Slot::default(),
        };
        let host = self.hosts.push(state);
        if self.profile.placement.weighs_load() {
            self.rooms.weigh(host, (memory, milli_cpus));
        }
        self.machine.used_mib += u64::from(memory.0);
        self.counters.hosts_started += 1;
        match owner {
            Some(owner) => self.claim(host, owner),
            None => {
                self.machine.ahead.insert(host);
            }
        }
        let tenant = owner.and_then(tenant_of);
        self.act(Action::StartHost { host, tenant, memory, milli_cpus });
        host
    }

    /// Gives a host that nobody has used to its first owner.
    pub(crate) fn claim(&mut self, host: HostId, owner: Owner) {
        self.machine.ahead.remove(&host);
        let Some(it) = self.hosts.get_mut(host) else { return };
        it.owner = Some(owner);
        self.rooms.open(owner);
        self.rooms.insert(owner, it.free(), host);
        self.rooms.mark_empty(host);
    }

    /// Gives a host back that has no instances.
    pub(crate) fn stop_host(&mut self, host: HostId) {
        if self.remove_host(host).is_some() {
            self.counters.hosts_stopped += 1;
            self.act(Action::StopHost { host });
        }
    }

    /// Lets no new instance onto a host, and gives it back as soon as its idle and stopping instances are gone.
    pub(crate) fn condemn(&mut self, host: HostId) {
        let Some(it) = self.hosts.get_mut(host) else { return };
        if let Some(owner) = it.owner {
            self.rooms.remove(owner, it.free(), host);
        }
        it.phase = HostPhase::Leaving;
        if it.instances.is_empty() {
            return self.stop_host(host);
        }
        for (_, _, instance) in self.idle_on(host) {
            self.reclaim(instance, StopReason::Evicted);
        }
    }

    /// Takes memory on a host for an instance.
    pub(crate) fn join_host(&mut self, host: HostId, instance: InstanceId, memory: MemoryMib) {
        let Some(it) = self.hosts.get_mut(host) else { return };
        let before = it.free();
        it.used = it.used + memory;
        it.instances.insert(instance);
        let after = it.free();
        it.empty = None;
        if let Some(owner) = it.owner {
            self.rooms.remove(owner, before, host);
            self.rooms.insert(owner, after, host);
        }
        self.rooms.mark_used(host);
        self.rooms.add_start(host);
    }

    /// Gives the memory of an instance that is gone back to its host, where that is still there.
    pub(crate) fn leave_host(&mut self, host: HostId, instance: InstanceId, memory: MemoryMib) {
        let Some(it) = self.hosts.get_mut(host) else { return };
        let before = it.free();
        it.used = it.used - memory;
        it.instances.remove(&instance);
        let (after, empty) = (it.free(), it.instances.is_empty());
        if it.phase == HostPhase::Leaving {
            if empty {
                self.stop_host(host);
            }
            return;
        }
        if let Some(owner) = it.owner {
            self.rooms.remove(owner, before, host);
            self.rooms.insert(owner, after, host);
        }
        self.watch_empty(host);
    }

    /// A host has been empty for as long as the profile lets it.
    pub(crate) fn empty_due(&mut self, host: HostId, due: Time) {
        let Some(it) = self.hosts.get_mut(host) else { return };
        if !it.empty_slot.rings(due) {
            return;
        }
        let Some(empty) = it.empty else { return };
        if empty > due {
            return self.timers.set(Alarm::Empty(host), &mut it.empty_slot, empty);
        }
        self.stop_host(host);
        self.serve_short();
    }

    /// Keeps as many unused hosts as the profile says, while the machine has room for them.
    pub(crate) fn start_ahead(&mut self) {
        let (memory, milli_cpus) = (self.profile.hosts.memory, self.profile.hosts.milli_cpus);
        while self.machine.ahead_due.is_none()
            && self.machine.ahead.len() < self.profile.hosts.warm as usize
            && self.shortage_mib(memory) == 0
        {
            self.start_host(None, memory, milli_cpus);
        }
    }

    /// A host's keep-alive clock ticks.
    pub(crate) fn tick(&mut self, host: HostId, due: Time) {
        let Some(it) = self.hosts.get_mut(host) else { return };
        if !it.tick_slot.rings(due) {
            return;
        }
        it.tick = None;
        let policy = self.profile.keep_alive.policy();
        let mut going = Vec::new();
        for pool in self.idle_on(host).chunk_by(|one, other| one.0 == other.0) {
            let stay = policy.kept(pool.len());
            going.extend(pool[..pool.len() - stay].iter().map(|&(_, _, instance)| instance));
        }
        for instance in going {
            self.reclaim(instance, StopReason::Halving);
        }
        self.start_clock(host);
    }

    /// Sees to it that the next tick comes, where the policy has a clock and instances are idle.
    pub(crate) fn start_clock(&mut self, host: HostId) {
        let Some(interval) = self.profile.keep_alive.policy().interval() else { return };
        let Some(it) = self.hosts.get_mut(host) else { return };
        if it.tick.is_some() || it.idle == 0 {
            return;
        }
        let ticks = self.now.since(it.origin).as_nanos() / interval.as_nanos().max(1) + 1;
        let next = if self.now < it.origin { it.origin } else { it.origin + interval * ticks };
        it.tick = Some(next);
        self.timers.set(Alarm::Tick(host), &mut it.tick_slot, next);
    }

    /// The idle instances of a host that may go, by function, each function's least recently idle first.
    pub(crate) fn idle_on(&self, host: HostId) -> Vec<(FunctionId, u64, InstanceId)> {
        let Some(it) = self.hosts.get(host) else { return Vec::new() };
        let mut idle = Vec::with_capacity(it.idle);
        for &instance in &it.instances {
            if let Some(it) = self.instances.get(instance)
                && it.purpose == Purpose::OnDemand
                && let State::Idle(Idle { sequence, .. }) = it.state
            {
                idle.push((it.function, sequence, instance));
            }
        }
        idle.sort_unstable();
        idle
    }

    /// Marks a host that has no instances, and lets it wait for its end if it is ready and somebody's.
    fn watch_empty(&mut self, host: HostId) {
        let Some(it) = self.hosts.get_mut(host) else { return };
        if !it.instances.is_empty() || it.owner.is_none() {
            return;
        }
        self.rooms.mark_empty(host);
        if it.phase == HostPhase::Ready {
            let due = self.now + self.profile.hosts.idle;
            it.empty = Some(due);
            self.timers.set(Alarm::Empty(host), &mut it.empty_slot, due);
        }
    }

    /// Removes a host from every list.
    fn remove_host(&mut self, host: HostId) -> Option<Host> {
        let it = self.hosts.remove(host)?;
        self.machine.ahead.remove(&host);
        self.rooms.forget(host);
        self.machine.used_mib -= u64::from(it.memory.0);
        if let Some(owner) = it.owner {
            self.rooms.remove(owner, it.free(), host);
            self.rooms.close(owner);
        }
        self.rooms.mark_used(host);
        Some(it)
    }
}

fn tenant_of(owner: Owner) -> Option<TenantId> {
    match owner {
        Owner::Everyone => None,
        Owner::Tenant(tenant) | Owner::Role(tenant, _) | Owner::Function(tenant, _) => Some(tenant),
    }
}
