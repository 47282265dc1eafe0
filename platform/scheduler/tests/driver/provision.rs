//! Provisioned concurrency as the driver counts it: as many as are to be there are, or are coming, and no more are kept.
//!
//! Deliberately knows nothing of what on-demand instances do.

use super::*;

impl Driver {
    /// Never fewer than are to be there, unless there is no room or starts fail, and never more idle ones.
    pub(super) fn check_provisioned(&self) {
        for (&function, &count) in &self.provisioned {
            let idle = self.own(function).filter(|it| matches!(it.doing, Doing::Idle { .. }));
            let idle = idle.count();
            assert!(idle <= count as usize, "{function} keeps {idle} of {count}");
            let said = self.scheduler.provisioned(function);
            assert_eq!(said.is_some(), count > 0, "{function} has {said:?}");
            let Some(said) = said else { continue };
            let ready = self.own(function).filter(|it| it.doing != Doing::Starting).count() as u32;
            let expected = (count, ready.min(count));
            assert_eq!((said.requested, said.available), expected, "{function} has {said:?}");
            let (epoch, _) = self.functions[&function];
            let mut views = self.scheduler.functions();
            let waits = views.any(|it| it.function == function && it.waits_for_room);
            let there = |it: &InstanceView| {
                it.function == function
                    && (it.epoch, it.purpose) == (epoch, Purpose::Provisioned)
                    && it.phase != InstancePhase::Stopping
            };
            let there = self.scheduler.instances().filter(there).count();
            let failed = matches!(said.status, ProvisionStatus::Failed(_));
            assert!(
                there >= count as usize || waits || failed,
                "{function} has {there} of {count}: {said:?}"
            );
            assert_eq!(said.status == ProvisionStatus::Ready, ready >= count);
        }
    }

    /// One that goes because fewer are to be there is one too many.
    pub(super) fn check_surplus(&self, function: FunctionId) {
        let count = self.provisioned.get(&function).copied().unwrap_or(0) as usize;
        let views = self.scheduler.instances().filter(|it| {
            it.function == function
                && it.purpose == Purpose::Provisioned
                && it.phase == InstancePhase::Waiting
        });
        let there = self.own(function).count() + views.count();
        assert!(there > count, "{function} loses one of {there} while {count} are to be there");
    }

    /// Instances that were provisioned for the present state of a function, and do not stop.
    fn own(&self, function: FunctionId) -> impl Iterator<Item = &InstanceBook> {
        let epoch = self.functions.get(&function).map(|it| it.0);
        self.instances.values().filter(move |it| {
            it.function == function
                && Some(it.epoch) == epoch
                && it.purpose == Purpose::Provisioned
                && it.doing != Doing::Stopping
                && !it.orphan
        })
    }
}
