//! Invocations: from the request to its one outcome.
//!
//! Deliberately knows nothing of payloads, or of who asked.

use crate::function::Waiting;
use crate::instance::{Busy, State, Warmth};
use crate::scheduler::Scheduler;
use crate::timers::Alarm;
use crate::{Action, Rejection};
use model::{FunctionId, InstanceId, InvocationId, Span};

/// Where an invocation is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// In its function's queue, under this number.
    Queued(FunctionId, u64),
    /// On an instance.
    Running,
}

impl Scheduler {
    pub(crate) fn invoke(&mut self, invocation: InvocationId, function: FunctionId) {
        if self.invocations.contains_key(&invocation) {
            return self.late();
        }
        self.counters.invoked += 1;
        let Some(state) = self.functions.get(&function) else {
            return self.reject(invocation, Rejection::NoFunction);
        };
        if let Err(reason) = self.admit(state) {
            return self.reject(invocation, reason);
        }
        let (tenant, reserved) = (state.settings.tenant, state.settings.reserved_concurrency);
        self.count_in(tenant, reserved);
        let sequence = self.sequence();
        let since = self.now;
        let Some(state) = self.functions.get_mut(&function) else { return };
        state.in_flight += 1;
        if let Some((_, instance)) = state.idle.youngest() {
            self.invocations.insert(invocation, Place::Running);
            return self.dispatch(instance, invocation, Warmth::Warm);
        }
        state.queue.push(sequence, Waiting { invocation, since });
        self.invocations.insert(invocation, Place::Queued(function, sequence));
        self.watch_queue(function);
        self.cover(function);
    }

    pub(crate) fn cancel(&mut self, invocation: InvocationId) {
        let Some(&Place::Queued(function, sequence)) = self.invocations.get(&invocation) else {
            return self.late();
        };
        self.counters.cancelled += 1;
        self.unqueue(function, sequence);
        self.end(invocation, function);
    }

    pub(crate) fn finished(&mut self, instance: InstanceId, invocation: InvocationId) {
        match self.instances.get_mut(instance) {
            Some(it) if it.busy().is_some_and(|busy| busy.invocation == invocation) => {}
            _ => return self.late(),
        }
        self.bill(instance);
        let sequence = self.sequence();
        let Some(it) = self.instances.get_mut(instance) else { return };
        // The deadline stays: what runs after the response is held to it as well.
        it.state = State::Finishing { sequence };
        if let Some(state) = self.functions.get_mut(&it.function)
            && state.revision == it.revision
        {
            state.finishing.push(sequence, self.now);
            if !state.queue.is_empty() {
                let function = it.function;
                self.watch_grace(function);
            }
        }
    }

    /// Hands an invocation that is marked as running to an instance that can take it.
    pub(crate) fn dispatch(
        &mut self,
        instance: InstanceId,
        invocation: InvocationId,
        warmth: Warmth,
    ) {
        self.unlist(instance);
        let Some(it) = self.instances.get_mut(instance) else { return };
        let Some(state) = self.functions.get(&it.function) else { return };
        assert!(it.revision == state.revision, "only current instances are listed as idle");
        let timeout = state.settings.timeout;
        let init = match warmth {
            Warmth::Cold => Some(it.init),
            Warmth::Warm => None,
        };
        it.state = State::Busy(Busy { invocation, since: self.now, timeout, init });
        let epoch = it.epoch;
        self.timers.set(Alarm::Instance(instance), &mut it.due, Some(self.now + timeout));
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
        let (sequence, waiting) = self.functions.get(&function)?.queue.oldest()?;
        let invocation = waiting.invocation;
        self.unqueue(function, sequence);
        self.invocations.insert(invocation, Place::Running);
        self.dispatch(instance, invocation, warmth);
        Some(invocation)
    }

    /// Ends the invocation that runs on the instance: bills it and forgets it.
    pub(crate) fn bill(&mut self, instance: InstanceId) {
        let Some(it) = self.instances.get(instance) else { return };
        let Some(&Busy { invocation, since, init, .. }) = it.busy() else { return };
        let (function, revision, memory) = (it.function, it.revision, it.memory);
        let duration: Span = self.now.since(since);
        let billed = self.profile.billing.billed(duration, init);
        self.invocations.remove(&invocation);
        self.count_out(function, revision);
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
        let Some(state) = self.functions.get(&function) else { return };
        if state.lacks_starts(self.now)
            && let Some((sequence, _)) = state.queue.oldest()
        {
            self.reject_queued(function, sequence, reason);
        }
    }

    /// Rejects the youngest invocation that waits: the older ones can have the instances that are being started.
    pub(crate) fn reject_youngest(&mut self, function: FunctionId, reason: Rejection) {
        let Some(state) = self.functions.get(&function) else { return };
        if let Some((sequence, _)) = state.queue.youngest() {
            self.reject_queued(function, sequence, reason);
        }
    }

    /// The oldest invocation of a queue has waited for too long.
    pub(crate) fn queue_due(&mut self, function: FunctionId) {
        let Some(state) = self.functions.get_mut(&function) else { return };
        state.queue_due = None;
        let wait = self.profile.limits.queue_wait;
        while let Some(state) = self.functions.get(&function)
            && let Some((sequence, oldest)) = state.queue.oldest()
            && oldest.since + wait <= self.now
        {
            self.reject_queued(function, sequence, Rejection::Queue);
        }
        self.watch_queue(function);
    }

    fn end(&mut self, invocation: InvocationId, function: FunctionId) {
        self.invocations.remove(&invocation);
        self.count_out(function, u64::MAX);
    }

    fn unqueue(&mut self, function: FunctionId, sequence: u64) -> Option<InvocationId> {
        let waiting = self.functions.get_mut(&function)?.queue.remove(sequence)?;
        self.watch_queue(function);
        self.watch_grace(function);
        Some(waiting.invocation)
    }

    fn watch_queue(&mut self, function: FunctionId) {
        let Some(state) = self.functions.get_mut(&function) else { return };
        let oldest = state.queue.oldest().map(|(_, waiting)| waiting.since);
        let due = oldest.map(|since| since + self.profile.limits.queue_wait);
        self.timers.set(Alarm::Queue(function), &mut state.queue_due, due);
    }
}
