//! Intake of a code package: a zip becomes a tree of files, or an error that says what is wrong with it.
//!
//! Trusts nothing that the zip says of itself: bytes are counted as they unpack, and each path is followed through
//! the links that came before it. Deliberately knows nothing of where packages are kept.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Cursor, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use zip::ZipArchive;
use zip::read::ZipFile;
use zip::result::ZipError;

/// Bounds of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackageLimits {
    /// Bytes of the zip.
    pub zipped_bytes: u64,
    /// Bytes of all files together.
    pub unpacked_bytes: u64,
    /// Files, directories and links together.
    pub entries: usize,
}

impl Default for PackageLimits {
    /// 50 MiB zipped and 250 MiB unpacked, as AWS Lambda's quotas (2026-11); 65,536 entries, what a plain zip can hold.
    fn default() -> Self {
        Self { zipped_bytes: 50 << 20, unpacked_bytes: 250 << 20, entries: 1 << 16 }
    }
}

/// Why a package is refused.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The bytes are no zip, or a broken one.
    #[error("not a zip that can be read: {reason}")]
    NotZip {
        /// What is wrong.
        reason: String,
    },
    /// Nothing to run in it.
    #[error("the zip holds no file")]
    Empty,
    /// The zip itself is too large.
    #[error("zip is {bytes} bytes, limit is {limit} bytes")]
    ZippedTooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// Its files are too large together, whatever its directory says.
    #[error("unpacked size is more than the limit of {limit} bytes")]
    UnpackedTooLarge {
        /// The limit.
        limit: u64,
    },
    /// Too many files, directories and links.
    #[error("more than {limit} files and directories")]
    TooManyEntries {
        /// The limit.
        limit: usize,
    },
    /// A path that climbs out of the package (`..`), starts at the root, or cannot be a file name.
    #[error("entry {entry:?} is not a path inside the package")]
    Outside {
        /// The entry's name.
        entry: String,
    },
    /// A symbolic link whose target is not inside the package.
    #[error("link {entry:?} points to {target:?}, which is not inside the package")]
    LinkOutside {
        /// The entry's name.
        entry: String,
        /// Where it points.
        target: String,
    },
    /// A path that goes through a file or a link of the same package.
    #[error("entry {entry:?} goes through {through:?}, which is no directory")]
    ThroughFile {
        /// The entry's name.
        entry: String,
        /// What is in its way.
        through: String,
    },
    /// A hard link.
    #[error("entry {entry:?} is a hard link")]
    HardLink {
        /// The entry's name.
        entry: String,
    },
    /// A device, pipe or socket.
    #[error("entry {entry:?} is a device, pipe or socket")]
    Special {
        /// The entry's name.
        entry: String,
    },
    /// Two entries for one path.
    #[error("entry {entry:?} is there twice")]
    Duplicate {
        /// The entry's name.
        entry: String,
    },
    /// An encrypted entry, or one packed in a way that is not read here.
    #[error("entry {entry:?} cannot be unpacked: {reason}")]
    Unsupported {
        /// The entry's name.
        entry: String,
        /// Why.
        reason: String,
    },
    /// A file operation failed; nothing is kept.
    #[error("cannot write {path}")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

const NAME_BYTES_MAX: usize = 255;
const PATH_BYTES_MAX: usize = 2048;
const LINK_HOPS_MAX: usize = 40;
const TYPE_MASK: u32 = 0o170_000;
const TYPE_FILE: u32 = 0o100_000;
const TYPE_DIRECTORY: u32 = 0o040_000;
const TYPE_LINK: u32 = 0o120_000;
/// PKWARE's Unix extra field, whose data is a link's target (APPNOTE 4.5.7).
const EXTRA_PKWARE_UNIX: u16 = 0x000d;
/// Bytes of that field before the link's target.
const EXTRA_PKWARE_UNIX_FIXED: usize = 12;

/// Unpacks `zip` into the existing empty directory `into`, and flushes all of it to the disk.
///
/// Files become readable by all and writable by none; they are executable where the zip has any execute bit. Returns
/// the bytes of all files. Errors: [`PackageError`]; `into` then holds what was written so far.
pub fn unpack(zip: &[u8], into: &Path, limits: PackageLimits) -> Result<u64, PackageError> {
    let size = zip.len() as u64;
    if size > limits.zipped_bytes {
        return Err(PackageError::ZippedTooLarge { bytes: size, limit: limits.zipped_bytes });
    }
    let mut archive = ZipArchive::new(Cursor::new(zip)).map_err(not_zip)?;
    if archive.len() > limits.entries {
        return Err(PackageError::TooManyEntries { limit: limits.entries });
    }
    if archive.has_duplicate_names() {
        return Err(PackageError::Duplicate { entry: first_duplicate(&archive) });
    }
    let mut tree = Tree { root: into, limits, nodes: BTreeMap::new(), bytes: 0 };
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(|error| unreadable(index, error))?;
        tree.add(&mut entry)?;
    }
    if !tree.nodes.values().any(|node| matches!(node, Node::File)) {
        return Err(PackageError::Empty);
    }
    tree.check_links()?;
    tree.flush()?;
    Ok(tree.bytes)
}

/// What is at a path of the package.
enum Node {
    Directory,
    File,
    Link(String),
}

/// The package so far.
struct Tree<'a> {
    root: &'a Path,
    limits: PackageLimits,
    nodes: BTreeMap<String, Node>,
    bytes: u64,
}

impl Tree<'_> {
    fn add<R: Read>(&mut self, entry: &mut ZipFile<'_, R>) -> Result<(), PackageError> {
        let name = match entry.name() {
            Ok(name) => name.into_owned(),
            Err(error) => return Err(not_zip(error)),
        };
        let path = inside(&name)?;
        let mode = entry.unix_mode().unwrap_or(0);
        if has_hard_link(entry.extra_data().as_deref().unwrap_or(&[]))
            && mode & TYPE_MASK != TYPE_LINK
        {
            return Err(PackageError::HardLink { entry: name });
        }
        let kind = match mode & TYPE_MASK {
            0 | TYPE_FILE if name.ends_with('/') => TYPE_DIRECTORY,
            0 => TYPE_FILE,
            kind => kind,
        };
        match kind {
            TYPE_DIRECTORY => self.add_directories(&name, &path, path.len()),
            TYPE_FILE => self.add_file(entry, &name, &path),
            TYPE_LINK => self.add_link(entry, &name, &path),
            _ => Err(PackageError::Special { entry: name }),
        }
    }

    /// Makes the directories above and including `path[..end]` that are not there yet.
    fn add_directories(&mut self, name: &str, path: &str, end: usize) -> Result<(), PackageError> {
        let ends = path[..end].match_indices('/').map(|(at, _)| at).chain([end]);
        for end in ends.filter(|&end| end > 0) {
            let directory = &path[..end];
            match self.nodes.get(directory) {
                Some(Node::Directory) => {}
                Some(Node::File | Node::Link(_)) => {
                    let (entry, through) = (name.to_owned(), directory.to_owned());
                    return Err(PackageError::ThroughFile { entry, through });
                }
                None => {
                    self.insert(name, directory, Node::Directory)?;
                    let at = self.root.join(directory);
                    fs::create_dir(&at).map_err(|source| failed(&at, source))?;
                    set_mode(&at, 0o755)?;
                }
            }
        }
        Ok(())
    }

    fn add_file<R: Read>(
        &mut self,
        entry: &mut ZipFile<'_, R>,
        name: &str,
        path: &str,
    ) -> Result<(), PackageError> {
        self.add_parent(name, path)?;
        self.insert(name, path, Node::File)?;
        let at = self.root.join(path);
        let executable = entry.unix_mode().is_some_and(|mode| mode & 0o111 != 0);
        let mode = if executable { 0o555 } else { 0o444 };
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&at)
            .map_err(|source| failed(&at, source))?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = entry.read(&mut buffer).map_err(|error| broken(name, error))?;
            if read == 0 {
                break;
            }
            self.count(read)?;
            file.write_all(&buffer[..read]).map_err(|source| failed(&at, source))?;
        }
        set_mode(&at, mode)
    }

    fn add_link<R: Read>(
        &mut self,
        entry: &mut ZipFile<'_, R>,
        name: &str,
        path: &str,
    ) -> Result<(), PackageError> {
        self.add_parent(name, path)?;
        let mut target = Vec::new();
        entry
            .take(PATH_BYTES_MAX as u64 + 1)
            .read_to_end(&mut target)
            .map_err(|error| broken(name, error))?;
        self.count(target.len())?;
        let text = String::from_utf8_lossy(&target).into_owned();
        if target.is_empty()
            || target.len() > PATH_BYTES_MAX
            || target.contains(&0)
            || text.as_bytes() != target
            || text.starts_with('/')
        {
            return Err(PackageError::LinkOutside { entry: name.to_owned(), target: text });
        }
        self.insert(name, path, Node::Link(text.clone()))?;
        let at = self.root.join(path);
        symlink(&text, &at).map_err(|source| failed(&at, source))
    }

    fn add_parent(&mut self, name: &str, path: &str) -> Result<(), PackageError> {
        match path.rfind('/') {
            Some(end) => self.add_directories(name, path, end),
            None => Ok(()),
        }
    }

    fn insert(&mut self, name: &str, path: &str, node: Node) -> Result<(), PackageError> {
        if path.is_empty() {
            return Err(PackageError::Outside { entry: name.to_owned() });
        }
        if self.nodes.len() >= self.limits.entries {
            return Err(PackageError::TooManyEntries { limit: self.limits.entries });
        }
        match self.nodes.insert(path.to_owned(), node) {
            None => Ok(()),
            Some(_) => Err(PackageError::Duplicate { entry: name.to_owned() }),
        }
    }

    fn count(&mut self, bytes: usize) -> Result<(), PackageError> {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if self.bytes > self.limits.unpacked_bytes {
            return Err(PackageError::UnpackedTooLarge { limit: self.limits.unpacked_bytes });
        }
        Ok(())
    }

    /// Follows each link as the kernel would; refuses one that leaves the package on its way, even to return.
    fn check_links(&self) -> Result<(), PackageError> {
        for (path, node) in &self.nodes {
            let Node::Link(target) = node else { continue };
            if !self.stays_inside(path, target) {
                let (entry, target) = (path.clone(), target.clone());
                return Err(PackageError::LinkOutside { entry, target });
            }
        }
        Ok(())
    }

    fn stays_inside(&self, link: &str, target: &str) -> bool {
        let mut at: Vec<&str> = link.split('/').collect();
        at.pop();
        let mut ahead: Vec<&str> = target.split('/').rev().collect();
        let mut hops = 0;
        while let Some(part) = ahead.pop() {
            match part {
                "" | "." => {}
                ".." => {
                    if at.pop().is_none() {
                        return false;
                    }
                }
                name => {
                    at.push(name);
                    if let Some(Node::Link(target)) = self.nodes.get(&at.join("/")) {
                        hops += 1;
                        if hops > LINK_HOPS_MAX {
                            return false;
                        }
                        at.pop();
                        ahead.extend(target.split('/').rev());
                    }
                }
            }
        }
        true
    }

    /// All files first, then the directories that name them, so that the first flush does most of the work.
    fn flush(&self) -> Result<(), PackageError> {
        let synced = |path: &Path| {
            File::open(path).and_then(|file| file.sync_all()).map_err(|source| failed(path, source))
        };
        for (path, _) in self.nodes.iter().filter(|(_, node)| matches!(node, Node::File)) {
            synced(&self.root.join(path))?;
        }
        for (path, _) in self.nodes.iter().filter(|(_, node)| matches!(node, Node::Directory)) {
            synced(&self.root.join(path))?;
        }
        synced(self.root)
    }
}

/// The entry's path without `.` and doubled or trailing slashes; an error where it is not below the package's root.
fn inside(name: &str) -> Result<String, PackageError> {
    let outside = || PackageError::Outside { entry: name.to_owned() };
    if name.is_empty()
        || name.starts_with('/')
        || name.contains('\0')
        || name.len() > PATH_BYTES_MAX
    {
        return Err(outside());
    }
    let mut path = String::with_capacity(name.len());
    for part in name.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." || part.len() > NAME_BYTES_MAX {
            return Err(outside());
        }
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(part);
    }
    Ok(path)
}

/// Whether an extra field names the target of a link.
fn has_hard_link(mut extra: &[u8]) -> bool {
    while let [id0, id1, size0, size1, rest @ ..] = extra {
        let id = u16::from_le_bytes([*id0, *id1]);
        let size = usize::from(u16::from_le_bytes([*size0, *size1]));
        if id == EXTRA_PKWARE_UNIX && size > EXTRA_PKWARE_UNIX_FIXED {
            return true;
        }
        extra = rest.get(size..).unwrap_or(&[]);
    }
    false
}

fn first_duplicate<R: io::Read + io::Seek>(archive: &ZipArchive<R>) -> String {
    let mut seen = std::collections::BTreeSet::new();
    archive
        .file_names()
        .filter_map(Result::ok)
        .find(|name| !seen.insert(name.to_string()))
        .map_or_else(|| "one of its names".to_owned(), |name| name.into_owned())
}

fn not_zip(error: ZipError) -> PackageError {
    PackageError::NotZip { reason: error.to_string() }
}

fn unreadable(index: usize, error: ZipError) -> PackageError {
    let entry = format!("number {index}");
    match error {
        ZipError::UnsupportedArchive(reason) => {
            PackageError::Unsupported { entry, reason: reason.to_owned() }
        }
        ZipError::CompressionMethodNotSupported(method) => PackageError::Unsupported {
            entry,
            reason: format!("compression method {method} is not known; use deflate"),
        },
        error => not_zip(error),
    }
}

fn broken(name: &str, error: io::Error) -> PackageError {
    PackageError::NotZip { reason: format!("entry {name:?}: {error}") }
}

fn failed(path: &Path, source: io::Error) -> PackageError {
    PackageError::Io { path: path.to_owned(), source }
}

/// Sets the mode whatever the process's umask says.
fn set_mode(path: &Path, mode: u32) -> Result<(), PackageError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(|source| failed(path, source))
}
