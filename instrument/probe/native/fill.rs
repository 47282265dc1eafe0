//! How much /tmp holds: room is allocated until there is none left, and given back.

use probe::{Fill, FillResult};
use std::fs::{File, OpenOptions, remove_file};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

/// In /tmp.
const FILE: &str = "peek-fill";
/// The first piece that is asked for, and the smallest: a block of the usual file systems.
const PIECE_MOST: u64 = 64 << 20;
const PIECE_LEAST: u64 = 4096;

pub fn measure(fill: &Fill) -> io::Result<FillResult> {
    let path = std::env::temp_dir().join(FILE);
    let result = allocate(&path, fill.most_bytes);
    // Also where it failed half-way: others want the room.
    drop(remove_file(path));
    result
}

/// Allocates without writing, so that neither time nor memory is spent on it.
fn allocate(path: &Path, most: u64) -> io::Result<FillResult> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    let (mut bytes, mut piece) = (0, PIECE_MOST);
    while piece >= PIECE_LEAST && bytes < most {
        let wanted = piece.min(most - bytes);
        match more(&file, bytes, wanted) {
            Ok(()) => bytes += wanted,
            Err(error) if is_full(&error) => piece /= 2,
            Err(error) => return Err(error),
        }
    }
    Ok(FillResult { bytes, full: bytes < most })
}

fn more(file: &File, from: u64, bytes: u64) -> io::Result<()> {
    let (from, bytes) = (from as libc::off_t, bytes as libc::off_t);
    // SAFETY: takes numbers only; the descriptor is open.
    match unsafe { libc::fallocate(file.as_raw_fd(), 0, from, bytes) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// No room, no quota, or no file as large as that.
fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG))
}
