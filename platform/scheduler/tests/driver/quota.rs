//! Concurrency as the driver counts it: whether an invocation was to be refused, and by which limit.
//!
//! Deliberately knows nothing of instances.

use super::*;

impl Driver {
    pub(super) fn note_reserved(&mut self, group: (TenantId, FunctionId), reserved: Option<u32>) {
        let there = self.functions.values().any(|(_, it)| (it.tenant, it.group) == group);
        match reserved.filter(|_| there) {
            Some(reserved) => self.reserved.insert(group, reserved),
            None => self.reserved.remove(&group),
        };
    }

    /// What was reserved goes with the last version.
    pub(super) fn forget_group(&mut self, group: (TenantId, FunctionId)) {
        if !self.functions.values().any(|(_, it)| (it.tenant, it.group) == group) {
            self.reserved.remove(&group);
        }
    }

    /// A refusal names the limit that was reached.
    pub(super) fn check_rejection(&mut self, function: FunctionId, reason: &Rejection) {
        let group = self.functions.get(&function).map(|(_, it)| (it.tenant, it.group));
        match *reason {
            Rejection::NoFunction => assert!(group.is_none(), "its function is there"),
            Rejection::ReservedConcurrency { limit } => {
                let group = group.expect("a function that is there");
                assert_eq!(self.reserved.get(&group).copied().map(u64::from), Some(limit));
                let used = self.in_flight(|it| (it.tenant, it.group) == group);
                assert!(used >= limit, "{function} is refused at {used} of {limit}");
            }
            Rejection::AccountConcurrency { limit } => {
                let (tenant, _) = group.expect("a function that is there");
                assert_eq!(limit, self.unreserved(tenant));
                let used = self.in_flight(|it| self.is_unreserved(tenant, it));
                assert!(used >= limit, "{function} is refused at {used} of {limit}");
            }
            _ => {}
        }
    }

    /// No limit is exceeded by an invocation that was just taken in.
    pub(super) fn check_admitted(&self, function: FunctionId) {
        let Some((_, settings)) = self.functions.get(&function) else { return };
        let group = (settings.tenant, settings.group);
        let (used, limit) = match self.reserved.get(&group) {
            Some(&reserved) => {
                let used = self.in_flight(|it| (it.tenant, it.group) == group);
                (used, u64::from(reserved))
            }
            None => {
                let used = self.in_flight(|it| self.is_unreserved(settings.tenant, it));
                (used, self.unreserved(settings.tenant))
            }
        };
        assert!(used <= limit, "{function} is taken in as number {used} of {limit}");
    }

    fn is_unreserved(&self, tenant: TenantId, settings: &FunctionSettings) -> bool {
        settings.tenant == tenant && !self.reserved.contains_key(&(tenant, settings.group))
    }

    /// What a tenant's functions without a reservation share.
    fn unreserved(&self, tenant: TenantId) -> u64 {
        let reserved = self.reserved.iter().filter(|((owner, _), _)| *owner == tenant);
        let reserved: u64 = reserved.map(|(_, &reserved)| u64::from(reserved)).sum();
        u64::from(self.profile.limits.account_concurrency).saturating_sub(reserved)
    }

    /// Invocations in flight of all these functions; those of functions that were removed do not count.
    fn in_flight(&self, of: impl Fn(&FunctionSettings) -> bool) -> u64 {
        let counts = |it: &&InvocationBook| {
            let life = self.lives.get(&it.function).copied().unwrap_or(0);
            let settings = self.functions.get(&it.function);
            it.stage != Stage::Ended && it.life == life && settings.is_some_and(|it| of(&it.1))
        };
        self.invocations.values().filter(counts).count() as u64
    }
}
