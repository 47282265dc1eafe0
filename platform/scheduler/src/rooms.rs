//! Which hosts have how much room, for whom, in an order that placement can ask of.
//!
//! Deliberately knows nothing of instances, functions or time.

use crate::event::HostLoad;
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
    /// How busy hosts are, where placement asks.
    burdens: BTreeMap<HostId, Burden>,
}

/// What a host has, and how much of that is in use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Burden {
    /// Memory that its instances may add up to.
    pub(crate) memory: MemoryMib,
    /// Memory that new instances can have.
    pub(crate) free: MemoryMib,
    pub(crate) milli_cpus: u32,
    /// As last measured.
    pub(crate) load: HostLoad,
    /// Instances placed since the measurement before the last one, and since the last one.
    started: (u32, u32),
}

impl Burden {
    /// Instances that no measurement has seen for a whole interval.
    pub(crate) fn unmeasured(&self) -> u32 {
        self.started.0 + self.started.1
    }
}

impl Rooms {
    /// Keeps account of how busy a host of this much memory and CPU is.
    pub(crate) fn weigh(&mut self, host: HostId, (memory, milli_cpus): (MemoryMib, u32)) {
        let load = HostLoad::default();
        let it = Burden { memory, free: memory, milli_cpus, load, started: (0, 0) };
        self.burdens.insert(host, it);
    }

    /// No longer keeps account of a host.
    pub(crate) fn forget(&mut self, host: HostId) {
        self.burdens.remove(&host);
    }

    /// How busy a host is, where account is kept of it.
    pub(crate) fn burden(&self, host: HostId) -> Option<&Burden> {
        self.burdens.get(&host)
    }

    /// Takes in a measurement. Returns whether account is kept of the host.
    pub(crate) fn load(&mut self, host: HostId, load: HostLoad) -> bool {
        let Some(it) = self.burdens.get_mut(&host) else { return false };
        if self.empty.contains(&host) {
            // It was measured while the last instance was still there.
            return true;
        }
        it.load = load;
        it.started = (it.started.1, 0);
        true
    }

    /// An instance is to start on the host.
    pub(crate) fn add_start(&mut self, host: HostId) {
        if let Some(it) = self.burdens.get_mut(&host) {
            it.started.1 += 1;
        }
    }

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
        if let Some(it) = self.burdens.get_mut(&host) {
            it.free = free;
        }
    }

    pub(crate) fn remove(&mut self, owner: Owner, free: MemoryMib, host: HostId) {
        self.free.remove(&(owner, free, host));
    }

    pub(crate) fn mark_empty(&mut self, host: HostId) {
        self.empty.insert(host);
        if let Some(it) = self.burdens.get_mut(&host) {
            // Where there is nobody, nobody takes anything, whatever was measured last.
            (it.load, it.started) = (HostLoad::default(), (0, 0));
        }
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
