//! Who has been on a host together, and whether each of them puts up with the others.
//!
//! Deliberately knows nothing of how the scheduler names the owners of hosts.

use super::*;

impl Driver {
    /// Notes that an instance of these settings starts on a host, where only those have been whom it puts up with, and
    /// who put up with it.
    pub(super) fn check_company(&mut self, host: HostId, settings: &FunctionSettings) {
        let book = &self.hosts[&host];
        for other in &book.parties {
            for (one, other) in [(settings, other), (other, settings)] {
                let bears = match self.isolation(one, book.tenant) {
                    None => true,
                    Some(Isolation::Tenant) => one.tenant == other.tenant,
                    Some(Isolation::Role) => (one.tenant, one.role) == (other.tenant, other.role),
                    Some(Isolation::Function) => {
                        (one.tenant, one.group) == (other.tenant, other.group)
                    }
                };
                assert!(bears, "{host} has {other:?}, which {one:?} does not bear");
            }
        }
        let tenant = book.tenant;
        assert!(tenant.is_none_or(|it| it == settings.tenant), "{host} is another's");
        self.hosts.get_mut(&host).expect("a host that is there").parties.push(settings.clone());
    }

    /// What a function asks for, or its account, or the profile, on a host that was made for `tenant`.
    fn isolation(&self, it: &FunctionSettings, tenant: Option<TenantId>) -> Option<Isolation> {
        let account = self.profile.accounts.get(&it.tenant).copied();
        it.isolation.or(account).or(match self.profile.hosts.sharing {
            Sharing::Shared => None,
            Sharing::PartlyShared { .. } => tenant.map(|_| Isolation::Tenant),
            Sharing::PerTenant => Some(Isolation::Tenant),
            Sharing::PerRole => Some(Isolation::Role),
            Sharing::PerFunction => Some(Isolation::Function),
        })
    }
}
