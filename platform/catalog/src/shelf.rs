//! Packages on disk, each in a directory named by the SHA-256 of its zip.
//!
//! A package is written aside, flushed, and renamed into place: it is there whole or not at all. Deliberately knows
//! nothing of functions: who still needs a package is told to [`Shelf::collect`].

mod merge;

use crate::layer::UsedLayer;
use crate::package::{self, PackageError, PackageLimits};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// A package that is on disk, and stays there while this value lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPackage {
    /// SHA-256 of the zip, lower-case hexadecimal.
    pub digest: String,
    /// Bytes of the zip.
    pub size: u64,
    /// Its unpacked files.
    pub directory: PathBuf,
    _pin: Arc<()>,
}

/// The packages of one data directory.
#[derive(Debug)]
pub(crate) struct Shelf {
    packages: PathBuf,
    aside: PathBuf,
    limits: PackageLimits,
    pins: Mutex<BTreeMap<String, Weak<()>>>,
}

const ZIP: &str = "code.zip";
const TREE: &str = "tree";

impl Shelf {
    /// Opens the shelf in `data`; what an earlier process left half written goes.
    pub(crate) fn open(data: &Path, limits: PackageLimits) -> io::Result<Self> {
        let (packages, aside) = (data.join("packages"), data.join("aside"));
        if aside.exists() {
            fs::remove_dir_all(&aside)?;
        }
        fs::create_dir_all(&aside)?;
        fs::create_dir_all(&packages)?;
        open_to_all(&packages)?;
        Ok(Self { packages, aside, limits, pins: Mutex::new(BTreeMap::new()) })
    }

    /// Bounds of a package.
    pub(crate) fn limits(&self) -> PackageLimits {
        self.limits
    }

    /// Where the unpacked files of `digest` are.
    pub(crate) fn tree(&self, digest: &str) -> PathBuf {
        self.packages.join(digest).join(TREE)
    }

    /// Where the zip of `digest` is.
    pub(crate) fn zip(&self, digest: &str) -> PathBuf {
        self.packages.join(digest).join(ZIP)
    }

    /// Takes a zip in; durable when this returns. One that is there already costs only its hash.
    pub(crate) fn put(&self, zip: &[u8]) -> Result<StoredPackage, PackageError> {
        let limit = self.limits.zipped_bytes;
        let size = zip.len() as u64;
        if size > limit {
            return Err(PackageError::ZippedTooLarge { bytes: size, limit });
        }
        let digest = hex::encode(Sha256::digest(zip));
        if let Some(pin) = self.pin_existing(&digest) {
            return Ok(self.stored(digest, size, pin));
        }
        let aside = self.aside.join(uuid::Uuid::new_v4().to_string());
        let pin = self.write_aside(zip, &aside).and_then(|()| self.place(&aside, &digest));
        clear(&aside);
        Ok(self.stored(digest, size, pin?))
    }

    /// A package that is there, which it stays while the answer lives; None where it is not.
    pub(crate) fn hold(&self, digest: &str, size: u64) -> Option<StoredPackage> {
        let pin = self.pin_existing(digest)?;
        Some(self.stored(digest.to_owned(), size, pin))
    }

    /// Bytes of a package's files. Blocks on the disk.
    pub(crate) fn unpacked_bytes(&self, digest: &str) -> Result<u64, PackageError> {
        let path = self.tree(digest);
        merge::bytes(&path).map_err(|source| PackageError::Io { path, source })
    }

    /// The name under which several layers are kept as one tree; None for one or none.
    pub(crate) fn merged_digest(layers: &[UsedLayer]) -> Option<String> {
        if layers.len() < 2 {
            return None;
        }
        let mut hash = Sha256::new();
        // No zip begins with this.
        hash.update(b"layers");
        for layer in layers {
            hash.update(layer.digest.as_bytes());
        }
        Some(hex::encode(hash.finalize()))
    }

    /// Where the files of all layers are, later ones over earlier ones; None without layers.
    pub(crate) fn layers_tree(&self, layers: &[UsedLayer]) -> Option<PathBuf> {
        let merged = Self::merged_digest(layers);
        merged.as_ref().or(layers.first().map(|layer| &layer.digest)).map(|it| self.tree(it))
    }

    /// Merges layers whose packages are there; durable when this returns. What is merged already costs nothing.
    pub(crate) fn merge(
        &self,
        layers: &[UsedLayer],
    ) -> Result<Option<StoredPackage>, PackageError> {
        let Some(digest) = Self::merged_digest(layers) else { return Ok(None) };
        if let Some(pin) = self.pin_existing(&digest) {
            return Ok(Some(self.stored(digest, 0, pin)));
        }
        let aside = self.aside.join(uuid::Uuid::new_v4().to_string());
        let merged = self.merge_aside(layers, &aside).and_then(|()| self.place(&aside, &digest));
        clear(&aside);
        Ok(Some(self.stored(digest, 0, merged?)))
    }

    fn merge_aside(&self, layers: &[UsedLayer], aside: &Path) -> Result<(), PackageError> {
        let failed = |source| PackageError::Io { path: aside.to_owned(), source };
        let tree = aside.join(TREE);
        fs::create_dir_all(&tree).map_err(failed)?;
        open_to_all(aside).and_then(|()| open_to_all(&tree)).map_err(failed)?;
        for layer in layers {
            merge::lay_over(&self.tree(&layer.digest), &tree).map_err(failed)?;
        }
        let top = File::open(aside).map_err(failed)?;
        rustix::fs::syncfs(&top).map_err(|error| failed(error.into()))
    }

    /// Removes each package that is neither in `needed` nor held as a [`StoredPackage`]. Returns how many went.
    ///
    /// The caller sees to it that nobody adds to `needed` meanwhile.
    pub(crate) fn collect(&self, needed: &BTreeSet<String>) -> io::Result<usize> {
        let mut gone = Vec::new();
        {
            let mut pins = self.pins();
            pins.retain(|_, pin| pin.strong_count() > 0);
            for entry in fs::read_dir(&self.packages)? {
                let entry = entry?;
                let name = entry.file_name();
                let held = name
                    .to_str()
                    .is_some_and(|digest| needed.contains(digest) || pins.contains_key(digest));
                if !held {
                    let aside = self.aside.join(uuid::Uuid::new_v4().to_string());
                    fs::rename(entry.path(), &aside)?;
                    gone.push(aside);
                }
            }
        }
        for path in &gone {
            remove(path)?;
        }
        Ok(gone.len())
    }

    fn stored(&self, digest: String, size: u64, pin: Arc<()>) -> StoredPackage {
        StoredPackage { directory: self.tree(&digest), digest, size, _pin: pin }
    }

    fn pin_existing(&self, digest: &str) -> Option<Arc<()>> {
        let mut pins = self.pins();
        self.packages.join(digest).is_dir().then(|| pin(&mut pins, digest))
    }

    fn write_aside(&self, zip: &[u8], aside: &Path) -> Result<(), PackageError> {
        let failed = |source| PackageError::Io { path: aside.to_owned(), source };
        let tree = aside.join(TREE);
        fs::create_dir_all(&tree).map_err(failed)?;
        open_to_all(aside).and_then(|()| open_to_all(&tree)).map_err(failed)?;
        package::unpack(zip, &tree, self.limits)?;
        write_durably(&aside.join(ZIP), zip).map_err(failed)?;
        sync(aside).map_err(failed)
    }

    fn place(&self, aside: &Path, digest: &str) -> Result<Arc<()>, PackageError> {
        let at = self.packages.join(digest);
        let failed = |source| PackageError::Io { path: at.clone(), source };
        let pin = {
            let mut pins = self.pins();
            if !at.is_dir() {
                fs::rename(aside, &at).map_err(failed)?;
            }
            pin(&mut pins, digest)
        };
        sync(&self.packages).map_err(failed)?;
        Ok(pin)
    }

    fn pins(&self) -> MutexGuard<'_, BTreeMap<String, Weak<()>>> {
        self.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes what was written aside, where it did not find its place.
fn clear(aside: &Path) {
    if aside.exists()
        && let Err(error) = fs::remove_dir_all(aside)
    {
        tracing::warn!(path = %aside.display(), %error, "cannot remove what was written aside");
    }
}

fn pin(pins: &mut BTreeMap<String, Weak<()>>, digest: &str) -> Arc<()> {
    if let Some(pin) = pins.get(digest).and_then(Weak::upgrade) {
        return pin;
    }
    let pin = Arc::new(());
    pins.insert(digest.to_owned(), Arc::downgrade(&pin));
    pin
}

/// Lets everyone look into a directory, whatever the process's umask says: instances have users of their own.
fn open_to_all(directory: &Path) -> io::Result<()> {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755))
}

fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::write(path, bytes)?;
    sync(path)
}

fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn remove(path: &Path) -> io::Result<()> {
    if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}
