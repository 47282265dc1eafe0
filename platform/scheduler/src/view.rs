//! What the scheduler holds, for gauges, tests and whoever asks. Nothing here changes anything.

use crate::function::{Function, GRACE};
use crate::instance::{Idle, Rest, State};
use crate::lanes::Lanes;
use crate::rooms::Owner;
use crate::scheduler::Scheduler;
use crate::{Epoch, Purpose};
use model::{FunctionId, HostId, InstanceId, InvocationId, MemoryMib};

/// One host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostView {
    /// Host.
    pub host: HostId,
    /// Who may be on it; None while it is started ahead and unused.
    pub owner: Option<Owner>,
    /// Where it is in its life.
    pub phase: HostPhase,
    /// Memory that its instances may add up to.
    pub memory: MemoryMib,
    /// Memory that its instances add up to, stopping ones included.
    pub used: MemoryMib,
    /// CPUs, in thousandths.
    pub milli_cpus: u32,
    /// Instances on it, stopping ones included.
    pub instances: usize,
    /// Idle ones among them that may go to make room: provisioned ones do not.
    pub idle: usize,
}

/// Where a host is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostPhase {
    /// Asked for.
    Starting,
    /// Ready.
    Ready,
    /// It takes no new instances, and is given back when its last one is reclaimed.
    Leaving,
}

/// One function instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstanceView {
    /// Instance.
    pub instance: InstanceId,
    /// Where it is.
    pub host: HostId,
    /// What it runs.
    pub function: FunctionId,
    /// In which state.
    pub epoch: Epoch,
    /// Its memory.
    pub memory: MemoryMib,
    /// For whom it was started.
    pub purpose: Purpose,
    /// What it is doing.
    pub phase: InstancePhase,
}

/// What an instance is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstancePhase {
    /// Its host is being made; its start was not asked for yet.
    Waiting,
    /// Its start was asked for.
    Starting,
    /// It runs this invocation.
    Busy(InvocationId),
    /// It takes more than one request at once, and runs so many.
    Serving(u32),
    /// It has answered, and is not idle yet.
    Finishing,
    /// It may be reused at once.
    Idle,
    /// It may be reused, and is frozen.
    Resting,
    /// Its reclaim was asked for.
    Stopping,
}

/// One function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionView {
    /// Function.
    pub function: FunctionId,
    /// Its present state.
    pub epoch: Epoch,
    /// Invocations accepted and not ended, waiting ones included.
    pub in_flight: u32,
    /// Invocations that wait for an instance.
    pub queued: usize,
    /// Idle instances, provisioned ones included.
    pub idle: usize,
    /// Instances that run requests and have room for more.
    pub with_room: usize,
    /// Instances of its present state whose start was asked for, or waits for a host.
    pub starting: u32,
    /// Instances of its present state, those that are stopping not included.
    pub live: u32,
    /// Instances that have answered just now, and on which what waits can count for a moment.
    pub coming: usize,
    /// Whether it is in line until an instance somewhere is reclaimed, since no host has room.
    pub waits_for_room: bool,
}

impl Scheduler {
    /// Has the cache fetch what invocations of these functions will touch, and what the ends of what these instances run
    /// will. A driver that knows what comes next calls it ahead of time.
    ///
    /// It goes from kind to kind, not from invocation to invocation: an instance is only known once its function is there,
    /// which by then it is.
    pub fn fetch(&self, comes: &[FunctionId], ends: &[InstanceId]) {
        comes.iter().for_each(|&function| self.functions.fetch(function));
        ends.iter().for_each(|&instance| self.instances.fetch(instance));
        let idle =
            comes.iter().filter_map(|&function| self.functions.get(function)?.idle.youngest());
        let instances: Vec<InstanceId> = idle.collect();
        instances.iter().for_each(|&instance| self.instances.fetch(instance));
        for it in ends.iter().filter_map(|&instance| self.instances.get(instance)) {
            self.functions.fetch(it.function);
            self.hosts.fetch(it.host);
        }
        for it in instances.iter().filter_map(|&instance| self.instances.get(instance)) {
            self.hosts.fetch(it.host);
        }
    }

    /// Every host, oldest first.
    pub fn hosts(&self) -> impl Iterator<Item = HostView> + '_ {
        self.hosts.iter().map(|(host, it)| HostView {
            host,
            owner: it.owner,
            phase: it.phase,
            memory: it.memory,
            used: it.used,
            milli_cpus: it.milli_cpus,
            instances: it.instances.len(),
            idle: it.idle,
        })
    }

    /// Every instance, oldest first.
    pub fn instances(&self) -> impl Iterator<Item = InstanceView> + '_ {
        self.instances.iter().map(|(instance, it)| InstanceView {
            instance,
            host: it.host,
            function: it.function,
            epoch: it.epoch,
            memory: it.memory,
            purpose: it.purpose,
            phase: self.phase(instance, &it.state),
        })
    }

    fn coming(&self, function: &Function) -> usize {
        let coming = function.coming.iter(&self.instances);
        coming.filter(|(_, it)| it.since + GRACE > self.now).count()
    }

    /// Every function, by number.
    pub fn functions(&self) -> impl Iterator<Item = FunctionView> + '_ {
        self.functions.iter().map(|(function, it)| FunctionView {
            function,
            epoch: it.details.epoch,
            in_flight: it.in_flight,
            queued: it.queued(),
            idle: it.idle.len() + it.provisioned_idle(),
            with_room: it.details.open.len(),
            starting: it.starting,
            live: it.live,
            coming: self.coming(it),
            waits_for_room: it.details.short,
        })
    }

    fn phase(&self, instance: InstanceId, state: &State) -> InstancePhase {
        match state {
            State::Waiting => InstancePhase::Waiting,
            State::Starting => InstancePhase::Starting,
            State::Busy(invocation, _) => InstancePhase::Busy(*invocation),
            State::Serving(_) => {
                InstancePhase::Serving(self.lanes.get(&instance).map_or(0, Lanes::running))
            }
            State::Finishing(_) => InstancePhase::Finishing,
            State::Idle(Idle { rest: Rest::Resting, .. }) => InstancePhase::Resting,
            State::Idle(_) => InstancePhase::Idle,
            State::Stopping => InstancePhase::Stopping,
        }
    }
}
