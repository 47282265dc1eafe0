//! Disk throughput in /tmp, and the host's counters of it.

use crate::clock::{monotonic_ns, unix_ns};
use probe::{Disk, DiskCounter, DiskResult};
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::fs::{File, OpenOptions, read_to_string, remove_file};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::ptr::NonNull;

/// In /tmp.
const FILE: &str = "peek-disk";
/// What O_DIRECT wants of addresses and lengths, at most.
const ALIGNMENT: usize = 4096;
/// Limits of what may be asked: bytes of a block, and of a round.
const BLOCK_LIMIT: u64 = 64 << 20;
const ROUND_LIMIT: u64 = 10 << 30;

/// A block of memory at an address that O_DIRECT takes.
struct Block {
    memory: NonNull<u8>,
    layout: Layout,
}

pub fn measure(disk: &Disk) -> io::Result<DiskResult> {
    let round_bytes = disk.block_bytes.saturating_mul(disk.blocks);
    if !(1..=BLOCK_LIMIT).contains(&disk.block_bytes) || !(1..=ROUND_LIMIT).contains(&round_bytes) {
        return Err(io::Error::other(format!(
            "{} blocks of {} bytes, limits are {BLOCK_LIMIT} bytes in a block and {ROUND_LIMIT} in a round",
            disk.blocks, disk.block_bytes
        )));
    }
    let result = rounds(disk, round_bytes as f64 / f64::from(1 << 20));
    // Also where it failed half-way: the next measurement wants the space.
    drop(remove_file(path()));
    result
}

fn rounds(disk: &Disk, mib: f64) -> io::Result<DiskResult> {
    let mut block = Block::new(usize::try_from(disk.block_bytes).map_err(io::Error::other)?)?;
    let (mut file, direct) = open(&mut block)?;
    let (started_unix_ns, started_ns) = (unix_ns(), monotonic_ns());
    let mut result = DiskResult { direct, started_unix_ns, ..DiskResult::default() };
    let rate = |from: u64| mib * 1e9 / (monotonic_ns() - from).max(1) as f64;
    for _ in 0..disk.rounds {
        file.seek(SeekFrom::Start(0))?;
        let from = monotonic_ns();
        for number in 0..disk.blocks {
            // No two blocks are the same, lest something below stores one of them.
            block.number(from ^ number);
            file.write_all(block.bytes())?;
        }
        file.sync_all()?;
        result.write_mib_s.push(rate(from));
        // SAFETY: takes numbers only; the descriptor is open. Where it is refused, `direct` is what tells.
        unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        file.seek(SeekFrom::Start(0))?;
        let from = monotonic_ns();
        for _ in 0..disk.blocks {
            file.read_exact(block.bytes())?;
        }
        result.read_mib_s.push(rate(from));
    }
    result.duration_ns = monotonic_ns() - started_ns;
    Ok(result)
}

fn path() -> PathBuf {
    std::env::temp_dir().join(FILE)
}

/// The file, and whether it goes past the page cache.
fn open(block: &mut Block) -> io::Result<(File, bool)> {
    let options = || {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        options
    };
    // Some file systems refuse the flag only when something is written, or refuse odd lengths.
    let direct = options().custom_flags(libc::O_DIRECT).open(path());
    match direct.and_then(|mut file| file.write_all(block.bytes()).map(|()| file)) {
        Ok(file) => Ok((file, true)),
        Err(_) => options().open(path()).map(|file| (file, false)),
    }
}

impl Block {
    /// Noise from a generator, not from the kernel: what is measured is the disk.
    fn new(bytes: usize) -> io::Result<Self> {
        let layout = Layout::from_size_align(bytes, ALIGNMENT).map_err(io::Error::other)?;
        // SAFETY: the layout's size is not zero: the limits were checked.
        let memory = NonNull::new(unsafe { alloc_zeroed(layout) });
        let memory = memory.ok_or(io::ErrorKind::OutOfMemory)?;
        let mut block = Self { memory, layout };
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for byte in block.bytes().chunks_mut(8) {
            // xorshift64 (Marsaglia, 2003).
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            byte.copy_from_slice(&state.to_le_bytes()[..byte.len()]);
        }
        Ok(block)
    }

    /// Writes a number into the first bytes.
    fn number(&mut self, number: u64) {
        for (byte, new) in self.bytes().iter_mut().zip(number.to_le_bytes()) {
            *byte = new;
        }
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the memory was allocated with this size, is initialized, and is borrowed through `self` alone.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_ptr(), self.layout.size()) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and freed once.
        unsafe { dealloc(self.memory.as_ptr(), self.layout) };
    }
}

/// The counters of every block device that has done anything.
pub fn counters() -> io::Result<Vec<DiskCounter>> {
    let text = read_to_string("/proc/diskstats")?;
    let counter = |line: &str| {
        // Fields as in the kernel's Documentation/admin-guide/iostats.rst.
        let fields: Vec<&str> = line.split_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(DiskCounter {
            device: (*fields.get(2)?).to_owned(),
            sectors_read: number(5)?,
            sectors_written: number(9)?,
        })
    };
    let used = |counter: &DiskCounter| counter.sectors_read + counter.sectors_written > 0;
    Ok(text.lines().filter_map(counter).filter(used).collect())
}
