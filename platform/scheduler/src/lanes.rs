//! Instances that take more than one request at once: what each of them runs, and which have room for more.
//!
//! Where the profile says one at a time, nothing here is ever touched. Deliberately knows nothing of how requests share
//! what an instance has.

use crate::instance::{Age, State, Warmth};
use crate::scheduler::Scheduler;
use crate::timers::Alarm;
use crate::{Action, StopReason};
use model::{FunctionId, InstanceId, InvocationId, Time};

/// What one instance runs.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    lanes: Vec<Lane>,
    /// A request ran into its deadline here: the instance takes no more, and goes when the others have ended.
    drains: bool,
}

/// A request that an instance runs, and the place that it takes until the runtime asks for the next one.
#[derive(Clone, Copy, Debug)]
struct Lane {
    invocation: InvocationId,
    warmth: Warmth,
    since: Time,
    end: Time,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// It was answered, and the runtime has not asked for the next one.
    Finishing,
}

/// Whether an instance that runs requests is on the list of those with room for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Listed,
    Unlisted,
}

impl Lanes {
    /// Requests that run, those that were answered not counted.
    pub(crate) fn running(&self) -> u32 {
        self.lanes.iter().filter(|lane| lane.phase == Phase::Running).count() as u32
    }
}

impl Scheduler {
    /// Whether instances take more than one request at once.
    pub(crate) fn serves_several(&self) -> bool {
        self.profile.scaling.requests_per_instance > 1
    }

    /// The instance of a function that last took a request and has room for another one.
    pub(crate) fn with_room(&self, function: FunctionId) -> Option<InstanceId> {
        match self.serves_several() {
            true => self.functions.get(function)?.details.open.youngest(),
            false => None,
        }
    }

    /// Puts a request on an instance that is off all lists.
    pub(crate) fn enter_lane(
        &mut self,
        instance: InstanceId,
        invocation: InvocationId,
        (warmth, end): (Warmth, Time),
    ) {
        let now = self.now;
        let Some(it) = self.instances.get_mut(instance) else { return };
        if !matches!(it.state, State::Serving(_)) {
            (it.state, it.since) = (State::Serving(Room::Unlisted), now);
        }
        let lane = Lane { invocation, warmth, since: now, end, phase: Phase::Running };
        self.lanes.entry(instance).or_default().lanes.push(lane);
        self.relist(instance);
    }

    /// Hands what waits to an instance until that has no more room, and starts others for what is left.
    pub(crate) fn fill(&mut self, function: FunctionId, instance: InstanceId) {
        if !self.serves_several() {
            return;
        }
        while self.has_room(instance)
            && self.dispatch_oldest(function, instance, Warmth::Warm).is_some()
        {}
        self.cover(function);
    }

    /// A request was answered. It keeps its place until the runtime asks for the next one.
    pub(crate) fn lane_finished(&mut self, instance: InstanceId, invocation: InvocationId) {
        let lanes = self.lanes.get_mut(&instance).into_iter().flat_map(|it| &mut it.lanes);
        let runs = |lane: &&mut Lane| lane.invocation == invocation && lane.phase == Phase::Running;
        let Some(lane) = lanes.into_iter().find(runs) else { return self.late() };
        lane.phase = Phase::Finishing;
        let (warmth, since) = (lane.warmth, lane.since);
        self.bill_run(instance, invocation, (warmth, since));
    }

    /// The runtime asks for a request in the place of one that was answered.
    pub(crate) fn lane_idle(&mut self, instance: InstanceId) {
        let Some(it) = self.lanes.get_mut(&instance) else { return self.late() };
        let finishing = it.lanes.iter().position(|lane| lane.phase == Phase::Finishing);
        let Some(index) = finishing else { return self.late() };
        it.lanes.remove(index);
        self.go_on(instance);
    }

    /// A request on an instance may be over its deadline, or the instance beyond its lifetime.
    pub(crate) fn lanes_due(&mut self, instance: InstanceId) {
        let now = self.now;
        let Some(it) = self.lanes.get_mut(&instance) else { return };
        let over: Vec<Lane> = it.lanes.extract_if(.., |lane| lane.end <= now).collect();
        it.drains |= !over.is_empty();
        for lane in over.into_iter().filter(|lane| lane.phase == Phase::Running) {
            let (invocation, timeout) = (lane.invocation, lane.end.since(lane.since));
            self.counters.expired += 1;
            self.act(Action::Expire { invocation, instance, timeout });
            self.bill_run(instance, invocation, (lane.warmth, lane.since));
        }
        self.go_on(instance);
    }

    /// Bills all that runs on an instance that ends.
    pub(crate) fn bill_lanes(&mut self, instance: InstanceId) {
        let Some(it) = self.lanes.remove(&instance) else { return };
        for lane in it.lanes.into_iter().filter(|lane| lane.phase == Phase::Running) {
            self.bill_run(instance, lane.invocation, (lane.warmth, lane.since));
        }
    }

    /// A place on an instance is free: it goes to what waits, or the instance has room, is idle, or ends.
    fn go_on(&mut self, instance: InstanceId) {
        let Some(lanes) = self.lanes.get(&instance) else { return };
        let (empty, drains) = (lanes.lanes.is_empty(), lanes.drains);
        let Some(function) = self.instances.get(instance).map(|it| it.function) else { return };
        if !empty {
            self.relist(instance);
            return self.fill(function, instance);
        }
        self.unlist(instance);
        self.lanes.remove(&instance);
        match drains {
            true => self.give_up(instance, StopReason::Expired),
            false => self.settle(instance, Warmth::Warm),
        }
    }

    fn has_room(&self, instance: InstanceId) -> bool {
        let Some(it) = self.instances.get(instance) else { return false };
        let most = self.profile.scaling.requests_per_instance as usize;
        let free = self.lanes.get(&instance).is_some_and(|it| it.lanes.len() < most && !it.drains);
        free && it.age == Age::Present && it.dies > self.now && self.is_current(it)
    }

    /// Lists an instance that runs requests where it has room, and sees to it that its alarm rings in time.
    fn relist(&mut self, instance: InstanceId) {
        self.unlist(instance);
        let has_room = self.has_room(instance);
        let ends = self.lanes.get(&instance).into_iter().flat_map(|it| &it.lanes);
        let first = ends.map(|lane| lane.end).min().unwrap_or(Time::MAX);
        let Some(it) = self.instances.get_mut(instance) else { return };
        it.end = if has_room { first.min(it.dies) } else { first };
        self.timers.set(Alarm::Instance(instance), &mut it.slot, it.end);
        if has_room {
            it.state = State::Serving(Room::Listed);
            if let Some(state) = self.functions.get_mut(it.function) {
                state.details.open.push(&mut self.instances, instance);
            }
        }
    }
}
