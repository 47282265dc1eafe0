//! The state of one region, and the doors through which drivers see it.

use crate::concurrency::Concurrency;
use crate::counters::Counters;
use crate::function::Function;
use crate::host::Host;
use crate::instance::Instance;
use crate::invocation::Place;
use crate::lanes::Lanes;
use crate::rooms::Rooms;
use crate::roster::Roster;
use crate::table::Table;
use crate::timers::{Alarm, Slot, Timers};
use crate::{Action, Event, Profile};
use model::{FunctionId, HostId, InstanceId, InvocationId, MemoryMib, Time};
use rand::SeedableRng;
use rand_pcg::Pcg64;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The scheduling state of one region. Holds no clock, no socket, no thread.
pub struct Scheduler {
    pub(crate) profile: Profile,
    pub(crate) random: Pcg64,
    /// Where lots come from.
    pub(crate) seed: u64,
    pub(crate) now: Time,
    pub(crate) timers: Timers,
    pub(crate) functions: Roster<Function>,
    pub(crate) concurrency: Concurrency,
    /// Where the invocations that wait are.
    pub(crate) queued: BTreeMap<InvocationId, Place>,
    pub(crate) instances: Table<InstanceId, Instance>,
    /// What instances run that take more than one request at once.
    pub(crate) lanes: BTreeMap<InstanceId, Lanes>,
    pub(crate) hosts: Table<HostId, Host>,
    pub(crate) rooms: Rooms,
    pub(crate) machine: Machine,
    pub(crate) counters: Counters,
    actions: VecDeque<Action>,
    pub(crate) last_sequence: u64,
}

/// What the whole machine has, and who waits for it.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    /// Memory of all hosts, in MiB.
    pub(crate) used_mib: u64,
    /// Memory of all instances but those that are stopping, in MiB.
    pub(crate) live_mib: u64,
    /// Idle instances, the least recently idle first, where keep-alive must know.
    pub(crate) idle: BTreeSet<(u64, InstanceId)>,
    /// Really free memory, where the driver says it.
    pub(crate) free: Option<MemoryMib>,
    /// Hosts started ahead that nobody has used yet.
    pub(crate) ahead: BTreeSet<HostId>,
    /// When hosts are started ahead again, after one failed.
    pub(crate) ahead_due: Option<Time>,
    pub(crate) ahead_slot: Slot,
    /// Functions that may have fewer instances ready than they are to have.
    pub(crate) owing: BTreeSet<FunctionId>,
    /// Functions whose invocations wait until an instance somewhere is reclaimed.
    pub(crate) short: VecDeque<FunctionId>,
}

impl Scheduler {
    /// A region without functions or hosts. Every random number comes from `seed`.
    pub fn new(profile: Profile, seed: u64) -> Self {
        let mut timers = Timers::default();
        let mut machine = Machine::default();
        if profile.hosts.warm > 0 {
            machine.ahead_due = Some(Time::ZERO);
            timers.set(Alarm::Ahead, &mut machine.ahead_slot, Time::ZERO);
        }
        Self {
            profile,
            random: Pcg64::seed_from_u64(seed),
            seed,
            now: Time::ZERO,
            timers,
            functions: Roster::new(),
            concurrency: Concurrency::default(),
            queued: BTreeMap::new(),
            instances: Table::new(),
            lanes: BTreeMap::new(),
            hosts: Table::new(),
            rooms: Rooms::default(),
            machine,
            counters: Counters::default(),
            actions: VecDeque::new(),
            last_sequence: 0,
        }
    }

    /// Takes in one event. Drain [`Self::poll_action`] before the next one.
    ///
    /// Timers due at or before `now` fire first, each at its own time, so a late driver and a punctual one agree. A
    /// `now` before that of the event before counts as that one.
    ///
    /// Panics: if actions are left, which is a broken driver.
    pub fn handle(&mut self, now: Time, event: Event) {
        assert!(self.actions.is_empty(), "drain poll_action before the next event");
        let now = now.max(self.now);
        while let Some((due, alarm)) = self.timers.pop(now) {
            self.now = due.max(self.now);
            self.ring(alarm, due);
            self.keep_promises();
            self.start_ahead();
        }
        self.now = now;
        self.counters.events += 1;
        match event {
            Event::Deployed { function, epoch, settings } => self.deploy(function, epoch, settings),
            Event::ConfigChanged { function, epoch, settings } => {
                self.change(function, epoch, settings);
            }
            Event::LimitsChanged { tenant, group, reserved_concurrency } => {
                self.limits_changed((tenant, group), reserved_concurrency);
            }
            Event::ProvisionedChanged { function, count } => {
                self.provisioned_changed(function, count);
            }
            Event::Removed { function } => self.remove(function),
            Event::HostReady { host } => self.host_ready(host),
            Event::HostFailed { host, reason } => self.host_failed(host, &reason),
            Event::HostLost { host } => self.host_lost(host),
            Event::Invoked { invocation, function } => self.invoke(invocation, function),
            Event::Cancelled { invocation } => self.cancel(invocation),
            Event::Started { instance } => self.started(instance),
            Event::StartFailed { instance, reason } => self.start_failed(instance, reason),
            Event::Finished { instance, invocation } => self.finished(instance, invocation),
            Event::Idle { instance } => self.idle(instance),
            Event::Rested { instance } => self.rested(instance),
            Event::Died { instance } => self.died(instance),
            Event::Reclaimed { instance } => self.reclaimed(instance),
            Event::MemoryFree { free } => self.memory_free(free),
            Event::HostLoad { host, load } => self.host_load(host, load),
            Event::Timeout => {}
        }
        self.keep_promises();
        self.start_ahead();
    }

    /// What to do next, oldest first.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to come back, with [`Event::Timeout`] if nothing else has happened by then.
    pub fn next_timeout(&self) -> Option<Time> {
        self.timers.first()
    }

    /// The profile that it was made with.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Sums of what has happened.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    /// Ignores an event that comes too late, or is about nothing.
    pub(crate) fn late(&mut self) {
        self.counters.late_events += 1;
    }

    /// A number that grows: for the order of things that happen at one moment.
    pub(crate) fn sequence(&mut self) -> u64 {
        self.last_sequence += 1;
        self.last_sequence
    }

    fn ring(&mut self, alarm: Alarm, due: Time) {
        match alarm {
            Alarm::Instance(instance) => self.instance_due(instance, due),
            Alarm::Queue(function) => self.queue_due(function, due),
            Alarm::Grace(function) => self.grace_due(function, due),
            Alarm::Tick(host) => self.tick(host, due),
            Alarm::Empty(host) => self.empty_due(host, due),
            Alarm::Expected(function) => self.expected(function, due),
            Alarm::Provision(function) => self.provision_due(function, due),
            Alarm::Ahead => {
                if self.machine.ahead_slot.rings(due) {
                    self.machine.ahead_due = None;
                }
            }
        }
    }
}
