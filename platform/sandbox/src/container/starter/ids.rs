//! What a new sandbox is told that it has, with the ids that are made up for it alone.
//!
//! Deliberately knows nothing of when.

use super::super::channel::Channel;
use super::super::mounts::{self, READ_ONLY};
use super::super::protocol::{self, CgroupView, Failure, Furnish, Step, Tmp};
use super::super::rootfs;
use super::Host;
use super::sandbox::{Code, Furniture};
use model::MemoryMib;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// What a new sandbox has.
pub(super) struct Supply<'a> {
    pub(super) host: &'a Host,
    /// User and group, as the host sees them.
    pub(super) user: u32,
    /// None where it is memory, of this size.
    pub(super) tmp: Option<OwnedFd>,
    pub(super) size: MemoryMib,
    pub(super) furniture: Furniture,
}

/// Files with the ids that are made up for one sandbox; they are there as long as it is.
pub(super) struct Ids<'a> {
    pub(super) directory: &'a Path,
    pub(super) serial: u64,
}

const MACHINE_ID: &str = "machine-id";
const BOOT_ID: &str = "boot-id";

impl Ids<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.join("ids").join(format!("{}-{name}", self.serial))
    }

    /// The host's file, where that is revealed, or one of the sandbox's own.
    fn file(
        &self,
        name: &str,
        revealed: Option<&PathBuf>,
        made_up: fn(String) -> String,
    ) -> Result<OwnedFd, Failure> {
        if let Some(path) = revealed {
            return mounts::copy(path, READ_ONLY);
        }
        let path = self.path(name);
        let uuid = rootfs::random_uuid().step(|| "no random numbers".to_owned())?;
        fs::write(&path, made_up(uuid) + "\n")
            .step(|| format!("cannot write {}", path.display()))?;
        mounts::copy(&path, READ_ONLY)
    }

    /// Tells a new sandbox what it has.
    pub(super) fn send(&self, channel: &Channel, supply: &Supply<'_>) -> Result<(), Failure> {
        let Supply { host, user, tmp, size, furniture } = supply;
        let machine_id =
            self.file(MACHINE_ID, host.machine_id.as_ref(), |uuid| uuid.replace('-', ""))?;
        let boot_id = self.file(BOOT_ID, host.boot_id.as_ref(), |uuid| uuid)?;
        let furnish = Furnish {
            host_user: *user,
            tasks: furniture.tasks.len(),
            cgroup_view: match host.spec.reveal.instance_root_id {
                Some(_) => CgroupView::Server,
                None => CgroupView::Instance,
            },
            tmp: if tmp.is_some() { Tmp::Mount } else { Tmp::Memory(size.bytes()) },
            package: Code::comes(furniture.code.as_ref()),
        };
        let mut beside = vec![machine_id.as_fd(), boot_id.as_fd()];
        beside.extend(tmp.iter().map(AsFd::as_fd));
        if let Some(code) = &furniture.code {
            beside.push(code.package.as_fd());
            beside.extend(code.layers.iter().map(AsFd::as_fd));
        }
        beside.extend(furniture.tasks.iter().map(AsFd::as_fd));
        channel
            .send(&[&protocol::encode(&furnish)], &beside)
            .step(|| "cannot furnish a sandbox".to_owned())
    }

    /// Only what is made up has files of its own.
    pub(super) fn remove(&self) {
        for name in [MACHINE_ID, BOOT_ID] {
            let _made = fs::remove_file(self.path(name));
        }
    }
}
