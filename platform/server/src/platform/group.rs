//! What the versions of a function share, and what is kept ready for one of them.
//!
//! The gateway may speak of it before a version is deployed, and after; the scheduler is told when both are there.

use super::{Shared, State};
use catalog::Function;
use gateway::{ProvisionStatus, Provisioned, SharedSettings};
use model::FunctionId;
use sandbox::Kind;
use scheduler::{Event, FunctionSettings};
use std::sync::Arc;

impl<K: Kind> Shared<K> {
    /// Sets what all versions of a function share, from now on and of those that come.
    pub(super) fn share(self: &Arc<Self>, function: FunctionId, settings: SharedSettings) {
        let mut state = self.lock();
        let before = state.shared.insert(function, settings).unwrap_or_default();
        let of = |it: &&Arc<Function>| group(it) == function;
        let deployed = state.functions.values().map(|it| &it.function);
        let versions: Vec<Arc<Function>> = deployed.filter(of).cloned().collect();
        let Some(first) = versions.first() else { return };
        if before.isolation == settings.isolation {
            let reserved_concurrency = settings.reserved_concurrency;
            let tenant = first.tenant;
            let event = Event::LimitsChanged { tenant, group: function, reserved_concurrency };
            self.turn(&mut state, event, None);
            return;
        }
        for version in versions {
            let (function, epoch) = (version.id, scheduler::Epoch(version.epoch));
            let settings = state.settings(&version);
            self.turn(&mut state, Event::ConfigChanged { function, epoch, settings }, None);
        }
    }

    /// Sets how many instances of a version are to be ready.
    pub(super) fn provision(self: &Arc<Self>, version: FunctionId, count: u32) {
        let mut state = self.lock();
        match count {
            0 => state.provisioned.remove(&version),
            count => state.provisioned.insert(version, count),
        };
        if state.functions.contains_key(&version) {
            let event = Event::ProvisionedChanged { function: version, count };
            self.turn(&mut state, event, None);
        }
    }

    /// How far that is.
    pub(super) fn provisioned(&self, version: FunctionId) -> Provisioned {
        let state = self.lock();
        let Some(it) = state.scheduler.provisioned(version) else {
            // It is deployed in a moment.
            let requested = state.provisioned.get(&version).copied().unwrap_or(0);
            let status = match requested {
                0 => ProvisionStatus::Ready,
                _ => ProvisionStatus::InProgress,
            };
            return Provisioned { requested, allocated: 0, available: 0, status };
        };
        Provisioned {
            requested: it.requested,
            allocated: it.allocated,
            available: it.available,
            status: match it.status {
                scheduler::ProvisionStatus::Ready => ProvisionStatus::Ready,
                scheduler::ProvisionStatus::InProgress => ProvisionStatus::InProgress,
                scheduler::ProvisionStatus::Failed(reason) => ProvisionStatus::Failed(reason),
            },
        }
    }
}

impl<K: Kind> State<K> {
    /// What the scheduler is to know of a version.
    pub(super) fn settings(&mut self, function: &Function) -> FunctionSettings {
        let shared = self.shared.get(&group(function)).copied().unwrap_or_default();
        FunctionSettings {
            tenant: function.tenant,
            role: self.role(function),
            memory: function.memory,
            timeout: function.timeout,
            group: group(function),
            reserved_concurrency: shared.reserved_concurrency,
            isolation: shared.isolation,
        }
    }

    /// After a version is gone: forgets what was said of it, and with the last one what the versions shared.
    pub(super) fn forget_shared(&mut self, function: &Function) {
        self.provisioned.remove(&function.id);
        let is_other = |it: &Arc<Function>| group(it) == group(function);
        if !self.functions.values().any(|it| is_other(&it.function)) {
            self.shared.remove(&group(function));
        }
    }
}

/// The function that this is a version of.
fn group(function: &Function) -> FunctionId {
    function.group
}
