//! Versions that were replaced a moment ago, where the profile lets an update spread slowly.
//!
//! Deliberately knows nothing of what differs between versions. Where updates are atomic, nothing here is ever touched.

use crate::chain::Chain;
use crate::instance::Age;
use crate::lots::Lot;
use crate::scheduler::Scheduler;
use crate::timers::Alarm;
use crate::{Epoch, FunctionSettings, StopReason};
use model::{FunctionId, InstanceId, Time};

/// The version before the present one, as long as it is used.
#[derive(Debug)]
pub(crate) struct Past {
    /// From when on it is not used.
    pub(crate) until: Time,
    pub(crate) epoch: Epoch,
    /// What was known of it, its role among it: where it may be.
    pub(crate) settings: FunctionSettings,
    /// Its idle instances, the most recently idle last.
    pub(crate) idle: Chain,
}

impl Scheduler {
    /// Before a function's revision changes: turns away from its idle instances, or keeps them for the rest of the window.
    pub(crate) fn retire(
        &mut self,
        function: FunctionId,
        before: Option<(Epoch, FunctionSettings)>,
    ) {
        self.forget_past(function);
        for instance in self.all_provisioned_idle(function) {
            self.reclaim(instance, StopReason::Outdated);
        }
        let updates = self.profile.updates;
        let window = updates.map(|it| it.draw(Lot::of(self.seed, self.last_sequence).next()));
        let Some(state) = self.functions.get_mut(function) else { return };
        let idle: Vec<InstanceId> = state.idle.iter(&self.instances).map(|(it, _)| it).collect();
        let (Some(window), Some((epoch, settings))) = (window, before) else {
            for instance in idle {
                self.reclaim(instance, StopReason::Outdated);
            }
            return;
        };
        let mut past = Past { until: self.now + window, epoch, settings, idle: Chain::default() };
        for instance in idle {
            state.idle.remove(&mut self.instances, instance);
            past.idle.push(&mut self.instances, instance);
            if let Some(it) = self.instances.get_mut(instance) {
                it.end = it.end.min(past.until);
                self.timers.set(Alarm::Instance(instance), &mut it.slot, it.end);
            }
        }
        state.details.past = Some(Box::new(past));
    }

    /// Ends what is left of the version before the one that is being replaced.
    fn forget_past(&mut self, function: FunctionId) {
        for instance in self.past_idle(function) {
            self.reclaim(instance, StopReason::Outdated);
        }
        if let Some(state) = self.functions.get_mut(function) {
            state.details.past = None;
        }
    }

    /// Idle instances of the version before.
    pub(crate) fn past_idle(&self, function: FunctionId) -> Vec<InstanceId> {
        let past = self.functions.get(function).and_then(|it| it.details.past.as_ref());
        past.iter().flat_map(|it| it.idle.iter(&self.instances)).map(|(it, _)| it).collect()
    }

    /// An idle instance of the version before, where an invocation is to go to one.
    pub(crate) fn outdated(&mut self, function: FunctionId) -> Option<InstanceId> {
        let chance = self.profile.updates?.reuse_chance;
        let lot = Lot::of(self.seed, self.last_sequence).next();
        let past = self.functions.get(function)?.details.past.as_ref()?;
        if past.until <= self.now || !lot.happens(chance) {
            return None;
        }
        past.idle.youngest()
    }

    /// Which version an instance that is started now is of, where it is the one before.
    pub(crate) fn outdated_start(
        &mut self,
        function: FunctionId,
    ) -> Option<(Epoch, FunctionSettings)> {
        let chance = self.profile.updates?.start_chance;
        let lot = Lot::of(self.seed, self.sequence());
        let past = self.functions.get(function)?.details.past.as_ref()?;
        let used = past.until > self.now && lot.happens(chance);
        used.then(|| (past.epoch, past.settings.clone()))
    }

    /// Whether an instance of the version before may not take another invocation.
    pub(crate) fn is_spent(&self, instance: InstanceId) -> bool {
        let Some(it) = self.instances.get(instance) else { return false };
        match it.age {
            Age::Present => false,
            Age::Spent => true,
            Age::Past => {
                let state = self.functions.get(it.function);
                let past = state.and_then(|state| state.details.past.as_ref());
                past.is_none_or(|past| past.epoch != it.epoch || past.until <= self.now)
            }
        }
    }
}
