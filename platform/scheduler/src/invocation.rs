//! Invocations: from the request to its one outcome.
//!
//! Deliberately knows nothing of payloads, or of who asked.

use crate::function::Waiting;
use crate::instance::{Age, Hope, State, Warmth};
use crate::scheduler::Scheduler;
use crate::timers::Alarm;
use crate::{Action, Rejection};
use model::{FunctionId, InstanceId, InvocationId, Time};

/// Where an invocation waits: in the queue of a function, under this number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    function: FunctionId,
    sequence: u64,
}

impl Scheduler {
    pub(crate) fn invoke(&mut self, invocation: InvocationId, function: FunctionId) {
        self.counters.invoked += 1;
        if let Err(reason) = self.count_in(function) {
            return self.reject(invocation, reason);
        }
        let Some(state) = self.functions.get_mut(function) else { return };
        let idle = state.idle.youngest();
        let idle = match state.has_provision {
            true => self.provisioned_idle(function).or(idle),
            false => idle,
        };
        self.last_sequence += 1;
        let idle = self.with_room(function).or(idle);
        if let Some(policy) = self.learning() {
            self.note_return(policy, function);
        }
        if let Some(instance) = self.outdated(function) {
            self.dispatch(instance, invocation, Warmth::Warm);
            // Others may wait, and with one more in flight one more may be started.
            return self.cover(function);
        }
        if let Some(instance) = idle {
            return self.dispatch(instance, invocation, Warmth::Warm);
        }
        let Some(state) = self.functions.get_mut(function) else { return };
        let sequence = self.last_sequence;
        state.enqueue(sequence, Waiting { invocation, since: self.now });
        self.queued.insert(invocation, Place { function, sequence });
        self.watch_queue(function);
        self.cover(function);
    }

    pub(crate) fn cancel(&mut self, invocation: InvocationId) {
        let Some(&Place { function, sequence }) = self.queued.get(&invocation) else {
            return self.late();
        };
        self.counters.cancelled += 1;
        self.unqueue(function, sequence);
        self.end(invocation, function);
    }

    pub(crate) fn finished(&mut self, instance: InstanceId, invocation: InvocationId) {
        match self.instances.get(instance).map(|it| it.state) {
            Some(State::Busy(runs, _)) if runs == invocation => {}
            Some(State::Serving(_)) => return self.lane_finished(instance, invocation),
            _ => return self.late(),
        }
        self.bill(instance);
        let Some(it) = self.instances.get_mut(instance) else { return };
        // The deadline stays: what runs after the response is held to it as well.
        it.state = State::Finishing(Hope::Gone);
        it.since = self.now;
        let function = it.function;
        if let Some(state) = self.functions.get_mut(function)
            && state.revision == it.revision
            && it.age == Age::Present
        {
            it.state = State::Finishing(Hope::Coming);
            state.coming.push(&mut self.instances, instance);
            if state.queue.is_some() {
                self.watch_grace(function);
            }
        }
    }

    /// Hands an invocation to an instance that can take it.
    pub(crate) fn dispatch(
        &mut self,
        instance: InstanceId,
        invocation: InvocationId,
        warmth: Warmth,
    ) {
        self.unlist(instance);
        let Some(it) = self.instances.get_mut(instance) else { return };
        let Some(state) = self.functions.get(it.function) else { return };
        let current = it.revision == state.revision;
        assert!(current || state.details.past.is_some(), "only current instances are listed");
        if it.age == Age::Past {
            it.age = Age::Spent;
        }
        let (epoch, end) = (it.epoch, self.now + state.timeout);
        if self.profile.scaling.requests_per_instance > 1 {
            self.enter_lane(instance, invocation, (warmth, end));
        } else {
            it.state = State::Busy(invocation, warmth);
            it.since = self.now;
            it.end = end;
            self.timers.set(Alarm::Instance(instance), &mut it.slot, end);
        }
        match warmth {
            Warmth::Cold => self.counters.cold_starts += 1,
            Warmth::Warm => self.counters.warm_starts += 1,
        }
        let cold = warmth == Warmth::Cold;
        self.act(Action::Dispatch { instance, invocation, epoch, cold });
    }

    /// Hands the oldest waiting invocation of its function to the instance, if there is one.
    pub(crate) fn dispatch_oldest(
        &mut self,
        function: FunctionId,
        instance: InstanceId,
        warmth: Warmth,
    ) -> Option<InvocationId> {
        let (sequence, waiting) = self.functions.get(function)?.first_waiting()?;
        let invocation = waiting.invocation;
        self.unqueue(function, sequence);
        self.dispatch(instance, invocation, warmth);
        Some(invocation)
    }

    /// Ends what runs on the instance: bills it and forgets it.
    pub(crate) fn bill(&mut self, instance: InstanceId) {
        let Some(it) = self.instances.get(instance) else { return };
        match it.state {
            State::Busy(invocation, warmth) => {
                self.bill_run(instance, invocation, (warmth, it.since));
            }
            State::Serving(_) => self.bill_lanes(instance),
            _ => {}
        }
    }

    /// Ends an invocation that has run on the instance since then.
    pub(crate) fn bill_run(
        &mut self,
        instance: InstanceId,
        invocation: InvocationId,
        (warmth, since): (Warmth, Time),
    ) {
        let Some(it) = self.instances.get(instance) else { return };
        let (function, revision, memory) = (it.function, it.revision, it.memory);
        let duration = self.now.since(since);
        let init = (warmth == Warmth::Cold).then_some(it.init);
        let billed = self.profile.billing.billed(duration, init);
        self.count_out(function, revision);
        if self.learning().is_some() {
            self.note_quiet(function);
        }
        self.act(Action::Bill { invocation, function, duration, init, billed, memory });
    }

    /// Rejects an invocation that was never counted.
    fn reject(&mut self, invocation: InvocationId, reason: Rejection) {
        self.counters.rejected += 1;
        self.act(Action::Reject { invocation, reason });
    }

    /// Rejects an invocation that waits.
    pub(crate) fn reject_queued(&mut self, function: FunctionId, sequence: u64, reason: Rejection) {
        if let Some(invocation) = self.unqueue(function, sequence) {
            self.end(invocation, function);
            self.reject(invocation, reason);
        }
    }

    /// Rejects the oldest invocation that waits, if one waits for which nothing is being started.
    pub(crate) fn reject_oldest(&mut self, function: FunctionId, reason: Rejection) {
        self.lose_patience(function);
        let Some(state) = self.functions.get(function) else { return };
        if state.lacks_starts(self.profile.scaling.requests_per_instance)
            && let Some((sequence, _)) = state.first_waiting()
        {
            self.reject_queued(function, sequence, reason);
        }
    }

    /// Rejects the youngest invocation that waits: the older ones can have the instances that are being started.
    pub(crate) fn reject_youngest(&mut self, function: FunctionId, reason: Rejection) {
        let Some(state) = self.functions.get(function) else { return };
        if let Some((sequence, _)) = state.last_waiting() {
            self.reject_queued(function, sequence, reason);
        }
    }

    /// The oldest invocation of a queue may have waited for too long.
    pub(crate) fn queue_due(&mut self, function: FunctionId, due: Time) {
        let Some(state) = self.functions.get_mut(function) else { return };
        if !state.details.queue_slot.rings(due) {
            return;
        }
        let wait = self.profile.limits.queue_wait;
        while let Some(state) = self.functions.get(function)
            && let Some((sequence, oldest)) = state.first_waiting()
            && oldest.since + wait <= self.now
        {
            self.reject_queued(function, sequence, Rejection::Queue);
        }
        self.watch_queue(function);
    }

    fn end(&mut self, invocation: InvocationId, function: FunctionId) {
        self.queued.remove(&invocation);
        self.count_out(function, u64::MAX);
    }

    fn unqueue(&mut self, function: FunctionId, sequence: u64) -> Option<InvocationId> {
        let waiting = self.functions.get_mut(function)?.dequeue(sequence)?;
        self.queued.remove(&waiting.invocation);
        Some(waiting.invocation)
    }

    /// Sees to it that the alarm of a queue rings when its oldest invocation has waited for too long.
    fn watch_queue(&mut self, function: FunctionId) {
        let Some(state) = self.functions.get_mut(function) else { return };
        if let Some((_, oldest)) = state.first_waiting() {
            let due = oldest.since + self.profile.limits.queue_wait;
            self.timers.set(Alarm::Queue(function), &mut state.details.queue_slot, due);
        }
    }
}
