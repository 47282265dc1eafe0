//! One sandbox as the starter knows it, and the host users that sandboxes have.
//!
//! Deliberately does nothing.

use super::super::cgroup::{GroupName, Membership};
use super::super::channel::Channel;
use super::super::network::SLOTS_LIMIT;
use super::super::protocol::StartSpec;
use super::super::rootfs::Privilege;
use model::{HostId, InstanceId};
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::fd::OwnedFd;

/// A process that is, or becomes, a sandbox.
#[derive(Debug)]
pub(super) struct Sandbox {
    pub(super) pidfd: OwnedFd,
    /// Which of the server's users and addresses it has.
    pub(super) slot: u32,
    /// To the process, until it has been told what to become.
    pub(super) channel: Option<Channel>,
    pub(super) is_prepared: bool,
    /// What it will become, while something is still missing.
    pub(super) pending: Option<Pending>,
    pub(super) bound: Option<Bound>,
    /// Removed when its process has ended.
    pub(super) is_leaving: bool,
    pub(super) has_ended: bool,
}

/// What ties a sandbox to an instance.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) instance: InstanceId,
    pub(super) host: HostId,
    pub(super) group: GroupName,
}

/// A start that waits for its process to be prepared, or for its /tmp.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) spec: StartSpec,
    /// Arguments and environment.
    pub(super) strings: Vec<u8>,
    pub(super) status: Channel,
    pub(super) output: OwnedFd,
    pub(super) membership: Membership,
    pub(super) tmp: Option<OwnedFd>,
}

impl Sandbox {
    pub(super) fn new(pidfd: OwnedFd, slot: u32, channel: Channel) -> Self {
        Self {
            pidfd,
            slot,
            channel: Some(channel),
            is_prepared: false,
            pending: None,
            bound: None,
            is_leaving: false,
            has_ended: false,
        }
    }

    pub(super) fn is_preparing(&self) -> bool {
        self.channel.is_some() && !self.is_prepared && !self.has_ended
    }

    pub(super) fn is_on(&self, host: HostId) -> bool {
        self.bound.as_ref().is_some_and(|bound| bound.host == host)
    }
}

/// Slots: each stands for a host user and an address that no other living sandbox of this server has.
#[derive(Debug)]
pub(super) struct Slots {
    first_user: u32,
    next: u32,
    /// Longest free first: the kernel takes a network apart some time after its last user.
    free: VecDeque<u32>,
    privilege: Privilege,
}

/// Start of the ranges: above what systemd gives to containers (up to 0x6FFFFFFF, systemd.io/UIDS-GIDS), below 2^31.
const RANGES: u32 = 0x7000_0000;
/// Users per server; there are 4096 such ranges.
const RANGE: u32 = SLOTS_LIMIT;

impl Slots {
    pub(super) fn new(server: &str, privilege: Privilege) -> Self {
        let mut hasher = DefaultHasher::new();
        server.hash(&mut hasher);
        let first_user = RANGES + (hasher.finish() % 4096) as u32 * RANGE;
        Self { first_user, next: 0, free: VecDeque::new(), privilege }
    }

    /// A slot that no living sandbox of this server has. None where all are taken.
    pub(super) fn take(&mut self) -> Option<u32> {
        if self.next < RANGE {
            self.next += 1;
            return Some(self.next - 1);
        }
        self.free.pop_front()
    }

    /// Takes a slot back when its sandbox is gone.
    pub(super) fn give_back(&mut self, slot: u32) {
        self.free.push_back(slot);
    }

    /// The host user of a slot; without root there is only one, which the starter's namespace calls root.
    pub(super) fn user(&self, slot: u32) -> u32 {
        match self.privilege {
            Privilege::Root => self.first_user + slot,
            Privilege::Rootless => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    // No two living sandboxes have one slot, and all are used up before the longest free is used again.
    #[test]
    fn slots_are_one_each() {
        let mut slots = Slots::new("s1", Privilege::Root);
        let first = slots.take().expect("a slot");
        slots.give_back(first);
        let taken: Vec<u32> = std::iter::from_fn(|| slots.take()).collect();
        assert_eq!(taken.last(), Some(&first));
        let users: BTreeSet<u32> = taken.iter().map(|slot| slots.user(*slot)).collect();
        assert_eq!(users.len() as u32, RANGE);
        assert!(users.iter().all(|user| (RANGES..1 << 31).contains(user)));
    }
}
