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
                let used = self.uncovered(tenant);
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
            None => (self.uncovered(settings.tenant), self.unreserved(settings.tenant)),
        };
        let provisioned = u64::from(self.provisioned.get(&function).copied().unwrap_or(0));
        let covered =
            !self.reserved.contains_key(&group) && self.in_flight_of(function) <= provisioned;
        assert!(covered || used <= limit, "{function} is taken in as number {used} of {limit}");
    }

    /// What a tenant's functions without a reservation have in flight, each beyond what is provisioned for it.
    fn uncovered(&self, tenant: TenantId) -> u64 {
        let beyond = |(function, (_, settings)): (&FunctionId, &(Epoch, FunctionSettings))| {
            let provisioned = u64::from(self.provisioned.get(function).copied().unwrap_or(0));
            match self.is_unreserved(tenant, settings) {
                true => self.in_flight_of(*function).saturating_sub(provisioned),
                false => 0,
            }
        };
        self.functions.iter().map(beyond).sum()
    }

    fn in_flight_of(&self, function: FunctionId) -> u64 {
        let life = self.lives.get(&function).copied().unwrap_or(0);
        let counts = |it: &&InvocationBook| {
            it.function == function && it.stage != Stage::Ended && it.life == life
        };
        self.invocations.values().filter(counts).count() as u64
    }

    fn is_unreserved(&self, tenant: TenantId, settings: &FunctionSettings) -> bool {
        settings.tenant == tenant && !self.reserved.contains_key(&(tenant, settings.group))
    }

    /// What a tenant's functions without a reservation share.
    fn unreserved(&self, tenant: TenantId) -> u64 {
        let reserved = self.reserved.iter().filter(|((owner, _), _)| *owner == tenant);
        let reserved: u64 = reserved.map(|(_, &reserved)| u64::from(reserved)).sum();
        let claims = |(function, count): (&FunctionId, &u32)| {
            let (_, settings) = &self.functions[function];
            if self.is_unreserved(tenant, settings) { u64::from(*count) } else { 0 }
        };
        let provisioned: u64 = self.provisioned.iter().map(claims).sum();
        let all = u64::from(self.profile.limits.account_concurrency);
        all.saturating_sub(reserved + provisioned)
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
