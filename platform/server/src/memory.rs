//! Memory of the machine, as the kernel tells it.

use model::MemoryMib;

/// All of it, and what could be had now; None where /proc/meminfo does not say.
pub fn total_and_available() -> Option<(MemoryMib, MemoryMib)> {
    parse(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

/// Gives back to the machine what the allocator keeps of a burst that is over.
///
/// glibc returns freed memory of a thread's arena only when asked; other allocators do it by themselves.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes the allocator's own locks and touches only memory that is free.
    unsafe {
        libc::malloc_trim(0);
    }
}

fn parse(meminfo: &str) -> Option<(MemoryMib, MemoryMib)> {
    let mib = |name: &str| {
        let line = meminfo.lines().find(|line| line.starts_with(name))?;
        let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        u32::try_from(kib / 1024).ok().map(MemoryMib)
    };
    Some((mib("MemTotal:")?, mib("MemAvailable:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Sizes are read from the lines that have them, and nothing is made up where a line is missing.
    #[test]
    fn meminfo_is_read() {
        let text = "MemTotal:       24576 kB\nMemFree: 1 kB\nMemAvailable:   2048 kB\n";
        assert_eq!(parse(text), Some((MemoryMib(24), MemoryMib(2))));
        assert_eq!(parse("MemTotal: 24576 kB\n"), None);
    }
}
