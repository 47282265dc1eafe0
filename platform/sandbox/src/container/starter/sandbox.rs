//! One sandbox as the starter knows it, and the host users that sandboxes have.
//!
//! Deliberately does nothing.

use super::super::cgroup::{GroupName, Limits};
use super::super::channel::Channel;
use super::super::network::SLOTS_LIMIT;
use super::super::protocol::PackageComes;
use super::super::rootfs::Privilege;
use model::{HostId, InstanceId, MemoryMib};
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::fd::OwnedFd;

/// A process that is, or becomes, a sandbox.
#[derive(Debug)]
pub(super) struct Sandbox {
    pub(super) pidfd: OwnedFd,
    /// To it, and from it until its end.
    pub(super) channel: Channel,
    /// Which of the server's users and addresses it has.
    pub(super) slot: u32,
    pub(super) host: HostId,
    pub(super) group: GroupName,
    /// Limits of its group.
    pub(super) limits: Limits,
    /// Number that names its own files.
    pub(super) serial: u64,
    /// Size of its /tmp.
    pub(super) tmp: MemoryMib,
    pub(super) stage: Stage,
    /// What it becomes, from the moment when that is known until it is told.
    pub(super) pending: Option<Pending>,
    pub(super) instance: Option<InstanceId>,
    /// Whether the server knows how its runtime ended.
    pub(super) is_end_told: bool,
    /// Removed when its process has ended.
    pub(super) is_leaving: bool,
    pub(super) has_ended: bool,
}

/// How far a sandbox is.
#[derive(Debug)]
pub(super) enum Stage {
    /// Makes its namespaces, or furnishes itself.
    Preparing(Preparing),
    /// Waits for its function.
    Prepared {
        /// Its mounts, where its package is still to be mounted.
        mounts: Option<OwnedFd>,
    },
    /// Has been told, or is being ended.
    Told,
}

impl Stage {
    /// Whether it may be told what to become: it reads that once it is prepared, and finds it there already where all else
    /// has been said and done before.
    pub(super) fn is_listening(&self) -> bool {
        match self {
            Self::Prepared { .. } => true,
            Self::Preparing(it) => it.furniture.is_none() && it.is_connected && it.told.is_none(),
            Self::Told => false,
        }
    }
}

/// A sandbox that is being prepared.
#[derive(Debug)]
pub(super) struct Preparing {
    pub(super) mounts: Option<OwnedFd>,
    /// What it is furnished with, until it is.
    pub(super) furniture: Option<Furniture>,
    pub(super) package: PackageComes,
    /// Whether it has the network that it will have.
    pub(super) is_connected: bool,
    /// Where to say what goes wrong, once it knows already what to become.
    pub(super) told: Option<Channel>,
}

/// What a sandbox is furnished with.
#[derive(Debug)]
pub(super) struct Furniture {
    pub(super) tasks: Vec<OwnedFd>,
    pub(super) code: Option<Code>,
}

/// Mounts of a function's code, attached nowhere yet.
#[derive(Debug)]
pub(super) struct Code {
    pub(super) package: OwnedFd,
    pub(super) layers: Option<OwnedFd>,
}

impl Code {
    /// When the sandbox gets it that gets it with its furniture.
    pub(super) fn comes(code: Option<&Self>) -> PackageComes {
        match code {
            None => PackageComes::Later,
            Some(Self { layers: None, .. }) => PackageComes::Now,
            Some(Self { layers: Some(_), .. }) => PackageComes::NowWithLayers,
        }
    }
}

/// A start that has not been told to its process yet.
#[derive(Debug)]
pub(super) struct Pending {
    /// How many strings are arguments.
    pub(super) arguments: usize,
    /// How many are files of external extensions.
    pub(super) extensions: usize,
    /// Arguments, those files, and the environment.
    pub(super) strings: Vec<u8>,
    pub(super) status: Channel,
    /// Of the runtime, and of extensions where there are some.
    pub(super) outputs: Vec<OwnedFd>,
}

impl Sandbox {
    /// Whether it waits for a /tmp of this size.
    pub(super) fn wants_tmp(&self, size: MemoryMib) -> bool {
        self.tmp == size
            && matches!(&self.stage, Stage::Preparing(preparing) if preparing.furniture.is_some())
    }

    pub(super) fn is_prepared(&self) -> bool {
        matches!(self.stage, Stage::Prepared { .. })
    }

    /// Where to say that it cannot become what it should, where somebody waits for that.
    pub(super) fn take_status(&mut self) -> Option<Channel> {
        let told = match &mut self.stage {
            Stage::Preparing(preparing) => preparing.told.take(),
            _ => None,
        };
        told.or_else(|| self.pending.take().map(|pending| pending.status))
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
