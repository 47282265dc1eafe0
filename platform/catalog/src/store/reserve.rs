//! Room on the disk that is held back, so that a full disk can still be cleared by deleting.
//!
//! A deletion writes before it frees: the store copies what it changes, and grows where no page is left for that, by as
//! much as it has. Deliberately knows nothing of the store.

use rustix::fs::{FallocateFlags, fallocate};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Least and most bytes that are held back; between them, as many as the store has.
const BYTES: (u64, u64) = (1 << 20, 64 << 20);

/// A file beside the store's that takes room and holds nothing.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    store: PathBuf,
    held: u64,
}

impl Reserve {
    /// The reserve of the store at this path. Nothing is held yet.
    pub fn beside(store: &Path) -> Self {
        Self { path: store.with_extension("reserve"), store: store.to_owned(), held: 0 }
    }

    /// Holds back as much as the store needs to grow once. Where there is no room for it, the next call tries again.
    pub fn hold(&mut self) {
        let size = fs::metadata(&self.store).map_or(0, |store| store.len());
        let wanted = size.clamp(BYTES.0, BYTES.1);
        if self.held < wanted {
            match self.take(wanted) {
                Ok(()) => self.held = wanted,
                Err(error) => tracing::debug!(%error, wanted, "no room is held back"),
            }
        }
    }

    /// Gives the room to whoever writes next. False where none was held.
    pub fn release(&mut self) -> bool {
        self.held = 0;
        fs::remove_file(&self.path).is_ok()
    }

    fn take(&self, bytes: u64) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(&self.path)?;
        if let Err(error) = fallocate(&file, FallocateFlags::empty(), 0, bytes) {
            // A part of it is of no use, and of use to others.
            let _ = fs::remove_file(&self.path);
            return Err(error.into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // What is held back takes room on the disk, grows with the store, and is there again after it was given away.
    #[test]
    fn room_is_held_and_given() {
        let data = tempfile::tempdir().expect("a directory");
        let store = data.path().join("catalog.redb");
        let size = || fs::metadata(data.path().join("catalog.reserve")).map(|file| file.len()).ok();
        fs::write(&store, b"small").expect("written");
        let mut reserve = Reserve::beside(&store);
        reserve.hold();
        assert_eq!(size(), Some(BYTES.0));
        fs::write(&store, vec![0; 3 << 20]).expect("written");
        reserve.hold();
        assert_eq!(size(), Some(3 << 20));
        assert!(reserve.release() && !reserve.release());
        assert_eq!(size(), None);
        reserve.hold();
        assert_eq!(size(), Some(3 << 20));
    }
}
