//! What the scheduler learns of when functions are invoked, and the instances that it starts ahead of that.
//!
//! Deliberately knows nothing of what follows from a habit: that is the policy's. Where keep-alive does not learn, nothing
//! here is ever touched.

use crate::StopReason;
use crate::capacity::Make;
use crate::function::Function;
use crate::lots::Lot;
use crate::policy::{Choice, Growth, Histogram, KeepAlive, Moment, Want, Windows};
use crate::scheduler::Scheduler;
use crate::timers::Alarm;
use model::{FunctionId, InstanceId, MemoryMib, Time};

impl Scheduler {
    /// The policy that learns, where this is it.
    pub(crate) fn learning(&self) -> Option<Histogram> {
        match self.profile.keep_alive {
            KeepAlive::Histogram(policy) => Some(policy),
            _ => None,
        }
    }

    /// A function is invoked: counts for how long it was idle.
    pub(crate) fn note_return(&mut self, policy: Histogram, function: FunctionId) {
        let now = self.now;
        let Some(state) = self.functions.get_mut(function) else { return };
        let details = &mut state.details;
        details.ahead = Time::MAX;
        if let Some(since) = details.quiet.take() {
            policy.note(details.habit.get_or_insert_default(), now.since(since));
        }
    }

    /// The last invocation in flight of a function has ended.
    pub(crate) fn note_quiet(&mut self, function: FunctionId) {
        let now = self.now;
        if let Some(state) = self.functions.get_mut(function)
            && state.in_flight == 0
        {
            state.details.quiet = Some(now);
        }
    }

    /// When the instances of a function are wanted, where the policy learns.
    pub(crate) fn windows(&self, state: &Function) -> Option<Windows> {
        let policy = self.learning()?;
        Some(policy.windows(state.details.habit.as_deref()?))
    }

    /// After its last invocation, lets all instances of a function go that is not expected back soon, and sees to it that one
    /// is started ahead when it is.
    pub(crate) fn part(&mut self, function: FunctionId, moment: Moment, windows: Option<Windows>) {
        let Some(windows) = windows.filter(|it| it.ahead > model::Span::ZERO) else { return };
        let Some(state) = self.functions.get_mut(function) else { return };
        let Some(since) = state.details.quiet.filter(|_| moment == Moment::Quiet) else { return };
        let due = since + windows.ahead;
        state.details.ahead = due;
        self.timers.set(Alarm::Expected(function), &mut state.details.ahead_slot, due);
        let idle: Vec<InstanceId> = state.idle.iter(&self.instances).map(|(it, _)| it).collect();
        for instance in idle {
            self.reclaim(instance, StopReason::IdleLimit);
        }
    }

    /// A function is expected: starts an instance, if it has none and there is room.
    pub(crate) fn expected(&mut self, function: FunctionId, due: Time) {
        let Some(state) = self.functions.get_mut(function) else { return };
        if !state.details.ahead_slot.rings(due) {
            return;
        }
        let wanted = state.details.ahead;
        if wanted > self.now {
            if wanted < Time::MAX {
                self.timers.set(Alarm::Expected(function), &mut state.details.ahead_slot, wanted);
            }
            return;
        }
        state.details.ahead = Time::MAX;
        if state.in_flight > 0 || state.live > 0 {
            return;
        }
        let owners = self.profile.owners(&state.details.settings);
        let memory = state.details.settings.memory.max(MemoryMib(1));
        let lot = Lot::of(self.seed, self.sequence());
        let short = self.machine.free.is_some_and(|free| free < self.profile.limits.memory_reserve);
        let want = Want { owners, memory, growth: self.growth(memory), lot };
        let host = match self.profile.placement.policy().choose(&self.rooms, &want) {
            _ if short => return,
            Choice::Host(host) => host,
            Choice::NewHost if want.growth == Growth::Possible => self.open_host(owners, memory),
            Choice::NewHost | Choice::Nowhere => return,
        };
        self.place(function, host, 0, Make::OnDemand);
    }
}
