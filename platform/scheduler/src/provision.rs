//! Provisioned concurrency: instances that are started before anybody asks, and kept.
//!
//! They are there for one function and go for nobody else: neither keep-alive nor memory that others need ends them, and
//! one that is gone is replaced. Deliberately knows nothing of versions and aliases: a driver says which function is to
//! have how many.

use crate::StopReason;
use crate::capacity::{Make, Room};
use crate::chain::Chain;
use crate::instance::Instance;
use crate::scheduler::Scheduler;
use crate::timers::{Alarm, Slot};
use model::{FunctionId, InstanceId, MemoryMib, Span, Time};
use serde::{Deserialize, Serialize};

/// How long nothing is started for a function after one failure; twice as long after each further one in a row.
const PAUSE: Span = Span::from_secs(1);

/// How often that is doubled: up to 64 s.
const DOUBLINGS: u32 = 6;

/// An instance that dies so soon after it became idle counts as a failed start, lest it is replaced over and over.
const INFANCY: Span = Span::from_secs(1);

/// For whom an instance is started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// For invocations that come, as long as keep-alive keeps it.
    #[default]
    OnDemand,
    /// As provisioned concurrency of its function.
    Provisioned,
}

/// How far a function's provisioned concurrency is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provisioned {
    /// Instances that are to be there.
    pub requested: u32,
    /// Instances that have a place on a host, those that are still starting included.
    pub allocated: u32,
    /// Instances that are ready, those that run an invocation included.
    pub available: u32,
    /// Whether all are.
    pub status: ProvisionStatus,
}

/// Whether provisioned instances are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProvisionStatus {
    /// All are ready.
    Ready,
    /// Some are being started, or wait for room.
    InProgress,
    /// Some could not be started; why. It is tried again.
    Failed(String),
}

/// What a function is to have ready, and has.
#[derive(Debug, Default)]
pub(crate) struct Provision {
    pub(crate) requested: u32,
    /// Instances of the present revision, stopping ones not included.
    pub(crate) have: u32,
    /// Of these, those that are not ready yet.
    pub(crate) starting: u32,
    /// Of these, the idle ones, the most recently idle last.
    pub(crate) idle: Chain,
    /// Failures in a row.
    failures: u32,
    /// Why nothing is started during the pause.
    failure: Option<String>,
    /// Until when nothing is started, after a failure.
    pause: Option<Time>,
    slot: Slot,
}

impl Scheduler {
    /// How far the provisioned concurrency of a function is; None where it has none.
    pub fn provisioned(&self, function: FunctionId) -> Option<Provisioned> {
        let it = self.functions.get(function)?.details.provision.as_ref()?;
        let (requested, allocated) = (it.requested, it.have.min(it.requested));
        let available = (it.have - it.starting).min(requested);
        let status = match &it.failure {
            _ if available >= requested => ProvisionStatus::Ready,
            Some(reason) => ProvisionStatus::Failed(reason.clone()),
            None => ProvisionStatus::InProgress,
        };
        (requested > 0).then_some(Provisioned { requested, allocated, available, status })
    }

    /// A function is to have so many instances ready from now on.
    pub(crate) fn provisioned_changed(&mut self, function: FunctionId, count: u32) {
        let Some(state) = self.functions.get_mut(function) else { return self.late() };
        let it = state.details.provision.get_or_insert_default();
        it.requested = count;
        (it.failures, it.failure, it.pause) = (0, None, None);
        state.has_provision = true;
        self.claim_provisioned(function);
        while let Some(it) = self.provision(function)
            && it.have > it.requested
            && let Some(instance) = it.idle.oldest()
        {
            self.reclaim(instance, StopReason::Unprovisioned);
        }
        self.machine.owing.insert(function);
    }

    /// Starts what functions are to have ready and have not. With nearly every event that is nothing: to see that, no other
    /// function is called.
    #[inline]
    pub(crate) fn keep_promises(&mut self) {
        if !self.machine.owing.is_empty() {
            self.provision_owing();
        }
    }

    #[cold]
    fn provision_owing(&mut self) {
        while let Some(function) = self.machine.owing.pop_first() {
            while self.provision_one(function) {}
            self.end_provision(function);
        }
    }

    /// An idle instance that was provisioned for the function.
    pub(crate) fn provisioned_idle(&self, function: FunctionId) -> Option<InstanceId> {
        self.provision(function)?.idle.youngest()
    }

    /// All idle instances that were provisioned for the function, the least recently idle first.
    pub(crate) fn all_provisioned_idle(&self, function: FunctionId) -> Vec<InstanceId> {
        let idle = self.provision(function).map(|it| it.idle).unwrap_or_default();
        idle.iter(&self.instances).map(|(it, _)| it).collect()
    }

    /// Whether the instance is provisioned, and one more than are to be there.
    pub(crate) fn is_surplus(&self, it: &Instance) -> bool {
        it.purpose == Purpose::Provisioned
            && self.provision(it.function).is_none_or(|own| own.have > own.requested)
    }

    /// An instance that was to be ready could not start, or died at once: there is a pause before the next one.
    pub(crate) fn provision_failed(&mut self, function: FunctionId, reason: String) {
        let now = self.now;
        let Some(state) = self.functions.get_mut(function) else { return };
        let Some(it) = state.details.provision.as_mut() else { return };
        let due = now + PAUSE * (1 << it.failures.min(DOUBLINGS));
        it.failures += 1;
        (it.failure, it.pause) = (Some(reason), Some(due));
        self.timers.set(Alarm::Provision(function), &mut it.slot, due);
    }

    /// The pause after a failure may be over.
    pub(crate) fn provision_due(&mut self, function: FunctionId, due: Time) {
        let Some(state) = self.functions.get_mut(function) else { return };
        let Some(it) = state.details.provision.as_mut() else { return };
        if !it.slot.rings(due) {
            return;
        }
        match it.pause {
            Some(pause) if pause > due => {
                self.timers.set(Alarm::Provision(function), &mut it.slot, pause);
            }
            _ => {
                (it.pause, it.failure) = (None, None);
                self.machine.owing.insert(function);
            }
        }
    }

    /// A provisioned instance is ready.
    pub(crate) fn provision_started(&mut self, instance: InstanceId) {
        let Some(function) = self.provisioned_for(instance) else { return };
        if let Some(it) = self.provision_mut(function)
            && it.pause.is_none()
        {
            it.failures = 0;
        }
    }

    /// A provisioned instance could not start; why.
    pub(crate) fn provision_start_failed(&mut self, instance: InstanceId, reason: &str) {
        if let Some(function) = self.provisioned_for(instance) {
            self.provision_failed(function, reason.to_owned());
        }
    }

    /// An idle instance died: one that was provisioned, and has only just become idle, is not replaced at once.
    pub(crate) fn provision_died(&mut self, instance: InstanceId) {
        let Some(since) = self.instances.get(instance).map(|it| it.since) else { return };
        if self.now < since + INFANCY {
            self.provision_start_failed(instance, "an instance died as soon as it was ready");
        }
    }

    /// Counts an instance of the present revision among those that are provisioned and not ready yet, or out of them.
    pub(crate) fn count_provision_start(&mut self, function: FunctionId, more: i32) {
        if let Some(it) = self.provision_mut(function) {
            it.starting = it.starting.saturating_add_signed(more);
        }
    }

    /// Counts a provisioned instance of the present revision that has a place from now on.
    pub(crate) fn count_provision_in(&mut self, function: FunctionId) {
        if let Some(it) = self.provision_mut(function) {
            it.have += 1;
        }
    }

    /// Counts a provisioned instance of the present revision that stops or is gone. It is replaced.
    pub(crate) fn count_provision_out(&mut self, function: FunctionId) {
        if let Some(it) = self.provision_mut(function) {
            it.have -= 1;
            self.machine.owing.insert(function);
        }
    }

    /// None of a function's instances is of its present revision any more: all that are to be ready start again.
    pub(crate) fn provision_outdated(&mut self, function: FunctionId) {
        if let Some(it) = self.provision_mut(function) {
            (it.have, it.starting) = (0, 0);
            (it.failures, it.failure, it.pause) = (0, None, None);
            self.machine.owing.insert(function);
        }
    }

    /// Starts one instance if one is missing and can be started. Returns whether another one may be missing.
    fn provision_one(&mut self, function: FunctionId) -> bool {
        let Some(state) = self.functions.get(function) else { return false };
        let Some(it) = state.details.provision.as_ref() else { return false };
        if it.have >= it.requested || it.pause.is_some() {
            return false;
        }
        let most = self.profile.scaling.max_instances;
        if most.is_some_and(|most| state.live >= most) {
            let reason = "scaling.max_instances allows no other instance of the function";
            self.provision_failed(function, reason.to_owned());
            return false;
        }
        let owners = self.profile.owners(&state.details.settings);
        let memory = state.details.settings.memory.max(MemoryMib(1));
        self.make_room(memory);
        match self.find_room(owners, memory) {
            Room::Here(host) => self.place(function, host, 0, Make::Provisioned),
            Room::Later => {
                self.stand_in_line(function);
                return false;
            }
            Room::Nowhere(reason) => {
                self.provision_failed(function, reason);
                return false;
            }
        }
        true
    }

    /// Forgets the provision of a function that is to have none and has none.
    fn end_provision(&mut self, function: FunctionId) {
        let Some(state) = self.functions.get_mut(function) else { return };
        if state.details.provision.as_ref().is_some_and(|it| it.requested == 0 && it.have == 0) {
            state.details.provision = None;
            state.has_provision = false;
        }
    }

    /// The function that an instance is provisioned for, where the instance is of its present revision.
    fn provisioned_for(&self, instance: InstanceId) -> Option<FunctionId> {
        let it = self.instances.get(instance)?;
        (it.purpose == Purpose::Provisioned && self.is_current(it)).then_some(it.function)
    }

    fn provision(&self, function: FunctionId) -> Option<&Provision> {
        self.functions.get(function)?.details.provision.as_deref()
    }

    fn provision_mut(&mut self, function: FunctionId) -> Option<&mut Provision> {
        self.functions.get_mut(function)?.details.provision.as_deref_mut()
    }
}
