//! /tmp: a file system of bounded bytes and files per instance, on disk.
//!
//! A tmpfs would be charged to the instance's memory. Each is a copy of a small, empty ext4 image in an unnamed sparse file
//! behind a loop device, mounted nowhere but in its sandbox: when its last user ends, the kernel lets go of all of it. They
//! are made by a process of their own, since each waits for the kernel some milliseconds. Deliberately knows nothing of
//! sandboxes.

use super::channel::{Channel, Received};
use super::mounts::{self, FileSystem, WRITABLE};
use super::protocol::{self, Failure, Step};
use super::system::{self, Forked};
use model::MemoryMib;
use rustix::fs::{Mode, OFlags, SeekFrom};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Bytes of /tmp per file that may be in it, as ext4 has by default.
const BYTES_PER_FILE: u64 = 16 << 10;

/// Where mkfs.ext4 is.
const MKFS: [&str; 3] = ["/usr/sbin/mkfs.ext4", "/sbin/mkfs.ext4", "/usr/bin/mkfs.ext4"];

/// The maker's client, and what is ready.
#[derive(Debug)]
pub(super) struct Maker {
    pid: i32,
    pidfd: OwnedFd,
    channel: Channel,
    ready: BTreeMap<MemoryMib, Vec<OwnedFd>>,
    requested: BTreeMap<MemoryMib, usize>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Made {
    size: MemoryMib,
    failure: Option<Failure>,
}

impl Maker {
    /// Starts the maker, with files in `directory`.
    pub(super) fn start(directory: &Path) -> Result<Self, Failure> {
        let cannot = || "cannot start the maker of /tmp".to_owned();
        let (ours, theirs) = Channel::pair().step(cannot)?;
        match system::fork(0, None).step(cannot)? {
            Forked::Child => serve(&theirs, directory),
            Forked::Parent { pid, pidfd } => Ok(Self {
                pid,
                pidfd,
                channel: ours,
                ready: BTreeMap::new(),
                requested: BTreeMap::new(),
            }),
        }
    }

    /// Ends the maker, and waits for it.
    pub(super) fn end(self) {
        system::signal_pidfd(self.pidfd.as_fd(), libc::SIGKILL);
        system::wait_for(self.pid);
    }

    /// Asks for file systems until `count` of this size are ready or asked for.
    pub(super) fn request(&mut self, size: MemoryMib, count: usize) -> Result<(), Failure> {
        let ready = self.ready.get(&size).map_or(0, Vec::len);
        let requested = self.requested.entry(size).or_default();
        for _ in (ready + *requested)..count {
            self.channel
                .send(&[&protocol::encode(&size)], &[])
                .step(|| "cannot ask for a /tmp".to_owned())?;
            *requested += 1;
        }
        Ok(())
    }

    /// Takes one that is ready.
    pub(super) fn take(&mut self, size: MemoryMib) -> Option<OwnedFd> {
        self.ready.get_mut(&size)?.pop()
    }

    /// Takes in what the maker has made. None where there is nothing yet; the size, where making one failed, with why.
    pub(super) fn receive(&mut self) -> Result<Option<(MemoryMib, Option<Failure>)>, Failure> {
        let cannot = || "the maker of /tmp has ended".to_owned();
        let mut buffer = [0; 4096];
        match self.channel.try_receive(&mut buffer).step(cannot)? {
            None => Ok(None),
            Some(Received::End) => Err(Failure { step: cannot(), errno: 0 }),
            Some(Received::Message(length, descriptors)) => {
                self.made(&buffer[..length], descriptors)
            }
        }
    }

    /// As [`Maker::receive`], and waits.
    pub(super) fn wait(&mut self) -> Result<(), Failure> {
        let cannot = || "the maker of /tmp has ended".to_owned();
        let mut buffer = [0; 4096];
        let Received::Message(length, descriptors) =
            self.channel.receive(&mut buffer).step(cannot)?
        else {
            return Err(Failure { step: cannot(), errno: 0 });
        };
        match self.made(&buffer[..length], descriptors)? {
            Some((_, Some(failure))) => Err(failure),
            _ => Ok(()),
        }
    }

    fn made(
        &mut self,
        message: &[u8],
        descriptors: Vec<OwnedFd>,
    ) -> Result<Option<(MemoryMib, Option<Failure>)>, Failure> {
        let (made, _) = protocol::decode::<Made>(message)
            .step(|| "the maker of /tmp is not understood".to_owned())?;
        if let Some(requested) = self.requested.get_mut(&made.size) {
            *requested = requested.saturating_sub(1);
        }
        self.ready.entry(made.size).or_default().extend(descriptors);
        Ok(Some((made.size, made.failure)))
    }
}

impl AsFd for Maker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

/// Makes file systems until the starter is gone.
fn serve(channel: &Channel, directory: &Path) -> ! {
    const NUMBER: i32 = super::child::CHANNEL;
    let placed = system::place_at(channel.as_fd(), NUMBER)
        .and_then(|()| system::close_from(NUMBER + 1))
        .and_then(|()| system::process_control(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64));
    if placed.is_err() {
        system::exit(1);
    }
    let channel = Channel::from_descriptor(system::adopt(NUMBER));
    let mut templates: BTreeMap<MemoryMib, Template> = BTreeMap::new();
    let mut buffer = [0; 256];
    while let Ok(Received::Message(length, _)) = channel.receive(&mut buffer) {
        let Ok((size, _)) = protocol::decode::<MemoryMib>(&buffer[..length]) else { break };
        let made = make(&mut templates, directory, size);
        let (mount, failure) = match made {
            Ok(mount) => (Some(mount), None),
            Err(failure) => (None, Some(failure)),
        };
        let message = protocol::encode(&Made { size, failure });
        let descriptors: Vec<BorrowedFd<'_>> = mount.iter().map(AsFd::as_fd).collect();
        if channel.send(&[&message], &descriptors).is_err() {
            break;
        }
    }
    system::exit(0)
}

/// An empty file system, as the parts of its image that are not zero.
#[derive(Debug)]
struct Template {
    bytes: u64,
    parts: Vec<(u64, Vec<u8>)>,
}

fn make(
    templates: &mut BTreeMap<MemoryMib, Template>,
    directory: &Path,
    size: MemoryMib,
) -> Result<OwnedFd, Failure> {
    if !templates.contains_key(&size) {
        templates.insert(size, Template::new(directory, size)?);
    }
    let image = unnamed(directory)?;
    templates[&size]
        .write(&image)
        .step(|| format!("cannot write to {}: is the disk full?", directory.display()))?;
    mount(&image)
}

fn unnamed(directory: &Path) -> Result<File, Failure> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    rustix::fs::open(directory, flags, Mode::RUSR | Mode::WUSR)
        .map(File::from)
        .step(|| format!("cannot make a file in {}", directory.display()))
}

fn mount(image: &File) -> Result<OwnedFd, Failure> {
    let (device, path) =
        system::attach_loop(image.as_fd()).step(|| "cannot get a loop device".to_owned())?;
    let path = path.to_string_lossy();
    let mounted = mounts::new(FileSystem {
        kind: "ext4",
        options: &[("source", path.as_ref()), ("noinit_itable", "")],
        attributes: WRITABLE | libc::MOUNT_ATTR_NOATIME,
    });
    drop(device);
    mounted
}

impl Template {
    fn new(directory: &Path, size: MemoryMib) -> Result<Self, Failure> {
        let path = directory.join(format!("tmp-{}.{}", size.0, std::process::id()));
        let made = Self::make_in(&path, size);
        // It has been read, or is of no use.
        let _gone = fs::remove_file(&path);
        made
    }

    fn make_in(path: &PathBuf, size: MemoryMib) -> Result<Self, Failure> {
        let cannot = || format!("cannot make a file system in {}", path.display());
        let image = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
            .step(cannot)?;
        image.set_len(size.bytes()).step(cannot)?;
        let program = MKFS.iter().find(|program| Path::new(program).exists());
        let program = program.ok_or_else(|| Failure {
            step: "mkfs.ext4 is missing: install e2fsprogs".to_owned(),
            errno: 0,
        })?;
        let status = Command::new(program)
            .args(["-q", "-F", "-b", "4096", "-m", "0"])
            .args(["-O", "^has_journal,^resize_inode,uninit_bg,flex_bg"])
            .args(["-E", "lazy_itable_init=1,nodiscard,packed_meta_blocks=1"])
            .args(["-N", &(size.bytes() / BYTES_PER_FILE).to_string()])
            .arg(path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .step(cannot)?;
        if !status.success() {
            return Err(Failure { step: format!("{}: mkfs.ext4: {status}", cannot()), errno: 0 });
        }
        let mounted = mount(&image)?;
        let root = rustix::fs::openat(
            &mounted,
            ".",
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map(File::from)
        .step(cannot)?;
        root.set_permissions(PermissionsExt::from_mode(0o1777)).step(cannot)?;
        rustix::fs::unlinkat(&root, "lost+found", rustix::fs::AtFlags::REMOVEDIR).step(cannot)?;
        drop((root, mounted));
        Self::read(&image).step(cannot)
    }

    fn read(image: &File) -> io::Result<Self> {
        let bytes = image.metadata()?.len();
        let mut parts = Vec::new();
        let mut offset = 0;
        loop {
            let start = match rustix::fs::seek(image, SeekFrom::Data(offset)) {
                Ok(start) => start,
                Err(rustix::io::Errno::NXIO) => return Ok(Self { bytes, parts }),
                Err(error) => return Err(error.into()),
            };
            let end = rustix::fs::seek(image, SeekFrom::Hole(start))?;
            rustix::fs::seek(image, SeekFrom::Start(start))?;
            let mut part = vec![0; (end - start) as usize];
            (&*image).read_exact(&mut part)?;
            parts.extend(
                part.chunks(4096)
                    .enumerate()
                    .filter(|(_, block)| block.iter().any(|byte| *byte != 0))
                    .map(|(number, block)| (start + number as u64 * 4096, block.to_vec())),
            );
            offset = end;
        }
    }

    fn write(&self, image: &File) -> io::Result<()> {
        image.set_len(self.bytes)?;
        self.parts.iter().try_for_each(|(offset, block)| image.write_all_at(block, *offset))
    }
}
