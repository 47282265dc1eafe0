//! The root file system of zip functions: the host's programs, read-only, and composed files.
//!
//! Built once as a mount namespace, from which every sandbox copies its own: few mounts, and nothing else of the host to
//! let go of. Deliberately knows nothing of single instances.

mod etc;

use super::mounts::{self, FileSystem, READ_ONLY};
use super::protocol::{Failure, Step};
use super::system::{self, Forked};
use super::{channel::Channel, channel::Received, protocol};
use rustix::mount::{MountPropagationFlags, UnmountFlags};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// User and group of functions, as they see themselves; Lambda's are sbx_user1051, 993, and 990 (seen at AWS, 2024).
pub(super) const USER: u32 = 993;
/// See [`USER`].
pub(super) const GROUP: u32 = 990;

/// Where the made-up files of /proc are.
pub(super) const MADE_UP: &str = "/proc-made-up";

/// Device nodes of a sandbox: name, major and minor number.
const DEVICES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// What a root file system is made of, beside the host's /usr.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RootSpec {
    /// Directory seen as /var/runtime: the runtime clients.
    pub(super) runtime: Option<PathBuf>,
    /// Directories and files of /usr/local and /opt that are seen; all others there are not.
    pub(super) visible: Vec<PathBuf>,
}

/// A root file system, ready to be copied.
#[derive(Debug)]
pub(super) struct Template {
    /// Mount namespace whose root it is.
    pub(super) namespace: OwnedFd,
}

/// What a root file system depends on beside its parts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surroundings {
    pub(super) privilege: Privilege,
    /// For resolv.conf; None for none.
    pub(super) name_server: Option<Ipv4Addr>,
}

/// Whether the starter is the machine's root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Privilege {
    Root,
    Rootless,
}

impl Template {
    /// Builds it in a process of its own, with `scratch`, an empty directory, as mount point.
    pub(super) fn build(
        spec: &RootSpec,
        scratch: &Path,
        surroundings: Surroundings,
    ) -> Result<Self, Failure> {
        let cannot = || "cannot build the root file system".to_owned();
        let (ours, theirs) = Channel::pair().step(cannot)?;
        match system::fork(0, None).step(cannot)? {
            Forked::Child => {
                drop(ours);
                let built = build(spec, scratch, surroundings);
                let done = theirs.send(&[&protocol::encode(&built.err())], &[]);
                if done.is_ok() {
                    let _parent_has_it = theirs.receive(&mut [0]);
                }
                system::exit(0);
            }
            Forked::Parent { pid, .. } => {
                drop(theirs);
                let mut buffer = [0; 4096];
                let Received::Message(length, _) = ours.receive(&mut buffer).step(cannot)? else {
                    return Err(Failure { step: cannot(), errno: 0 });
                };
                let (failure, _) =
                    protocol::decode::<Option<Failure>>(&buffer[..length]).step(cannot)?;
                if let Some(failure) = failure {
                    return Err(failure);
                }
                let namespace = File::open(format!("/proc/{pid}/ns/mnt")).step(cannot)?;
                Ok(Self { namespace: namespace.into() })
            }
        }
    }
}

fn build(spec: &RootSpec, root: &Path, surroundings: Surroundings) -> Result<(), Failure> {
    let Surroundings { privilege, name_server } = surroundings;
    system::unshare(libc::CLONE_NEWNS).step(|| "cannot make a mount namespace".to_owned())?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).step(|| "cannot make mounts private".to_owned())?;
    let tmpfs = FileSystem {
        kind: "tmpfs",
        options: &[("mode", "0755"), ("size", "16m")],
        attributes: libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV,
    };
    mounts::attach(mounts::new(tmpfs)?, root)?;
    directories(root)?;
    etc::compose(root, name_server)?;
    super::proc_view::compose(root)?;
    programs(root, spec)?;
    devices(root, privilege)?;
    if let Some(runtime) = &spec.runtime {
        mounts::attach(mounts::copy(runtime, READ_ONLY)?, &root.join("var/runtime"))?;
    }
    if privilege == Privilege::Rootless {
        // The kernel lets a user namespace mount a /proc of its own only where a whole one is in view already.
        let proc = mounts::copy(Path::new("/proc"), libc::MOUNT_ATTR_NOSUID)?;
        mounts::attach(proc, &root.join("proc"))?;
    }
    let top = File::open(root).step(|| "cannot open the new root".to_owned())?;
    system::set_mount_attributes_here(top.as_fd(), READ_ONLY)
        .step(|| "cannot protect the new root".to_owned())?;
    let cannot = || "cannot change to the new root".to_owned();
    rustix::process::fchdir(&top).step(cannot)?;
    rustix::process::pivot_root(".", ".").step(cannot)?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).step(cannot)?;
    rustix::process::chdir("/").step(cannot)
}

fn directories(root: &Path) -> Result<(), Failure> {
    for (path, mode) in [
        ("dev", 0o755),
        ("etc", 0o755),
        ("home", 0o755),
        ("opt", 0o755),
        ("proc", 0o555),
        ("root", 0o700),
        ("run", 0o755),
        ("sys", 0o555),
        ("tmp", 0o755),
        ("usr", 0o755),
        ("var", 0o755),
        ("var/lang", 0o755),
        ("var/runtime", 0o755),
        ("var/task", 0o755),
    ] {
        let path = root.join(path);
        fs::create_dir(&path)
            .and_then(|()| fs::set_permissions(&path, PermissionsExt::from_mode(mode)))
            .step(|| format!("cannot make {}", path.display()))?;
    }
    symlink("/tmp", root.join("var/tmp")).step(|| "cannot link /var/tmp".to_owned())
}

/// The host's /usr without what is local, and the host's links or directories beside it.
fn programs(root: &Path, spec: &RootSpec) -> Result<(), Failure> {
    mounts::attach(mounts::copy(Path::new("/usr"), READ_ONLY)?, &root.join("usr"))?;
    for name in ["bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
        let host = Path::new("/").join(name);
        let inside = root.join(name);
        let cannot = || format!("cannot make {}", inside.display());
        if let Ok(target) = fs::read_link(&host) {
            symlink(target, &inside).step(cannot)?;
        } else if host.is_dir() {
            fs::create_dir(&inside).step(cannot)?;
            mounts::attach(mounts::copy(&host, READ_ONLY)?, &inside)?;
        }
    }
    for place in ["usr/local", "opt"] {
        let host = Path::new("/").join(place);
        if !host.is_dir() {
            continue;
        }
        let empty = FileSystem {
            kind: "tmpfs",
            options: &[("mode", "0755"), ("size", "1m")],
            attributes: libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV,
        };
        let inside = root.join(place);
        mounts::attach(mounts::new(empty)?, &inside)?;
        for path in spec.visible.iter().filter(|path| path.starts_with(&host)) {
            show(root, path)?;
        }
        let top = File::open(&inside).step(|| format!("cannot open {}", inside.display()))?;
        system::set_mount_attributes_here(top.as_fd(), READ_ONLY)
            .step(|| format!("cannot protect {}", inside.display()))?;
    }
    Ok(())
}

fn show(root: &Path, path: &Path) -> Result<(), Failure> {
    let inside = root.join(path.strip_prefix("/").unwrap_or(path));
    let cannot = || format!("cannot make a place for {}", path.display());
    if let Some(parent) = inside.parent() {
        fs::create_dir_all(parent).step(cannot)?;
    }
    if path.is_dir() {
        fs::create_dir_all(&inside).step(cannot)?;
    } else {
        File::create(&inside).step(cannot)?;
    }
    mounts::attach(mounts::copy(path, READ_ONLY)?, &inside)
}

fn devices(root: &Path, privilege: Privilege) -> Result<(), Failure> {
    let dev = root.join("dev");
    let tmpfs = FileSystem {
        kind: "tmpfs",
        options: &[("mode", "0755"), ("size", "64k")],
        attributes: libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC,
    };
    mounts::attach(mounts::new(tmpfs)?, &dev)?;
    for (name, major, minor) in DEVICES {
        let path = dev.join(name);
        let cannot = || format!("cannot make the device {name}");
        if privilege == Privilege::Root {
            let mode = rustix::fs::Mode::from_raw_mode(0o666);
            let device = rustix::fs::makedev(major, minor);
            let kind = rustix::fs::FileType::CharacterDevice;
            rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, device).step(cannot)?;
            fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).step(cannot)?;
        } else {
            File::create(&path).step(cannot)?;
            let host = Path::new("/dev").join(name);
            mounts::attach(mounts::copy(&host, libc::MOUNT_ATTR_NOSUID)?, &path)?;
        }
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        symlink(target, dev.join(name)).step(|| format!("cannot link /dev/{name}"))?;
    }
    fs::create_dir(dev.join("shm")).step(|| "cannot make /dev/shm".to_owned())?;
    let top = File::open(&dev).step(|| "cannot open the new /dev".to_owned())?;
    let attributes = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC;
    system::set_mount_attributes_here(top.as_fd(), attributes)
        .step(|| "cannot protect the new /dev".to_owned())
}

/// A UUID of random digits.
pub(super) fn random_uuid() -> io::Result<String> {
    let mut bytes = [0_u8; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}
