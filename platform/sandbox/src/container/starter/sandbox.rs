//! One sandbox as the starter knows it, and the host users that sandboxes have.
//!
//! Deliberately does nothing.

use super::super::cgroup::{GroupName, Membership};
use super::super::channel::Channel;
use super::super::protocol::StartSpec;
use super::super::rootfs::Privilege;
use model::{HostId, InstanceId};
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::fd::OwnedFd;

/// A process that is, or becomes, a sandbox.
#[derive(Debug)]
pub(super) struct Sandbox {
    pub(super) pidfd: OwnedFd,
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
    pub(super) user: u32,
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
    pub(super) fn new(pidfd: OwnedFd, channel: Channel) -> Self {
        Self {
            pidfd,
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

/// Host users of instances: one each, from a range of this server's own.
#[derive(Debug)]
pub(super) struct Users {
    first: u32,
    next: u32,
    free: BTreeSet<u32>,
    privilege: Privilege,
}

/// Start of the ranges: above what systemd gives to containers (up to 0x6FFFFFFF, systemd.io/UIDS-GIDS), below 2^31.
const RANGES: u32 = 0x7000_0000;
/// Users per server; there are 4096 such ranges.
const RANGE: u32 = 1 << 16;

impl Users {
    pub(super) fn new(server: &str, privilege: Privilege) -> Self {
        let mut hasher = DefaultHasher::new();
        server.hash(&mut hasher);
        let first = RANGES + (hasher.finish() % 4096) as u32 * RANGE;
        Self { first, next: 0, free: BTreeSet::new(), privilege }
    }

    /// A user that no living instance of this server has; without root the only one there is. None where all are taken.
    pub(super) fn take(&mut self) -> Option<u32> {
        if self.privilege == Privilege::Rootless {
            return Some(0);
        }
        if self.next < RANGE {
            self.next += 1;
            return Some(self.first + self.next - 1);
        }
        self.free.pop_first()
    }

    /// Takes a user back when its instance is gone.
    pub(super) fn give_back(&mut self, user: u32) {
        if self.privilege == Privilege::Root {
            self.free.insert(user);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // No two living instances have one user, and the range is used up before any is used again.
    #[test]
    fn users_are_one_each() {
        let mut users = Users::new("s1", Privilege::Root);
        let first = users.take().expect("a user");
        users.give_back(first);
        let taken: BTreeSet<u32> = std::iter::from_fn(|| users.take()).collect();
        assert_eq!(taken.len() as u32, RANGE);
        assert!(taken.iter().all(|user| (RANGES..1 << 31).contains(user)));
        assert!(users.take().is_none());
    }
}
