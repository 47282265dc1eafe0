//! Mounts as values: made detached, given their attributes, then attached.
//!
//! Deliberately knows nothing of what is mounted where.

use super::protocol::{Failure, Step};
use super::system;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Attributes of what functions may only read.
pub(super) const READ_ONLY: u64 =
    libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;

/// Attributes of what functions may write.
pub(super) const WRITABLE: u64 = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;

/// A file system and its options; an option without a value is a flag.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileSystem<'a> {
    pub(super) kind: &'a str,
    pub(super) options: &'a [(&'a str, &'a str)],
    /// `MOUNT_ATTR_*`.
    pub(super) attributes: u64,
}

/// A new file system, mounted nowhere yet.
pub(super) fn new(file_system: FileSystem<'_>) -> Result<OwnedFd, Failure> {
    let step = || format!("cannot make a file system of type {}", file_system.kind);
    let context = fsopen(file_system.kind, FsOpenFlags::FSOPEN_CLOEXEC).step(step)?;
    for (name, value) in file_system.options {
        if value.is_empty() {
            fsconfig_set_flag(&context, *name)
        } else {
            fsconfig_set_string(&context, *name, *value)
        }
        .step(|| format!("{} refuses the option {name}={value}", file_system.kind))?;
    }
    fsconfig_create(&context).step(step)?;
    let attributes = MountAttrFlags::from_bits_retain(file_system.attributes as u32);
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).step(step)
}

/// What is seen at `path`, with all mounted below it, mounted nowhere yet.
pub(super) fn copy(path: &Path, attributes: u64) -> Result<OwnedFd, Failure> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(rustix::fs::CWD, path, flags)
        .step(|| format!("cannot show {} to a sandbox", path.display()))?;
    system::set_mount_attributes(tree.as_fd(), attributes)
        .step(|| format!("cannot protect {}", path.display()))?;
    Ok(tree)
}

/// Mounts a detached mount at `path`.
pub(super) fn attach(mount: impl AsFd, path: &Path) -> Result<(), Failure> {
    let target = CString::new(path.as_os_str().as_bytes())
        .map_err(std::io::Error::other)
        .step(|| format!("no path: {}", path.display()))?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(mount, c"", rustix::fs::CWD, target.as_c_str(), flags)
        .step(|| format!("cannot mount at {}", path.display()))
}

/// Mounts a detached mount at `path` of another mount namespace, and comes back to `home`. For a single-threaded process.
///
/// Panics where it cannot come back: it would do everything that follows among the wrong files.
pub(super) fn attach_within(
    mount: impl AsFd,
    path: &Path,
    namespace: BorrowedFd<'_>,
    home: BorrowedFd<'_>,
) -> Result<(), Failure> {
    system::enter_namespace(namespace, libc::CLONE_NEWNS)
        .step(|| "cannot enter a sandbox's mounts".to_owned())?;
    let attached = attach(mount, path);
    system::enter_namespace(home, libc::CLONE_NEWNS)
        .expect("a namespace that was left can be entered again");
    attached
}
