//! Which hosts have how much room, for whom, in an order that placement can ask of.
//!
//! Deliberately knows nothing of instances, functions or time.

use model::{HostId, MemoryMib, RoleId, TenantId};
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

    /// How many hosts the owner has, full ones included.
    pub(crate) fn hosts(&self, owner: Owner) -> u32 {
        self.hosts.get(&owner).copied().unwrap_or(0)
    }

    /// The owner's host with the least free memory that is at least `need`; among equals the oldest.
    pub(crate) fn tightest(&self, owner: Owner, need: MemoryMib) -> Option<HostId> {
        let from = (owner, need, HostId(0));
        let to = (owner, MemoryMib(u32::MAX), HostId(u64::MAX));
        self.free.range(from..=to).next().map(|&(_, _, host)| host)
    }

    /// The owner's host with the most free memory, if that is at least `need`; among equals the oldest.
    pub(crate) fn roomiest(&self, owner: Owner, need: MemoryMib) -> Option<HostId> {
        let from = (owner, need, HostId(0));
        let to = (owner, MemoryMib(u32::MAX), HostId(u64::MAX));
        let &(_, most, _) = self.free.range(from..=to).next_back()?;
        self.tightest(owner, most)
    }

    /// The owner's hosts that take new instances, fullest first.
    pub(crate) fn of(&self, owner: Owner) -> impl DoubleEndedIterator<Item = HostId> + '_ {
        let from = (owner, MemoryMib(0), HostId(0));
        let to = (owner, MemoryMib(u32::MAX), HostId(u64::MAX));
        self.free.range(from..=to).map(|&(_, _, host)| host)
    }
}
