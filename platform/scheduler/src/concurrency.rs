//! Concurrency: how many invocations an account and the versions of a function may have in flight.
//!
//! An account's limit less what is reserved of it and provisioned from it is shared by all functions without a
//! reservation; a reservation is shared by the versions of its function, their group. Deliberately knows nothing of
//! instances: provisioned ones count here as a number that was claimed.

use crate::function::Function;
use crate::scheduler::Scheduler;
use crate::{FunctionSettings, Rejection};
use model::{FunctionId, TenantId};
use std::collections::{BTreeMap, BTreeSet};

/// A tenant and one of its functions, as a whole.
type GroupKey = (TenantId, FunctionId);

/// All limits, and what is in flight against them.
#[derive(Debug, Default)]
pub(crate) struct Concurrency {
    quotas: Vec<Quota>,
    free: Vec<u32>,
    accounts: BTreeMap<TenantId, Account>,
    groups: BTreeMap<GroupKey, Group>,
}

/// One limit.
#[derive(Clone, Copy, Debug)]
struct Quota {
    in_flight: u64,
    limit: u64,
    whose: Whose,
}

/// Whose limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// What an account has not given away.
    Account,
    /// The reservation of a group.
    Group,
}

/// One tenant.
#[derive(Debug)]
struct Account {
    quota: u32,
    /// What is reserved by groups, and provisioned by functions without a reservation.
    claimed: u64,
    /// Functions, so that an account without any is forgotten.
    functions: u64,
}

/// The versions of one function.
#[derive(Debug)]
struct Group {
    reserved: Option<u32>,
    /// Its own, or its account's where nothing is reserved.
    quota: u32,
    members: BTreeSet<FunctionId>,
}

impl Concurrency {
    fn open(&mut self, whose: Whose, limit: u64) -> u32 {
        let quota = Quota { in_flight: 0, limit, whose };
        match self.free.pop() {
            Some(index) => {
                self.quotas[index as usize] = quota;
                index
            }
            None => {
                self.quotas.push(quota);
                self.quotas.len() as u32 - 1
            }
        }
    }

    /// Counts a claim on an account's limit in or out.
    fn claim(&mut self, tenant: TenantId, all: u32, claim: impl FnOnce(&mut u64)) {
        let Some(account) = self.accounts.get_mut(&tenant) else { return };
        claim(&mut account.claimed);
        self.quotas[account.quota as usize].limit = u64::from(all).saturating_sub(account.claimed);
    }
}

impl Function {
    /// What it has in flight beyond what is provisioned for it alone.
    fn draws(&self) -> u64 {
        u64::from(self.in_flight.saturating_sub(self.covered))
    }
}

impl Scheduler {
    /// Counts one more invocation of a function, if that is within the limits.
    pub(crate) fn count_in(&mut self, function: FunctionId) -> Result<(), Rejection> {
        let Some(state) = self.functions.get_mut(function) else {
            return Err(Rejection::NoFunction);
        };
        let ready = !state.idle.is_empty() || (state.has_provision && state.provisioned_idle() > 0);
        let counts = state.in_flight >= state.covered;
        let quota = &mut self.concurrency.quotas[state.quota as usize];
        if counts && quota.in_flight >= quota.limit {
            let limit = quota.limit;
            return Err(match quota.whose {
                Whose::Group => Rejection::ReservedConcurrency { limit },
                Whose::Account => Rejection::AccountConcurrency { limit },
            });
        }
        if !ready && state.is_crowded(self.profile.limits.queue) {
            return Err(Rejection::Queue);
        }
        quota.in_flight += u64::from(counts);
        state.in_flight += 1;
        Ok(())
    }

    /// Counts an invocation that ended, unless its function is gone since.
    pub(crate) fn count_out(&mut self, function: FunctionId, revision: u64) {
        let Some(state) = self.functions.get_mut(function) else { return };
        if revision < state.born {
            return;
        }
        state.in_flight -= 1;
        if state.in_flight >= state.covered {
            self.concurrency.quotas[state.quota as usize].in_flight -= 1;
        }
    }

    /// Counts a function into its group and its account. Its word on what is reserved counts for the group.
    pub(crate) fn join_group(&mut self, function: FunctionId, settings: &FunctionSettings) {
        let all = self.profile.limits.account_concurrency;
        let key = (settings.tenant, settings.group);
        let concurrency = &mut self.concurrency;
        if !concurrency.accounts.contains_key(&settings.tenant) {
            let quota = concurrency.open(Whose::Account, u64::from(all));
            let account = Account { quota, claimed: 0, functions: 0 };
            concurrency.accounts.insert(settings.tenant, account);
        }
        let Some(account) = concurrency.accounts.get_mut(&settings.tenant) else { return };
        account.functions += 1;
        let quota = account.quota;
        let members = BTreeSet::new();
        let group =
            concurrency.groups.entry(key).or_insert(Group { reserved: None, quota, members });
        group.members.insert(function);
        self.draw(key, function);
        self.reserve(key, settings.reserved_concurrency);
    }

    /// Counts a function out of its group and its account.
    pub(crate) fn leave_group(&mut self, function: FunctionId, settings: &FunctionSettings) {
        let key = (settings.tenant, settings.group);
        self.withdraw(key, function);
        let Some(group) = self.concurrency.groups.get_mut(&key) else { return };
        group.members.remove(&function);
        if group.members.is_empty() {
            self.reserve(key, None);
            self.concurrency.groups.remove(&key);
        }
        let Some(account) = self.concurrency.accounts.get_mut(&settings.tenant) else { return };
        account.functions -= 1;
        if account.functions == 0 {
            let quota = account.quota;
            self.concurrency.free.push(quota);
            self.concurrency.accounts.remove(&settings.tenant);
        }
    }

    /// What the versions of a function share has changed, and nothing else of them.
    pub(crate) fn limits_changed(&mut self, key: (TenantId, FunctionId), reserved: Option<u32>) {
        if !self.concurrency.groups.contains_key(&key) {
            return self.late();
        }
        self.reserve(key, reserved);
    }

    /// A function is to have another number of provisioned instances, which its account gives away.
    pub(crate) fn claim_provisioned(&mut self, function: FunctionId) {
        let Some(state) = self.functions.get(function) else { return };
        let key = (state.details.settings.tenant, state.details.settings.group);
        self.withdraw(key, function);
        self.draw(key, function);
    }

    /// Sets what a group has reserved, and moves what its versions have in flight to where it counts from now on.
    fn reserve(&mut self, key: GroupKey, reserved: Option<u32>) {
        let Some(group) = self.concurrency.groups.get(&key) else { return };
        let before = group.reserved;
        if before == reserved {
            return;
        }
        let members: Vec<FunctionId> = group.members.iter().copied().collect();
        for &function in &members {
            self.withdraw(key, function);
        }
        let all = self.profile.limits.account_concurrency;
        let limits = &mut self.concurrency;
        limits.claim(key.0, all, |claimed| {
            *claimed = *claimed + u64::from(reserved.unwrap_or(0)) - u64::from(before.unwrap_or(0));
        });
        let of_account = limits.accounts.get(&key.0).map_or(0, |it| it.quota);
        let own = limits.groups.get(&key).map_or(of_account, |it| it.quota);
        let quota = match (before, reserved) {
            (_, None) => {
                limits.free.push(own);
                of_account
            }
            (None, Some(limit)) => limits.open(Whose::Group, u64::from(limit)),
            (Some(_), Some(limit)) => {
                limits.quotas[own as usize].limit = u64::from(limit);
                own
            }
        };
        if let Some(group) = limits.groups.get_mut(&key) {
            (group.reserved, group.quota) = (reserved, quota);
        }
        for function in members {
            self.draw(key, function);
        }
    }

    /// Counts what a function has in flight, and what it claims, where its group counts it.
    fn draw(&mut self, key: GroupKey, function: FunctionId) {
        let Some(group) = self.concurrency.groups.get(&key) else { return };
        let Some(state) = self.functions.get_mut(function) else { return };
        let provisioned = state.details.provision.as_ref().map_or(0, |it| it.requested);
        state.quota = group.quota;
        // Within a reservation, what is provisioned is part of it.
        state.covered = if group.reserved.is_some() { 0 } else { provisioned };
        let claims = u64::from(state.covered);
        self.concurrency.quotas[state.quota as usize].in_flight += state.draws();
        let all = self.profile.limits.account_concurrency;
        self.concurrency.claim(key.0, all, |claimed| *claimed += claims);
    }

    /// Takes back what [`Self::draw`] has counted.
    fn withdraw(&mut self, key: GroupKey, function: FunctionId) {
        let Some(state) = self.functions.get(function) else { return };
        let claims = u64::from(state.covered);
        self.concurrency.quotas[state.quota as usize].in_flight -= state.draws();
        let all = self.profile.limits.account_concurrency;
        self.concurrency.claim(key.0, all, |claimed| *claimed -= claims);
    }
}
