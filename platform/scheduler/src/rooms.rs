//! Which hosts have how much room, for whom, in an order that placement can ask of.
//!
//! Deliberately knows nothing of instances, functions or time.

use model::{FunctionId, HostId, MemoryMib, RoleId, TenantId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Whose instances may be together on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Owner {
    /// Anybody's.
    Everyone,
    /// One tenant's.
    Tenant(TenantId),
    /// One role's of one tenant.
    Role(TenantId, RoleId),
    /// One function's of one tenant, in all of its versions.
    Function(TenantId, FunctionId),
}

/// Whose hosts an instance may be on: its own owner's, and where hosts are partly shared, everybody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owners {
    pub(crate) own: Owner,
    pub(crate) also: Option<Owner>,
}

impl Owners {
    /// One owner only.
    pub(crate) fn of(own: Owner) -> Self {
        Self { own, also: None }
    }

    fn iter(self) -> impl DoubleEndedIterator<Item = Owner> {
        std::iter::once(self.own).chain(self.also)
    }
}

/// Free memory of the hosts that take new instances.
#[derive(Debug, Default)]
pub(crate) struct Rooms {
    free: BTreeSet<(Owner, MemoryMib, HostId)>,
    empty: BTreeSet<HostId>,
    hosts: BTreeMap<Owner, u32>,
}

impl Rooms {
    /// Counts one more host of this owner.
    pub(crate) fn open(&mut self, owner: Owner) {
        *self.hosts.entry(owner).or_default() += 1;
    }

    /// Counts one host of this owner less.
    pub(crate) fn close(&mut self, owner: Owner) {
        if let Some(count) = self.hosts.get_mut(&owner) {
            *count -= 1;
            if *count == 0 {
                self.hosts.remove(&owner);
            }
        }
    }

    pub(crate) fn insert(&mut self, owner: Owner, free: MemoryMib, host: HostId) {
        self.free.insert((owner, free, host));
    }

    pub(crate) fn remove(&mut self, owner: Owner, free: MemoryMib, host: HostId) {
        self.free.remove(&(owner, free, host));
    }

    pub(crate) fn mark_empty(&mut self, host: HostId) {
        self.empty.insert(host);
    }

    pub(crate) fn mark_used(&mut self, host: HostId) {
        self.empty.remove(&host);
    }

    /// Whether no instance is on the host.
    pub(crate) fn is_empty(&self, host: HostId) -> bool {
        self.empty.contains(&host)
    }

    /// Hosts without any instance, oldest first.
    pub(crate) fn empties(&self) -> impl Iterator<Item = HostId> + '_ {
        self.empty.iter().copied()
    }

    /// How many hosts the owners have, full ones included.
    pub(crate) fn hosts(&self, owners: Owners) -> u32 {
        owners.iter().filter_map(|owner| self.hosts.get(&owner)).sum()
    }

    /// The owners' host with the least free memory that is at least `need`; among equals the oldest.
    pub(crate) fn tightest(&self, owners: Owners, need: MemoryMib) -> Option<HostId> {
        let tightest = |owner| self.range(owner, need).next();
        owners.iter().filter_map(tightest).min().map(|(_, host)| host)
    }

    /// The owners' host with the most free memory, if that is at least `need`; among equals the oldest.
    pub(crate) fn roomiest(&self, owners: Owners, need: MemoryMib) -> Option<HostId> {
        let roomiest = |owner| self.range(owner, need).next_back();
        let (most, _) = owners.iter().filter_map(roomiest).max()?;
        self.tightest(owners, most)
    }

    /// The owners' hosts that have at least `need` free, one owner's after the other's, each one's fullest first.
    pub(crate) fn fitting(
        &self,
        owners: Owners,
        need: MemoryMib,
    ) -> impl DoubleEndedIterator<Item = HostId> + '_ {
        owners.iter().flat_map(move |owner| self.range(owner, need).map(|(_, host)| host))
    }

    /// The owners' hosts that take new instances, in the same order.
    pub(crate) fn of(&self, owners: Owners) -> impl DoubleEndedIterator<Item = HostId> + '_ {
        self.fitting(owners, MemoryMib(0))
    }

    fn range(
        &self,
        owner: Owner,
        need: MemoryMib,
    ) -> impl DoubleEndedIterator<Item = (MemoryMib, HostId)> + '_ {
        let from = (owner, need, HostId(0));
        let to = (owner, MemoryMib(u32::MAX), HostId(u64::MAX));
        self.free.range(from..=to).map(|&(_, free, host)| (free, host))
    }
}
